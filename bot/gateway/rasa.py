"""Client of Rasa's guarded channel: masked text in, a decision out.

One attempt within three seconds. Rasa fails silently (HTTP 200 and `[]`), so everything that is not plainly a usable
reply becomes `RasaUnusable` with a reason; what happens then is not decided here.
"""

from typing import Any, Final, Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bot.gateway.decision import Decision, Intent
from llm_service.client import Locale, Route, Verdict

TIMEOUT_SECONDS: Final = 3.0
SYNTHETIC_QUESTION: Final = "hello"

Shape = TypeVar("Shape", bound=BaseModel)
Reason = Literal["disabled", "empty", "status", "timeout", "unreachable", "unreadable", "unknown_custom"]


class RasaUnusable(Exception):
    """Rasa gave no usable reply, for this reason. Carries no text."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason: Reason = reason


class _Ticket(BaseModel):
    """A structured message: ask the documents, ask for a person, or feedback that was typed."""

    model_config = ConfigDict(extra="ignore")

    type: str
    verdict: Verdict | None = None


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore")

    text: str | None = None
    custom: _Ticket | None = None

    @model_validator(mode="before")
    @classmethod
    def unwrap_custom(cls, value: Any) -> Any:
        # Stock channels need {"custom": {"data": {...}}}; the guarded channel may leave the wrapping out.
        match value:
            case {"custom": {"data": dict() as data}}:
                return {**value, "custom": data}
            case _:
                return value


class _Intent(BaseModel):
    model_config = ConfigDict(extra="ignore")

    name: str
    confidence: float = Field(ge=0, le=1)


class _Parsed(BaseModel):
    model_config = ConfigDict(extra="ignore")

    intent: _Intent


class _Reply(_Parsed):
    messages: list[_Message]


class RasaClient:
    """Calls the guarded channel with its token. An empty `base_url` means that there is no Rasa."""

    def __init__(self, base_url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._enabled = bool(base_url)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            trust_env=False,
            headers={"Authorization": f"Bearer {token}"},
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def decide(self, conversation_id: str, masked_text: str, locale: Locale) -> Decision:
        """What Rasa makes of a question in its conversation. Raises `RasaUnusable`."""
        body = {"conversation": conversation_id, "text": masked_text, "locale": locale}
        reply = _read(_Reply, await self._post("/webhooks/guarded/webhook", body))
        return _decision_of(reply)

    async def parse(self, masked_text: str) -> Intent:
        """The intent of a text outside any conversation. Raises `RasaUnusable`."""
        parsed = _read(_Parsed, await self._post("/webhooks/guarded/parse", {"text": masked_text}))
        return Intent(parsed.intent.name, parsed.intent.confidence)

    async def is_ready(self) -> bool:
        """Whether a synthetic question is understood; an open port or HTTP 200 on `/` proves nothing."""
        try:
            await self.parse(SYNTHETIC_QUESTION)
        except RasaUnusable:
            return False
        return True

    async def _post(self, path: str, body: dict[str, str]) -> httpx.Response:
        if not self._enabled:
            raise RasaUnusable("disabled")
        try:
            response = await self._http.post(path, json=body)
        except httpx.TimeoutException:
            raise RasaUnusable("timeout") from None
        except httpx.HTTPError:
            raise RasaUnusable("unreachable") from None
        if response.status_code != httpx.codes.OK:
            raise RasaUnusable("status")
        return response


def _read(shape: type[Shape], response: httpx.Response) -> Shape:
    try:
        return shape.model_validate_json(response.content)
    except ValidationError:
        # A bare `[]` is how the stock channel says nothing; the cause is cut off because it quotes the reply.
        raise RasaUnusable("empty" if response.content.strip() == b"[]" else "unreadable") from None


def _decision_of(reply: _Reply) -> Decision:
    texts = tuple(message.text.strip() for message in reply.messages if message.text and message.text.strip())
    tickets = [message.custom for message in reply.messages if message.custom]
    if any(ticket.type not in ("answer", "handoff", "feedback") for ticket in tickets):
        raise RasaUnusable("unknown_custom")
    if not texts and not tickets:
        raise RasaUnusable("empty")
    # Several tickets in one reply are a known misfire of Rasa's rules: the first one counts.
    ticket = tickets[0] if tickets else None
    kind = ticket.type if ticket else None
    verdict = ticket.verdict if ticket and kind == "feedback" else None
    if kind == "feedback" and verdict is None:
        verdict = "down" if reply.intent.name == "feedback_negative" else "up"
    return Decision(
        route=Route(reply.intent.name, reply.intent.confidence, by="rasa"),
        asks_documents=kind == "answer",
        replies=texts,
        handoff=kind == "handoff",
        verdict=verdict,
    )
