"""Settings, looking conversations up, the overview: what they show, whom they let, what they leave in the audit."""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import delete

from llm_service.store import audit
from llm_service.store.control_models import Control
from tests.admin.operating import asked
from tests.admin.platform import XSS, Platform, platform_key


@pytest.fixture
def answers(platform: Platform) -> Iterator[None]:
    """Whatever a test sets is given back."""
    yield
    platform.work(lambda session: session.execute(delete(Control)))


@contextmanager
def people(platform: Platform, *logins: str) -> Iterator[list[httpx.Client]]:
    with contextmanager(_stack)(platform, logins) as found:
        yield found


def _stack(platform: Platform, logins: tuple[str, ...]) -> Iterator[list[httpx.Client]]:
    if not logins:
        yield []
        return
    with platform.logged_in(logins[0]) as first, contextmanager(_stack)(platform, logins[1:]) as others:
        yield [first, *others]


def switch(client: httpx.Client, login: str, to: str, **form: str) -> httpx.Response:
    return client.post(f"/platform/answers/{to}", data={"csrf": f"csrf-of-{login}", **form})


# Settings


@pytest.mark.usefixtures("answers")
def test_an_approver_stops_the_answers_and_an_admin_begins_again(platform: Platform) -> None:
    with people(platform, "approver", "admin", "auditor") as (approver, admin, auditor):
        assert (
            switch(approver, "approver", "off", reason="incident", note=XSS).headers["location"].startswith("/platform")
        )
        shown = auditor.get("/platform").text
        assert ("중단됨" in shown, "approver 님" in shown, "사고" in shown) == (True, True, True)
        assert ("<img src=x" not in shown, "&lt;img src=x" in shown) == (True, True)
        assert "답변이 중단되어 있습니다" in auditor.get("/").text
        assert switch(approver, "approver", "on", reason="resolved", version="1").status_code == 403
        assert switch(admin, "admin", "on", reason="resolved", version="0").status_code == 409
        assert switch(admin, "admin", "on", reason="resolved", version="1").status_code == 303
    (row,) = platform.work(lambda session: audit.events(session, "answers.switched_off", None, 1))
    assert (row.actor, row.details["reason"]) == (platform_key(platform, "approver"), "incident")


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("reason", ["", "because", "resolved"])
def test_a_switch_needs_a_reason_of_the_list(platform: Platform, reason: str) -> None:
    with platform.logged_in("admin") as admin:
        refused = switch(admin, "admin", "off", reason=reason)
        assert (refused.status_code, "이유를 고르세요" in refused.text) == (422, True)
        assert "답변 멈추기" in admin.get("/platform").text


@pytest.mark.usefixtures("answers")
def test_how_long_things_are_kept_is_set_within_limits_and_given_back(platform: Platform) -> None:
    path = "/platform/controls/retention_days_turns"
    with platform.logged_in("admin") as admin:
        form = {"csrf": "csrf-of-admin", "reason": "law", "note": ""}
        assert admin.post(path, data=form | {"value": "90", "version": "0"}).status_code == 303
        assert "여기서 정함" in admin.get("/platform").text
        outdated = admin.post(path, data=form | {"value": "91", "version": "0"})
        assert (outdated.status_code, "control_changed" in outdated.text) == (409, True)
        outside = admin.post(path, data=form | {"value": "99999", "version": "1"})
        assert (outside.status_code, "control_out_of_limits" in outside.text) == (422, True)
        assert admin.post("/platform/controls/engine", data=form | {"value": "1", "version": "0"}).status_code == 422
        assert admin.post(path, data=form | {"give_back": "true", "version": "1"}).status_code == 303
        assert "여기서 정함" not in admin.get("/platform").text


# Conversations


def search(client: httpx.Client, login: str, **form: str) -> str:
    found = client.post("/conversations", data={"csrf": f"csrf-of-{login}", **form})
    assert found.status_code == 200
    return found.text


def test_conversations_are_found_opened_and_each_step_is_audited_with_the_reader(platform: Platform) -> None:
    word = secrets.token_hex(6)
    conversation_id, turn_ids = asked(platform, f"{word} 제 번호는 <PHONE_1> 입니다", verdict="down")
    with platform.logged_in("agent") as agent:
        shown = search(agent, "agent", text=word, rating="down", channel="web")
        assert f"/conversations/{conversation_id}" in shown
        assert "조건에 맞는 대화가 없습니다" in search(agent, "agent", text=word, rating="up")
        assert "조건에 맞는 대화가 없습니다" in search(agent, "agent", text=word, last_day="2020-01-01")
        opened = agent.get(f"/conversations/{conversation_id}").text
        assert (f"{word} 제 번호는 &lt;PHONE_1&gt;" in opened, f"/turns/{turn_ids[1]}" in opened) == (True, True)
        assert agent.get(f"/conversations/{'0' * 32}").status_code == 404
    reader = platform_key(platform, "agent")
    (searched,) = platform.work(lambda session: audit.events(session, "conversation.searched", None, 1))
    assert (searched.actor, searched.details["by"], word in str(searched.details)) == (reader, ["text", "until"], False)
    (read,) = platform.work(lambda session: audit.events(session, "conversation.read", None, 1))
    assert (read.actor, read.subject_id) == (reader, conversation_id)


def test_what_people_asked_is_shown_as_text_in_searches_and_conversations(platform: Platform) -> None:
    word = secrets.token_hex(6)
    conversation_id, turn_ids = asked(platform, f"{word} {XSS}")
    with platform.logged_in("auditor") as auditor:
        pages = [
            search(auditor, "auditor", text=f"{word} <img"),
            auditor.get(f"/conversations/{conversation_id}").text,
            auditor.get(f"/turns/{turn_ids[0]}").text,
        ]
    for page in pages:
        assert ("<img src=x" not in page, "<script>alert" not in page) == (True, True)
        assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_pages_of_a_search_follow_each_other_and_keep_what_was_asked(platform: Platform) -> None:
    word = secrets.token_hex(6)
    made = {asked(platform, f"{word} {number}")[0] for number in range(31)}
    seen: list[str] = []
    with platform.logged_in("agent") as agent:
        form: dict[str, str] = {"text": word}
        while form:
            shown = search(agent, "agent", **form)
            seen += re.findall(r'class="clamp" href="/conversations/([0-9a-f]{32})"', shown)
            after = dict(re.findall(r'name="(after_at|after_id)" value="([^"]+)"', shown))
            form = {"text": word, **after} if after else {}
    assert (set(seen), len(seen)) == (made, 31)


# The overview


def test_the_overview_counts_a_period_by_channel(platform: Platform) -> None:
    channel = f"c{secrets.token_hex(4)}"
    asked(platform, "<PHONE_1> 한도", verdict="down", state="refused", channel=channel)
    with platform.logged_in("trainer") as trainer:
        shown = trainer.get(f"/?period=7d&channel={channel}").text
        assert trainer.get("/?period=1y").status_code == 422
    numbers = re.findall(r"<strong>([^<]+)</strong>", shown)
    assert numbers[:5] == ["2", "100.0%", "100.0%", "2", "1"]
    assert len(re.findall(r"<tr data-at=", shown)) == 28
