"""A Slack process between a fake Slack and stand-ins of llm_service and Rasa, all on loopback."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.gateway.settings import GatewaySettings
from bot.gateway.slack.app import SlackProcess
from bot.gateway.slack.settings import SlackSettings
from llm_service import wiring
from llm_service.masked import RawText
from tests.bot.gateway.stand_ins import (
    RASA_TOKEN,
    SERVICE_TOKEN,
    SOURCES,
    KeptTurn,
    LlmServiceStandIn,
    RasaStandIn,
    Swap,
    failure,
    served,
)
from tests.bot.slack.fake_slack import APP_TOKEN, BOT_TOKEN, FakeSlack, running

PAYLOADS = Path(__file__).resolve().parents[2] / "payloads" / "slack"
SECRET = "a secret that signs and seals in the tests of Slack"
RESTATED = "what has been said so far is void"
STAFF_EVERYWHERE = """
user_groups: {S0STAFF: {audience: staff, groups: [credit]}}
channels: {C0BRANCH00: {audience: staff}}
"""


def payload(name: str, **event: Any) -> dict[str, Any]:
    """A payload file; keywords change its event, or the payload itself where it is none."""
    body: dict[str, Any] = json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8"))
    body.get("event", body).update(event)
    return body


def mention(number: int, text: str = "예금자보호 한도는 얼마인가요?", **event: Any) -> dict[str, Any]:
    """A mention of its own, in a thread of its own."""
    ts = f"17637{number:05d}.000100"
    return payload("app_mention", ts=ts, event_ts=ts, text=f"<@U0BOT00000> {text}", **event)


@dataclass
class ScriptedLlmService(LlmServiceStandIn):
    """Says `script` where it is set, piece by piece, and masks with the real masker where it has one."""

    script: list[str] | None = None
    analysers: wiring.Analysers | None = None
    first_token_at: float | None = None
    gate: Any = None
    notices: list[dict[str, str]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=lambda: SOURCES)

    async def generate(self, turn: KeptTurn) -> None:
        if self.script is None:
            return await super().generate(turn)
        self.emit(turn, "sources", {"sources": self.sources})
        for notice in self.notices:
            self.emit(turn, "notice", notice)
        for piece in self.script:
            if self.gate is not None:
                await self.gate()
            if turn.stopped:
                break
            if piece == RESTATED:
                self.emit(turn, "notice", {"code": "answer_restated", "text": "고쳐 씁니다."})
            else:
                self.emit(turn, "token", {"text": piece})
        turn.state = "stopped" if turn.stopped else "answered"
        done = {"turn_id": turn.turn_id, "state": turn.state, "refused": False, "engine": "scripted", "timings": {}}
        return self.emit(turn, "done", done)

    async def mask(self, request: Request) -> Response:
        if self.analysers is None:
            return await super().mask(request)
        if self.masking_down:
            return failure("masking_unavailable", 503)
        found = self.analysers.masker.mask(RawText((await request.json())["text"]))
        return JSONResponse({"masked": found.text, "entity_counts": dict(found.counts)})


@dataclass
class Behind:
    """Two servers whose insides every test gets anew."""

    llm_service: Swap
    rasa: Swap
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    llm_service, rasa = Swap(), Swap()
    with served(llm_service) as llm_service_url, served(rasa) as rasa_url:
        settings = {
            "llm_service_url": llm_service_url,
            "rasa_url": rasa_url,
            "rasa_token": RASA_TOKEN,
            "service_token": SERVICE_TOKEN,
            "session_secret": SECRET,
            "questions_per_minute_per_user": 10**5,
            "questions_at_once_per_user": 10**5,
            "questions_per_minute_per_channel": 10**5,
            "questions_per_day_per_user": 10**5,
        }
        yield Behind(llm_service, rasa, settings)


@pytest.fixture
def llm_service(behind: Behind) -> ScriptedLlmService:
    stand_in = ScriptedLlmService()
    behind.llm_service.inside = stand_in.app()
    return stand_in


@pytest.fixture
def rasa(behind: Behind) -> RasaStandIn:
    stand_in = RasaStandIn()
    behind.rasa.inside = stand_in.app()
    return stand_in


@pytest.fixture
async def slack() -> AsyncIterator[FakeSlack]:
    """A fake Slack; in the end, nothing that it was sent may have been invalid."""
    async with running(FakeSlack()) as fake:
        yield fake
    assert fake.faults == []


Begin = Callable[..., AbstractAsyncContextManager[SlackProcess]]


def slack_settings(slack: FakeSlack, entitlements: Path | None = None, **changes: Any) -> SlackSettings:
    given: dict[str, Any] = {
        "slack_bot_token": BOT_TOKEN,
        "slack_app_token": APP_TOKEN,
        "slack_api_url": f"{slack.url}/api/",
        "slack_web_chat_url": "https://bank.example/chat",
        "slack_allowed_link_hosts": "www.law.go.kr",
        "slack_entitlements": entitlements,
    }
    return SlackSettings(**{**given, **changes})


@pytest.fixture
def begin(
    behind: Behind, slack: FakeSlack, llm_service: ScriptedLlmService, rasa: RasaStandIn, tmp_path: Path
) -> Begin:
    """Runs a Slack process until the block ends. Keywords: pace_seconds, gateway settings, `slack_…` settings."""
    entitlements = tmp_path / "slack.yaml"
    entitlements.write_text(STAFF_EVERYWHERE, encoding="utf-8")

    @asynccontextmanager
    async def run(pace_seconds: float = 0.0, **changes: Any) -> AsyncIterator[SlackProcess]:
        own = {name: value for name, value in changes.items() if name.startswith("slack_")}
        others = {name: value for name, value in changes.items() if name not in own}
        gateway = GatewaySettings(**{**behind.settings, **others})
        process = SlackProcess(gateway, slack_settings(slack, entitlements, **own), pace_seconds)
        await process.start()
        try:
            yield process
        finally:
            await process.stop(grace_seconds=0.2)

    return run
