"""S9: a thumb down opens the form at once; verdict and correction are kept with all they judge, masked, every edit."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from bot.gateway.settings import GatewaySettings
from bot.gateway.slack.app import SlackProcess
from llm_service.store.models import Feedback
from tests.bot.slack.conftest import SECRET, STAFF_EVERYWHERE, Begin, ScriptedLlmService, payload, slack_settings
from tests.bot.slack.fake_slack import PERSON, FakeSlack
from tests.conftest import SERVICE_TOKEN, RunningService

GUIDE = """# 예금자보호 안내

## 보호 한도

예금자보호 한도는 원금과 이자를 합하여 예금자 1인당 1억원입니다. 한도를 넘는 금액은 보호되지 않습니다.

## 보호 대상

정기예금과 정기적금은 보호 대상이고, 펀드와 주식은 보호 대상이 아닙니다.
"""
QUESTION = "예금자보호 한도는 얼마인가요?"


def handle_of(slack: FakeSlack) -> str:
    return str(re.findall(r'"value": "down:([^"]+)"', "".join(slack.texts()))[0])


def pressed(verdict: str, handle: str, action_ts: str = "1763700009.000200") -> dict[str, Any]:
    body = payload("block_actions")
    body["actions"][0].update(value=f"{verdict}:{handle}", action_ts=action_ts)
    return body


def submitted(slack: FakeSlack, correction: str, view: str) -> dict[str, Any]:
    body = payload("view_submission")
    body["view"]["private_metadata"] = slack.views[-1]["private_metadata"]
    body["view"]["id"] = view
    body["view"]["state"]["values"]["correction"]["correction_field"]["value"] = correction
    return body


def kept(database: Engine) -> list[Feedback]:
    with Session(database) as session:
        return list(session.scalars(select(Feedback).order_by(Feedback.created_at)))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_s9_a_correction_is_kept_with_prompt_answer_sources_and_model_and_a_second_edit_keeps_the_first(
    slack: FakeSlack, service: RunningService, tmp_path: Path
) -> None:
    await service.client.upload_document("예금자보호.md", GUIDE.encode(), ["staff", "customer"])
    slack.user_groups["S0STAFF"] = [PERSON]
    entitlements = tmp_path / "slack.yaml"
    entitlements.write_text(STAFF_EVERYWHERE, encoding="utf-8")
    gateway = GatewaySettings(
        llm_service_url=service.url, rasa_url="", service_token=SERVICE_TOKEN, session_secret=SECRET
    )
    process = SlackProcess(gateway, slack_settings(slack, entitlements), 0.0)
    await process.start()
    try:
        await slack.deliver("events_api", payload("message_im", text=QUESTION))
        await slack.until(lambda: bool(slack.called("chat.stopStream")), seconds=30)
        pressed_at = time.monotonic()
        await slack.deliver("interactive", pressed("down", handle_of(slack)))
        await slack.until(lambda: bool(slack.views))
        assert time.monotonic() - pressed_at <= 3.0
        for number, correction in enumerate(
            ("1억원까지입니다. 문의 010-1234-5678", "원금과 이자를 합해 1억원까지입니다."), 1
        ):
            await slack.deliver("interactive", submitted(slack, correction, f"V0FORM000{number}"))
            await slack.until(lambda count=number: "".join(slack.texts()).count("담당자가 검토합니다") >= 2 * count)  # type: ignore[misc]
    finally:
        await process.stop(grace_seconds=1)
    rows = kept(service.database)
    assert [row.verdict for row in rows] == ["down", "down", "down"]
    assert [row.reason for row in rows] == [None, "wrong", "wrong"]
    assert "010-1234-5678" not in str(rows[1].correction)
    assert "1억원까지입니다." in str(rows[1].correction)
    assert rows[2].correction == "원금과 이자를 합해 1억원까지입니다."
    (turn_id,) = {row.turn_id for row in rows}
    told = await service.client.explanation(turn_id)
    assert told.question == QUESTION
    assert "1억원" in str(told.answer)
    assert (told.engine, told.adapter) == ("extractive", None)
    assert [source.document for source in told.sources] == ["예금자보호.md"]
    (message,) = slack.messages.values()
    assert message.text == told.answer


async def test_s9_a_form_that_slack_does_not_open_is_said_and_the_verdict_is_kept(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    slack.fail["views.open"] = ["expired_trigger_id"]
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: bool(slack.called("chat.stopStream")))
        await slack.deliver("interactive", pressed("down", handle_of(slack)))
        await slack.until(lambda: len(slack.whispers) == 1 and len(llm_service.feedback) == 1)
    assert "열지 못했습니다" in slack.whispers[0]["text"]
    assert llm_service.feedback[0]["verdict"] == "down"


async def test_a_thumb_up_is_thanked_alone_and_a_forged_handle_is_not_found(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: bool(slack.called("chat.stopStream")))
        await slack.deliver("interactive", pressed("up", handle_of(slack)))
        await slack.until(lambda: len(slack.whispers) == 1)
        await slack.deliver("interactive", pressed("up", "a.b.c", "1763700009.000300"))
        await slack.until(lambda: len(slack.whispers) == 2)
    assert "감사합니다" in slack.whispers[0]["text"]
    assert "찾을 수 없습니다" in slack.whispers[1]["text"]
    assert len(llm_service.feedback) == 1
