"""The only way into Rasa: an authenticated REST channel that takes masked text and returns intent and messages.

It refuses what is not masked, makes typed commands harmless, and writes a text nowhere but into the conversation.
"""

import hmac
import json
import logging
import re
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from rasa.core.agent import Agent
from rasa.core.channels.channel import CollectingOutputChannel, InputChannel, UserMessage
from sanic import Blueprint, response
from sanic.request import Request
from sanic.response import HTTPResponse

from bot.rasa.channel.action_schema import validate_replies_once_built
from bot.rasa.channel.hesitation import intent_to_act_on
from bot.rasa.channel.masked_shape import looks_unmasked
from bot.rasa.settings import secret

MAX_BODY_BYTES = 32 * 1024
MAX_TEXT_CHARACTERS = 4000
LOCALES = ("ko", "en")
WEBHOOK_FIELDS = frozenset({"conversation", "text", "locale"})
PARSE_FIELDS = frozenset({"text"})
SYNTHETIC_QUESTION = "예금자보호 한도가 얼마인가요"
SYNTHETIC_INTENT = "ask_knowledge"

_CONVERSATION = re.compile(r"[A-Za-z0-9:._@-]{1,128}")
# Rasa executes text that starts with a slash: /restart, /intent{"slot": "value"}.
_COMMAND_PREFIX = re.compile(r"^[\s/／﹨\\\u200b-\u200f\u2060\ufeff]+")

log = logging.getLogger("bot.rasa.channel")


class Refused(Exception):
    """A request that is not processed: an HTTP status and a stable code, never what was sent."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code


@dataclass(frozen=True)
class MaskedMessage:
    """A checked message: masked, without a leading command, in a known locale."""

    conversation: str
    text: str
    locale: str


class GuardedRest(InputChannel):  # type: ignore[misc]
    """Rasa's input channel of the gateway, mounted at /webhooks/guarded."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        validate_replies_once_built()

    @classmethod
    def name(cls) -> str:
        return "guarded"

    @classmethod
    def from_credentials(cls, credentials: dict[str, Any] | None) -> "GuardedRest":
        """Raises SecretMissing: a channel without a token is not opened."""
        return cls(secret("haechi_rasa_token"))

    def blueprint(self, on_new_message: Callable[[UserMessage], Awaitable[Any]]) -> Blueprint:
        routes = Blueprint("guarded", __name__)

        @routes.post("/webhook")
        async def receive(request: Request) -> HTTPResponse:
            return await self._answered(request, self._receive(request, on_new_message))

        @routes.post("/parse")
        async def parse(request: Request) -> HTTPResponse:
            return await self._answered(request, self._parse(request))

        @routes.get("/health")
        async def health(request: Request) -> HTTPResponse:
            return await self._answered(request, _check_health(request))

        return routes

    async def _answered(self, request: Request, work: Awaitable[dict[str, Any]]) -> HTTPResponse:
        """The result as JSON, or the reason why not. Failures are logged by class name only."""
        try:
            return response.json(await work, ensure_ascii=False)
        except Refused as refused:
            return response.json({"code": refused.code}, status=refused.status)
        except CancelledError:
            # Not an Exception: unless named here, Rasa's server would log the request with it.
            log.error("turn cancelled")  # noqa: TRY400 a traceback may quote the text
            raise
        except Exception as error:  # noqa: BLE001 whatever Rasa raises may quote the text; only its class may leave
            log.error("turn failed: %s", type(error).__name__)  # noqa: TRY400
            return response.json({"code": "rasa_failed"}, status=500)

    async def _receive(
        self, request: Request, on_new_message: Callable[[UserMessage], Awaitable[Any]]
    ) -> dict[str, Any]:
        self._authenticate(request)
        message = _read_message(_read_fields(request, WEBHOOK_FIELDS))
        parsed = await _understand(request.app.ctx.agent, message.text)
        guessed = _intent_of(parsed)
        entities = [entity["entity"] for entity in parsed["entities"]]
        parsed["intent"]["name"] = intent_to_act_on(guessed["name"], guessed["confidence"], entities)
        parsed["entities"].append({"entity": "locale", "value": message.locale, "extractor": self.name()})
        collected = CollectingOutputChannel()
        await on_new_message(
            UserMessage(message.text, collected, message.conversation, parse_data=parsed, input_channel=self.name())
        )
        return {"intent": guessed, "messages": [_without_recipient(sent) for sent in collected.messages]}

    async def _parse(self, request: Request) -> dict[str, Any]:
        self._authenticate(request)
        fields = _read_fields(request, PARSE_FIELDS)
        return {"intent": _intent_of(await _understand(request.app.ctx.agent, _read_text(fields)))}

    def _authenticate(self, request: Request) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), self._token):
            raise Refused(401, "unauthorised")


async def _check_health(request: Request) -> dict[str, Any]:
    """A synthetic question has to get its known intent: an open port proves nothing."""
    agent: Agent | None = getattr(request.app.ctx, "agent", None)
    if agent is None or not agent.is_ready():
        raise Refused(503, "no_model")
    if _intent_of(await _understand(agent, SYNTHETIC_QUESTION))["name"] != SYNTHETIC_INTENT:
        raise Refused(503, "wrong_intent")
    return {"status": "ok"}


async def _understand(agent: Agent, text: str) -> dict[str, Any]:
    """Rasa's parse of a text, outside any conversation."""
    if agent.processor is None:
        raise Refused(503, "no_model")
    parsed: dict[str, Any] = await agent.processor.parse_message(UserMessage(text))
    return parsed


def _read_fields(request: Request, allowed: frozenset[str]) -> dict[str, Any]:
    if len(request.body) > MAX_BODY_BYTES:
        raise Refused(413, "body_too_large")
    try:
        fields = json.loads(request.body)
    except ValueError:
        raise Refused(400, "malformed_json") from None
    if not isinstance(fields, dict) or not allowed.issuperset(fields):
        raise Refused(422, "unknown_fields")
    return fields


def _read_message(fields: dict[str, Any]) -> MaskedMessage:
    conversation, locale = fields.get("conversation"), fields.get("locale", "ko")
    if not isinstance(conversation, str) or not _CONVERSATION.fullmatch(conversation):
        raise Refused(422, "bad_conversation")
    if locale not in LOCALES:
        raise Refused(422, "bad_locale")
    return MaskedMessage(conversation, _read_text(fields), locale)


def _read_text(fields: dict[str, Any]) -> str:
    text = fields.get("text")
    if not isinstance(text, str) or len(text) > MAX_TEXT_CHARACTERS:
        raise Refused(422, "bad_text")
    if looks_unmasked(text):
        raise Refused(422, "not_masked")
    harmless = _COMMAND_PREFIX.sub("", text).strip()
    if not harmless:
        raise Refused(422, "empty_text")
    return harmless


def _intent_of(parsed: dict[str, Any]) -> dict[str, Any]:
    intent = parsed["intent"]
    return {"name": intent["name"], "confidence": round(float(intent["confidence"]), 4)}


def _without_recipient(message: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "recipient_id"}
