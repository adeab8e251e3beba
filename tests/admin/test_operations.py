"""Settings, looking conversations up, the overview: what they show, whom they let, what they leave in the audit."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from sqlalchemy import delete

from llm_service.store import audit
from llm_service.store.control_models import Control
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
