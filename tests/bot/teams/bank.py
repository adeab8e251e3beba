"""The bank's side of a test: a real worker before a real Redis, stand-ins for answers, a connector in this process.

Time can run faster for Teams and the worker alike (`SPEED`), so that three minutes of an answer take seconds.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bot.gateway.directory import Person
from bot.gateway.settings import GatewaySettings
from bot.gateway.teams.app import TeamsWorker
from bot.gateway.teams.settings import TeamsSettings
from bot.gateway.teams.streamed_message import PIECE_SECONDS, StreamedMessage
from bot.teams_door.activity import activity_of, message_of
from bot.teams_door.inbox import InboxDoor, InboxWorker, KeyPair
from bot.teams_door.message import TeamsMessage
from llm_service.masked import RawText
from llm_service.masking.masker import Masker
from tests.bot.gateway.stand_ins import SENTENCES, SOURCES, KeptTurn, LlmServiceStandIn
from tests.bot.teams.microsoft import APP_ID, TENANT, FakeConnector, payload

SPEED = 20.0
UNLIMITED = {"questions_per_minute_per_user": 10_000, "questions_at_once_per_user": 10_000}
WEB_CHAT = "https://bank.example/chat"


@dataclass
class TalkingStandIn(LlmServiceStandIn):
    """Answers a question with what `said` holds for it, else with `words`, else as usual; a word at a time.

    `masker` is the real one, where what may leave has to be judged as the real service judges it.
    """

    words: str = ""
    said: dict[str, str] = field(default_factory=dict)
    masker: Masker | None = None
    cited: list[dict[str, Any]] = field(default_factory=lambda: list(SOURCES))
    stopped_at: float | None = None

    async def generate(self, turn: KeptTurn) -> None:
        self.emit(turn, "sources", {"sources": self.cited})
        words = self.said.get(turn.question) or self.words or "".join(SENTENCES)
        for piece in re.findall(r"\S+\s*", words):
            if turn.stopped:
                self.stopped_at = time.monotonic()
                break
            await asyncio.sleep(self.pace_seconds)
            self.emit(turn, "token", {"text": piece})
        turn.state = "stopped" if turn.stopped else "answered"
        done = {"turn_id": turn.turn_id, "state": turn.state, "refused": False, "engine": "stand-in"}
        self.emit(turn, "done", {**done, "timings": {}})

    async def mask(self, request: Request) -> Response:
        if self.masker is None or self.masking_down:
            return await super().mask(request)
        found = self.masker.mask(RawText((await request.json())["text"]))
        return JSONResponse({"masked": found.text, "entity_counts": dict(found.counts)})


class Staff:
    """Everybody is staff and speaks Korean."""

    async def person_of(self, channel: str, external_id: str) -> Person:
        assert channel == "teams"
        return Person(external_id, "staff", (), "ko")


@dataclass
class InTeams:
    """A person's view: say something, look at what stands in Teams."""

    connector: FakeConnector
    llm_service: TalkingStandIn
    inbox: InboxDoor
    made: int = 0
    run: str = field(default_factory=lambda: uuid4().hex)

    async def say(self, name: str, *, again: bool = False, **changes: Any) -> TeamsMessage:
        """Let an activity through the door; each has an id of its own unless it comes `again`."""
        self.made += 0 if again else 1
        activity = payload(name, **{"id": f"{self.run}-{self.made}", **changes})
        message = message_of(activity_of(httpx.Request("POST", "http://x", json=activity).content))
        assert message is not None
        await self.inbox.put(message)
        return message


def settings_of(redis_url: str, keys: KeyPair, **changes: Any) -> TeamsSettings:
    given: dict[str, Any] = {
        "teams_enabled": True,
        "teams_app_id": APP_ID,
        "teams_app_secret": "a secret of the tests",
        "teams_app_tenant": TENANT,
        "teams_tenants": TENANT,
        "teams_redis_url": redis_url,
        "teams_inbox_private_keys": keys.private,
        "teams_web_chat_url": WEB_CHAT,
    }
    return TeamsSettings(**{**given, **changes})


@asynccontextmanager
async def in_teams(
    gateway: dict[str, Any],
    redis_url: str,
    keys: KeyPair,
    llm_service: TalkingStandIn,
    speed: float = 1.0,
    abandoned_milliseconds: int = 60_000,
    mounts: dict[str, httpx.AsyncBaseTransport] | None = None,
    **teams: Any,
) -> AsyncIterator[InTeams]:
    """A worker that runs, and a person who talks to it. `mounts`: addresses that are real ones and not the lab's."""
    connector = FakeConnector(clock=lambda: time.monotonic() * speed)
    http = httpx.AsyncClient(transport=httpx.ASGITransport(connector.app()), mounts=mounts)
    inbox = InboxDoor(redis_url, keys.public, 1000)
    settings = GatewaySettings(**{**gateway, "redis_url": redis_url, **UNLIMITED})
    worker = TeamsWorker(
        settings,
        settings_of(redis_url, keys, **teams),
        http,
        InboxWorker(redis_url, keys.private, uuid4().hex, abandoned_milliseconds, wait_milliseconds=50),
        people=Staff(),
        pace_seconds=PIECE_SECONDS / speed,
        message=partial(
            StreamedMessage,
            clock=lambda: time.monotonic() * speed,
            sleep=lambda seconds: asyncio.sleep(seconds / speed),
        ),
    )
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(stop))
    try:
        yield InTeams(connector, llm_service, inbox)
    finally:
        stop.set()
        await running
        await worker.close()
        await inbox.close()
        # Rules of Teams that were broken fail the test that broke them.
        assert connector.broken_rules == []
