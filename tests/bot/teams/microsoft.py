"""Microsoft's side of the wire: who signs tokens, where the keys are published, and the connector that takes answers.

The connector keeps Teams' documented rules (Microsoft Learn, "Stream bot messages"): one stream in a one-to-one chat,
each piece beginning with the one before, at most one request a second, two minutes a stream, and the Stop button.
"""

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

PAYLOADS = Path(__file__).parents[2] / "payloads" / "teams"
TENANT = "5f3d9a58-5a4a-4a1e-9d3b-1f0a6c2f7b11"
APP_ID = "8a7c3c1e-2f6b-4d3a-9b1e-6d2f1a0c5e44"
PERSON = "c0ffee00-1111-4222-8333-444455556666"
ISSUER = "https://api.botframework.com"
SERVICE_URL = "https://smba.trafficmanager.net/kr/"
KEY_ID = "connector-key-1"
STREAM_SECONDS = 120.0


def payload(name: str, **changes: Any) -> dict[str, Any]:
    """A recorded activity, with top-level fields changed."""
    return {**json.loads((PAYLOADS / f"{name}.json").read_text(encoding="utf-8")), **changes}


class Signer:
    """Signs connector tokens as Microsoft does, and as somebody else would."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.other_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def token(self, *, algorithm: str = "RS256", key: Any = None, key_id: str | None = KEY_ID, **claims: Any) -> str:
        """A token that is good but for what is named here; a claim of None is left out."""
        now = int(time.time())
        good = {
            "iss": ISSUER,
            "aud": APP_ID,
            "serviceurl": SERVICE_URL,
            "nbf": now - 5,
            "iat": now - 5,
            "exp": now + 600,
        }
        kept = {name: value for name, value in {**good, **claims}.items() if value is not None}
        return jwt.encode(kept, key or self.key, algorithm=algorithm, headers={"kid": key_id} if key_id else None)

    def key_set(self, **more: Any) -> dict[str, Any]:
        published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {"keys": [{**published, "kid": KEY_ID, "use": "sig", "endorsements": ["msteams", "webchat"], **more}]}


@dataclass
class KeyServer:
    """Publishes a key set; `hold` keeps requests waiting until it is set, `status` lets it fail."""

    key_set: dict[str, Any]
    asked: int = 0
    status: int = 200
    hold: threading.Event | None = None
    held: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/keys", self.keys)])

    async def keys(self, _request: Request) -> Response:
        self.asked += 1
        if self.hold is not None:
            self.held.set()
            await asyncio.to_thread(self.hold.wait, 20)
        return JSONResponse(self.key_set, status_code=self.status)


@dataclass(frozen=True)
class Received:
    """One call to the connector: when, how, what, and what it was told."""

    at: float
    method: str
    conversation: str
    activity: dict[str, Any]
    status: int

    @property
    def stream_info(self) -> dict[str, Any] | None:
        return next((e for e in self.activity.get("entities", []) if e.get("type") == "streaminfo"), None)

    @property
    def is_piece(self) -> bool:
        return self.stream_info is not None and self.activity["type"] == "typing"


@dataclass
class _Stream:
    id: str
    conversation: str
    began: float
    text: str = ""
    last: float = 0.0
    is_over: bool = False


@dataclass
class FakeConnector:
    """`clock` is the connector's own; `stopped` is the person's Stop button; `refuse` answers the next calls."""

    clock: Callable[[], float] = time.monotonic
    received: list[Received] = field(default_factory=list)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    broken_rules: list[str] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    refuse: list[Response] = field(default_factory=list)
    stopped: bool = False
    private_chats: bool = True
    streams: dict[str, _Stream] = field(default_factory=dict)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    stopped_at: float | None = None

    def app(self) -> Starlette:
        activities = "/{region}/v3/conversations/{conversation}/activities"
        return Starlette(
            routes=[
                Route(activities, self.create, methods=["POST"]),
                Route(activities + "/{activity}", self.update, methods=["PUT"]),
                Route("/{region}/v3/conversations", self.open_private, methods=["POST"]),
                Route("/{tenant}/oauth2/v2.0/token", self.token, methods=["POST"]),
            ]
        )

    async def token(self, _request: Request) -> Response:
        return JSONResponse({"token_type": "Bearer", "expires_in": 3600, "access_token": "a-bot-token"})

    async def open_private(self, request: Request) -> Response:
        if not self.private_chats:
            return _forbidden("BotNotInConversationRoster", "The bot is not installed for the user.")
        return JSONResponse({"id": f"a:private-of-{(await request.json())['members'][0]['id']}"}, 201)

    async def until(self, is_so: Callable[["FakeConnector"], bool], seconds: float = 20.0) -> None:
        """Wait until the calls so far are as wanted."""
        async with asyncio.timeout(seconds):
            while not is_so(self):
                await self.arrived.wait()

    @property
    def texts(self) -> list[str]:
        """What stands in Teams now, in order."""
        return [message.get("text", "") for message in self.messages.values()]

    @property
    def pieces(self) -> list[Received]:
        return [one for one in self.received if one.is_piece and one.status < 300]

    async def create(self, request: Request) -> Response:
        activity = await request.json()
        conversation = request.path_params["conversation"]
        self.authorizations.add(request.headers.get("authorization", ""))
        response = self.refuse.pop(0) if self.refuse else self._created(conversation, activity)
        self._note("POST", conversation, activity, response.status_code)
        return response

    async def update(self, request: Request) -> Response:
        activity = await request.json()
        found = request.path_params["activity"]
        response: Response = self.refuse.pop(0) if self.refuse else JSONResponse({"id": found})
        if response.status_code == 200:
            if found not in self.messages:
                response = JSONResponse({"error": {"code": "NotFound", "message": "no such activity"}}, 404)
            else:
                self.messages[found] = activity
        self._note("PUT", request.path_params["conversation"], activity, response.status_code)
        return response

    def _note(self, method: str, conversation: str, activity: dict[str, Any], status: int) -> None:
        self.received.append(Received(self.clock(), method, conversation, activity, status))
        self.arrived.set()
        self.arrived = asyncio.Event()

    def _created(self, conversation: str, activity: dict[str, Any]) -> Response:
        info = next((e for e in activity.get("entities", []) if e.get("type") == "streaminfo"), None)
        if info is not None:
            return self._streamed(conversation, activity, info)
        if activity["type"] == "typing":
            return JSONResponse({}, 202)
        new_id = f"m{len(self.messages) + 1}"
        self.messages[new_id] = activity
        return JSONResponse({"id": new_id}, 201)

    def _streamed(self, conversation: str, activity: dict[str, Any], info: dict[str, Any]) -> Response:
        now = self.clock()
        if conversation.startswith("19:"):
            self.broken_rules.append("a stream outside a one-to-one chat")
        stream = self.streams.get(info.get("streamId", ""))
        if stream is None:
            stream = _Stream(f"m{len(self.messages) + 1}", conversation, now)
            self.streams[stream.id] = stream
            if sum(not other.is_over and other.conversation == conversation for other in self.streams.values()) > 1:
                self.broken_rules.append("two streams at once")
            self.messages[stream.id] = activity
        elif now - stream.last < 1.0 and activity["type"] == "typing":
            self.broken_rules.append("two pieces within a second")
        if self.stopped:
            self.stopped_at = self.stopped_at or now
            return _forbidden("ContentStreamNotAllowed", "Content stream was canceled by user.")
        if now - stream.began > STREAM_SECONDS:
            return _forbidden("ContentStreamNotAllowed", "Content stream exceeded streaming time limit of 2 minutes.")
        if not activity.get("text", "").startswith(stream.text) and info["streamType"] != "informative":
            self.broken_rules.append("a piece that does not begin with the one before")
        stream.last = now
        if info["streamType"] == "streaming":
            stream.text = activity["text"]
        stream.is_over = info["streamType"] == "final"
        self.messages[stream.id] = activity
        return JSONResponse(
            {"id": stream.id} if info.get("streamSequence") == 1 else {}, 201 if "streamId" not in info else 202
        )


def _forbidden(code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status_code=403)


def throttled(seconds: int) -> Response:
    return JSONResponse(
        {"error": {"code": "TooManyRequests", "message": "throttled"}}, 429, headers={"Retry-After": str(seconds)}
    )


def failing(status: int) -> Response:
    return JSONResponse({"error": {"code": "BadArgument", "message": "refused"}}, status)
