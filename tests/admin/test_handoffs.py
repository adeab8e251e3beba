"""Live chat in the console: who waits is listed, taken by one, answered once; what was said is text, and masked."""

import re
import secrets
from datetime import timedelta

import httpx
from sqlalchemy import func, select, update

from llm_service.store.console_models import ConsoleSession
from llm_service.store.models import now
from tests.admin.handing_over import taken, waiting
from tests.admin.platform import Platform

HOSTILE = "<script>alert(1)</script>"


def send(client: httpx.Client, path: str, login: str = "agent", **form: str) -> httpx.Response:
    return client.post(path, data={"csrf": f"csrf-of-{login}", **form})


def test_who_waits_is_listed_with_the_clock_and_can_be_taken_once(platform: Platform) -> None:
    handoff_id = waiting(platform)
    with platform.logged_in("agent") as agent, platform.logged_in("auditor") as auditor:
        queue = agent.get("/handoffs").text
        assert f"/handoffs/{handoff_id}" in queue
        assert "분 늦음" in queue or "1분 안" in queue
        assert "내가 맡기" in agent.get(f"/handoffs/{handoff_id}").text
        assert "내가 맡기" not in auditor.get(f"/handoffs/{handoff_id}").text
        assert send(agent, f"/handoffs/{handoff_id}/take").status_code == 303
        opened = agent.get(f"/handoffs/{handoff_id}").text
        assert "&lt;PHONE_1&gt;" in opened
        assert 'hx-trigger="every 3s"' in opened
        assert 'hx-trigger="every 3s"' not in auditor.get(f"/handoffs/{handoff_id}").text


def test_a_reply_that_is_sent_twice_is_said_once_and_masked(platform: Platform) -> None:
    handoff_id = taken(platform)
    event_id = secrets.token_hex(16)
    with platform.logged_in("agent") as agent:
        for _ in range(2):
            sent = send(
                agent,
                f"/handoffs/{handoff_id}/reply",
                event_id=event_id,
                text=f"{HOSTILE} 010-9876-5432로 전화드릴게요",
            )
            assert sent.status_code == 303, sent.text
        shown = agent.get(f"/handoffs/{handoff_id}").text
    assert shown.count("로 전화드릴게요") == 1
    assert "010-9876-5432" not in shown
    assert HOSTILE not in shown
    assert re.search(r"&lt;PHONE_\d&gt;로 전화드릴게요", shown)


def test_what_is_not_ones_own_is_neither_answered_nor_closed(platform: Platform) -> None:
    handoff_id = waiting(platform)
    with platform.logged_in("agent") as agent:
        for step, form in (("close", {}), ("release", {}), ("reply", {"event_id": "0" * 32, "text": "안녕하세요"})):
            refused = send(agent, f"/handoffs/{handoff_id}/{step}", **form)
            assert refused.status_code == 409
            assert "다른 상담원이 맡은 상담입니다" in refused.text


def test_a_closed_one_offers_nothing_any_more(platform: Platform) -> None:
    handoff_id = taken(platform)
    with platform.logged_in("agent") as agent:
        assert send(agent, f"/handoffs/{handoff_id}/close").status_code == 303
        shown = agent.get(f"/handoffs/{handoff_id}").text
        assert f"/handoffs/{handoff_id}" not in agent.get("/handoffs").text
    assert "끝남" in shown
    assert "<textarea" not in shown


def test_a_page_that_renews_itself_keeps_no_login_alive(platform: Platform) -> None:
    with platform.logged_in("agent") as agent:
        long_ago = now() - timedelta(minutes=10)
        platform.work(lambda session: session.execute(update(ConsoleSession).values(last_seen_at=long_ago)))
        assert agent.get("/handoffs?renewing=1").status_code == 200
        assert platform.work(lambda session: session.scalar(select(func.max(ConsoleSession.last_seen_at)))) == long_ago
        assert agent.get("/handoffs").status_code == 200
        assert platform.work(lambda session: session.scalar(select(func.max(ConsoleSession.last_seen_at)))) > long_ago
