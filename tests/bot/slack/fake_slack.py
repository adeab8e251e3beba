"""A Slack of our own: the Web API methods we call and the Socket Mode server, strict where the real one is.

It refuses what the real one refuses (a stream that is over, a missing recipient, more than one message a second where
that is asked for) and notes every payload that Slack's own types or models would not take. What it does not have is
Slack's rendering, its other limits and its people.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from uuid import uuid4

from aiohttp import WSMsgType, web
from slack_sdk.errors import SlackObjectFormationError

from tests.bot.slack.slack_types import faults_of_call

BOT_USER, TEAM, PERSON = "U0BOT00000", "T0BANK0000", "U0PERSON00"
STREAM_SECONDS: Final = 300.0
BOT_TOKEN, APP_TOKEN = "xoxb-of-the-tests", "xapp-of-the-tests"


@dataclass
class Message:
    """A message as a reader sees it."""

    channel: str
    thread: str | None
    text: str
    blocks: list[dict[str, Any]] = field(default_factory=list)
    streaming: bool = False
    began_at: float = 0.0
    updated: bool = False


@dataclass(frozen=True)
class Call:
    """One call of the Web API; `at` is the real monotonic time."""

    method: str
    arguments: dict[str, Any]
    at: float
    error: str | None = None


@dataclass
class FakeSlack:
    """Its lists are read by tests. `now` is its clock; `fail` maps a method to errors of its next calls."""

    now: Callable[[], float] = time.monotonic
    calls: list[Call] = field(default_factory=list)
    messages: dict[str, Message] = field(default_factory=dict)
    whispers: list[dict[str, Any]] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)
    views: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    fail: dict[str, list[str]] = field(default_factory=dict)
    limit: dict[str, list[int]] = field(default_factory=dict)
    stopped_streams: set[str] = field(default_factory=set)
    user_groups: dict[str, list[str]] = field(default_factory=dict)
    one_message_a_second: bool = False
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    acks: dict[str, float] = field(default_factory=dict)
    ack_bodies: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    _last_post: dict[str, float] = field(default_factory=dict)
    _numbers: Any = field(default_factory=lambda: count(1))

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/api/{method}", self._api)
        app.router.add_get("/api/{method}", self._api)
        app.router.add_get("/link", self._link)
        app.router.add_post("/response/{number}", self._response)
        return app

    # What tests do to it.

    async def deliver(self, kind: str, payload: dict[str, Any], socket: int = 0, **more: Any) -> str:
        """Send one envelope and return its id; `kind` is events_api, slash_commands or interactive."""
        envelope = str(uuid4())
        body = {"envelope_id": envelope, "type": kind, "payload": payload, "accepts_response_payload": True, **more}
        self.sent_at[envelope] = time.perf_counter()
        await self.open_sockets[socket % len(self.open_sockets)].send_str(json.dumps(body, ensure_ascii=False))
        return envelope

    sent_at: dict[str, float] = field(default_factory=dict)

    @property
    def open_sockets(self) -> list[web.WebSocketResponse]:
        return [socket for socket in self.sockets if not socket.closed and not _is_cut(socket)]

    def kill(self, socket: web.WebSocketResponse) -> None:
        """Cut a connection without a word."""
        transport = socket._req.transport if socket._req is not None else None
        assert transport is not None
        transport.abort()

    async def until(self, holds: Callable[[], bool], seconds: float = 15.0) -> None:
        """Wait until something holds that a call or an acknowledgement changes."""
        async with asyncio.timeout(seconds):
            while not holds():
                self.changed.clear()
                if holds():
                    return
                await self.changed.wait()

    def texts(self) -> list[str]:
        """Everything that any reader was ever shown, and whatever else was sent."""
        return [json.dumps(call.arguments, ensure_ascii=False) for call in self.calls] + [
            json.dumps(response, ensure_ascii=False) for response in self.responses
        ]

    def called(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.method == method and call.error is None]

    # The Web API.

    async def _api(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        token = request.headers.get("Authorization", "")
        if token not in (f"Bearer {BOT_TOKEN}", f"Bearer {APP_TOKEN}"):
            return web.json_response({"ok": False, "error": "invalid_auth"})
        if self.limit.get(method):
            self.calls.append(Call(method, arguments, time.monotonic(), "ratelimited"))
            retry_after = str(self.limit[method].pop(0))
            return web.json_response(
                {"ok": False, "error": "ratelimited"}, status=429, headers={"Retry-After": retry_after}
            )
        try:
            self.faults += faults_of_call(method, arguments)
        except SlackObjectFormationError as error:
            self.faults.append(f"{method}: {type(error).__name__}: {error}")
        failure = self.fail[method].pop(0) if self.fail.get(method) else None
        answer: dict[str, Any] | str = failure or self._does(method, arguments)
        refused = answer if isinstance(answer, str) else None
        self.calls.append(Call(method, arguments, time.monotonic(), refused))
        self.changed.set()
        if refused == "ratelimited":
            return web.json_response({"ok": False, "error": refused}, status=429, headers={"Retry-After": "1"})
        return web.json_response({"ok": False, "error": refused} if isinstance(answer, str) else {"ok": True, **answer})

    def _does(self, method: str, arguments: dict[str, Any]) -> dict[str, Any] | str:
        match method:
            case "auth.test":
                return {"user_id": BOT_USER, "team_id": TEAM, "bot_id": "B0BOT00000", "user": "haechi"}
            case "apps.connections.open":
                return {"url": f"{self.url.replace('http', 'ws')}/link?ticket={uuid4().hex}"}
            case "chat.postMessage":
                return self._post(arguments)
            case "chat.postEphemeral":
                self.whispers.append(arguments)
                return {"message_ts": self._ts()}
            case "chat.update":
                return self._update(arguments)
            case "chat.startStream":
                return self._start(arguments)
            case "chat.appendStream" | "chat.stopStream":
                return self._stream(method, arguments)
            case "views.open":
                self.views.append(arguments["view"])
                return {"view": {"id": f"V{len(self.views)}"}}
            case "usergroups.users.list":
                return {"users": self.user_groups.get(arguments["usergroup"], [])}
            case "assistant.threads.setStatus" | "assistant.threads.setSuggestedPrompts":
                return {}
        return "unknown_method"

    def _post(self, arguments: dict[str, Any]) -> dict[str, Any] | str:
        channel = arguments["channel"]
        if self.one_message_a_second and time.monotonic() - self._last_post.get(channel, -1.0) < 1.0:
            return "ratelimited"
        self._last_post[channel] = time.monotonic()
        ts = self._ts()
        blocks = arguments.get("blocks", [])
        self.messages[ts] = Message(channel, arguments.get("thread_ts"), _shown(arguments), blocks)
        return {"ts": ts, "channel": channel}

    def _update(self, arguments: dict[str, Any]) -> dict[str, Any] | str:
        message = self.messages.get(arguments["ts"])
        if message is None:
            return "message_not_found"
        if self._is_streaming(arguments["ts"]):
            return "streaming_state_conflict"
        message.text, message.blocks, message.updated = _shown(arguments), arguments.get("blocks", []), True
        return {"ts": arguments["ts"]}

    def _start(self, arguments: dict[str, Any]) -> dict[str, Any] | str:
        if not arguments["channel"].startswith("D") and not (
            arguments.get("recipient_user_id") and arguments.get("recipient_team_id")
        ):
            return "missing_recipient_user_id"
        ts = self._ts()
        self.messages[ts] = Message(
            arguments["channel"], arguments["thread_ts"], arguments.get("markdown_text") or "", [], True, self.now()
        )
        return {"ts": ts}

    def _stream(self, method: str, arguments: dict[str, Any]) -> dict[str, Any] | str:
        ts = arguments["ts"]
        if ts in self.stopped_streams:
            self.messages[ts].streaming = False
            return "stopped_by_user"
        if not self._is_streaming(ts):
            return "message_not_in_streaming_state"
        message = self.messages[ts]
        message.text += arguments.get("markdown_text") or ""
        if method == "chat.stopStream":
            message.streaming = False
            message.blocks = arguments.get("blocks") or []
        return {"ts": ts}

    def _is_streaming(self, ts: str) -> bool:
        message = self.messages.get(ts)
        if message is not None and self.now() - message.began_at > STREAM_SECONDS:
            message.streaming = False
        return message is not None and message.streaming

    def _ts(self) -> str:
        return f"1763700000.{next(self._numbers):06d}"

    async def _response(self, request: web.Request) -> web.Response:
        self.responses.append(await request.json())
        self.changed.set()
        return web.Response(text="ok")

    # Socket Mode.

    async def _link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.append(socket)
        await socket.send_str(json.dumps({"type": "hello", "num_connections": len(self.sockets)}))
        self.changed.set()
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                ack = json.loads(message.data)
                self.acks[ack["envelope_id"]] = time.perf_counter()
                self.ack_bodies[ack["envelope_id"]] = ack.get("payload")
                self.changed.set()
        self.changed.set()
        return socket


def _is_cut(socket: web.WebSocketResponse) -> bool:
    transport = socket._req.transport if socket._req is not None else None
    return transport is None or transport.is_closing()


@asynccontextmanager
async def running(fake: FakeSlack) -> AsyncIterator[FakeSlack]:
    """Serve a fake Slack on a free loopback port in this loop."""
    runner = web.AppRunner(fake.app(), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _arguments(request: web.Request) -> dict[str, Any]:
    if request.content_type == "application/json":
        found: dict[str, Any] = await request.json()
    else:
        found = dict(request.query) | dict(await request.post())
    return {name: value for name, value in found.items() if value is not None and name != "token"}


def _shown(arguments: dict[str, Any]) -> str:
    """What stands in the message itself: Slack shows blocks, and the text in notifications only."""
    for block in arguments.get("blocks", ()):
        if block["type"] == "markdown":
            return str(block["text"])
    return str(arguments.get("markdown_text") or arguments.get("text") or "")
