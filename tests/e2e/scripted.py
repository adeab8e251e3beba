"""A platform that says what it is told to: answers written by a test, connections cut where a test wants them cut.

The gateway is the real one; llm_service and Rasa are stand-ins, and the bank's own site is a page of another origin.
"""

import asyncio
import json
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page, Route
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount
from starlette.routing import Route as Path
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from bot.gateway import assets
from bot.gateway.app import create_app
from bot.gateway.settings import GatewaySettings
from tests.bot.gateway.stand_ins import (
    RASA_TOKEN,
    SERVICE_TOKEN,
    SOURCES,
    KeptTurn,
    LlmServiceStandIn,
    RasaStandIn,
    served,
)

TOKEN_KEY = "a secret shared with the bank's site alone"
# What docs/widget.md tells a bank to send with its pages; `{gateway}` is the only foreign address in it.
HOST_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {gateway}; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types lit-html"
)


@dataclass
class ScriptedLlmService(LlmServiceStandIn):
    """Answers every question with `pieces`, one token each."""

    pieces: Sequence[str] = ()

    async def generate(self, turn: KeptTurn) -> None:
        if not self.pieces:
            await super().generate(turn)
            return
        self.emit(turn, "sources", {"sources": SOURCES})
        for piece in self.pieces:
            await asyncio.sleep(self.pace_seconds)
            self.emit(turn, "token", {"text": piece})
        turn.state = "answered"
        timings = {"retrieve": 1.0, "answer": 1.0}
        done = {"turn_id": turn.turn_id, "state": "answered", "refused": False, "engine": "model", "timings": timings}
        self.emit(turn, "done", done)


@dataclass
class Cutter:
    """Breaks the connection of a chat after the events whose numbers are in `after`, each once."""

    app: ASGIApp
    after: set[int] = field(default_factory=set)
    cuts: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/v1/chat":
            await self.app(scope, receive, send)
            return

        async def cutting_send(message: MutableMapping[str, Any]) -> None:
            body = message.get("body", b"")
            due = [number for number in self.after if f"id: {number}\n".encode() in body]
            if not due:
                await send(message)
                return
            end = body.index(b"\n\n", body.index(f"id: {due[0]}\n".encode())) + 2
            await send({**message, "body": body[:end], "more_body": True})
            self.after.remove(due[0])
            self.cuts += 1
            raise ConnectionAbortedError

        await self.app(scope, receive, cutting_send)


@dataclass
class Platform:
    """A gateway at `url` and a bank's site of another origin at `site`."""

    url: str
    site: str
    llm_service: ScriptedLlmService
    cutter: Cutter


@contextmanager
def platform() -> Iterator[Platform]:
    llm_service, bank = ScriptedLlmService(), BankSite()
    with ExitStack() as running:
        site = running.enter_context(served(bank.app()))
        settings = GatewaySettings(
            llm_service_url=running.enter_context(served(llm_service.app())),
            rasa_url=running.enter_context(served(RasaStandIn().app())),
            rasa_token=RASA_TOKEN,
            service_token=SERVICE_TOKEN,
            session_secret="a secret that signs the sessions of the tests",
            widget_origins=site,
            widget_token_key=TOKEN_KEY,
            widget_token_algorithm="HS256",
            sessions_per_minute_per_address=100_000,
            questions_per_minute_per_user=100_000,
            questions_at_once_per_user=100_000,
            questions_per_day_per_user=100_000,
            questions_per_minute_per_address=100_000,
        )
        cutter = Cutter(create_app(settings))
        bank.gateway = running.enter_context(served(cutter))
        yield Platform(bank.gateway, site, llm_service, cutter)


@dataclass
class BankSite:
    """The demonstration page on a server of the bank's own, with the policy that the guide asks for."""

    gateway: str = ""

    def app(self) -> Starlette:
        files = StaticFiles(directory=assets.DIRECTORY)
        return Starlette(routes=[Path("/", self.page), Path("/empty", self.empty), Mount("/widget", files)])

    def page(self, _request: object) -> Response:
        headers = {"Content-Security-Policy": HOST_POLICY.format(gateway=self.gateway)}
        page = (assets.DIRECTORY / "demo.html").read_text(encoding="utf-8")
        page = page.replace("<haechi-chat>", f'<haechi-chat endpoint="{self.gateway}">')
        return Response(page, 200, headers, "text/html")

    def empty(self, _request: object) -> Response:
        headers = {"Content-Security-Policy": HOST_POLICY.format(gateway=self.gateway)}
        return Response("<!doctype html><html lang=ko><title>-</title><body></body></html>", 200, headers, "text/html")


def tell(page: Page, texts: Sequence[str]) -> None:
    """From now on the gateway answers in one breath with these tokens; nothing reaches the real one."""
    events: list[tuple[str, dict[str, object]]] = [("turn", {"turn_id": "t", "masked": False})]
    events += [("sources", {"sources": SOURCES})]
    events += [("token", {"text": text}) for text in texts]
    events += [("done", {"turn_id": "t", "state": "answered", "refused": False, "engine": "model", "timings": {}})]
    body = "".join(
        f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
        for number, (name, data) in enumerate(events)
    )

    def fulfil(route: Route) -> None:
        route.fulfill(status=200, content_type="text/event-stream", body=body)

    page.unroute_all()
    page.route("**/v1/chat", fulfil)
