"""The web channel: guest sessions, chat over server-sent events, stop, feedback, and the route of a text for services.

Speaks HTTP and nothing else: who may, how often, which shape. What becomes of a question stands in `turn.py`.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import date
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field

from bot.gateway.errors import Declined
from bot.gateway.event_stream import EventStream, encoded
from bot.gateway.limits import Limits
from bot.gateway.question import check_question
from bot.gateway.restore import Restorer
from bot.gateway.routing import Router
from bot.gateway.sessions import Person, Sessions
from bot.gateway.settings import GatewaySettings
from bot.gateway.turn import ChatEvent, ChatTurns, OpenTurn, Question
from llm_service.client import (
    GROUP_PATTERN,
    MAXIMUM_GROUPS,
    Audience,
    ConversationKey,
    LlmServiceClient,
    Locale,
    Verdict,
)

IPV6_PREFIX_BITS = 64
GUEST_CHANNEL = "web"
SERVICE_CHANNEL = "api"
MAXIMUM_REASON_CHARACTERS = 32
MAXIMUM_CORRECTION_CHARACTERS = 4000


@dataclass(frozen=True)
class WebParts:
    """What the web channel is handed by `app.py`."""

    settings: GatewaySettings
    sessions: Sessions
    limits: Limits
    turns: ChatTurns
    router: Router
    llm_service: LlmServiceClient


@dataclass(frozen=True)
class OpenStream:
    """A turn's events on their way to the person, and the name by which that person may speak of the turn."""

    handle: str
    events: AsyncGenerator[ChatEvent]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class SessionBody(_Body):
    locale: Locale = "ko"


class ChatBody(_Body):
    """`audience`, `groups`, `as_of` and `user` may be stated by services only."""

    message_id: UUID
    conversation: UUID
    text: str
    locale: Locale = "ko"
    audience: Audience | None = None
    groups: tuple[Annotated[str, Field(pattern=GROUP_PATTERN)], ...] = Field((), max_length=MAXIMUM_GROUPS)
    as_of: date | None = None
    user: str | None = Field(None, min_length=1, max_length=128)


class FeedbackBody(_Body):
    turn_id: str = Field(max_length=256)
    event_id: UUID
    verdict: Verdict
    reason: str | None = Field(None, max_length=MAXIMUM_REASON_CHARACTERS, pattern=r"^[a-z_]+$")
    correction: str | None = Field(None, max_length=MAXIMUM_CORRECTION_CHARACTERS)


class RouteBody(_Body):
    text: str


# A coroutine although it waits for nothing, as those below: FastAPI calls plain functions on another thread.
async def _parts(request: Request) -> WebParts:
    parts: WebParts = request.app.state.web
    return parts


Parts = Annotated[WebParts, Depends(_parts)]
Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]


async def _person(parts: Parts, bearer: Bearer) -> Person:
    if bearer is None:
        raise Declined("session_required", 401)
    return parts.sessions.person(bearer.credentials)


async def _service(person: Annotated[Person, Depends(_person)]) -> Person:
    if not person.is_service:
        raise Declined("not_permitted", 403)
    return person


KnownPerson = Annotated[Person, Depends(_person)]
Service = Annotated[Person, Depends(_service)]
router = APIRouter(prefix="/v1")


@router.post("/session")
async def open_session(request: Request, parts: Parts, body: SessionBody, bearer: Bearer) -> dict[str, Any]:
    """A guest token; whoever presents a valid one gets a new one for the same guest.

    Whom the bank's site vouches for gets none: that would outlive the bank's own token.
    """
    await parts.limits.session(GUEST_CHANNEL, address_of(request))
    known = await _person(parts, bearer) if bearer else None
    if known is None and not parts.settings.anonymous_guests:
        raise Declined("identity_required", 403)
    if known and known.vouched_for:
        raise Declined("not_permitted", 403)
    return {"token": parts.sessions.issue(known), "expires_in": parts.sessions.valid_seconds}


async def _open_turn(request: Request, parts: Parts, person: KnownPerson, body: ChatBody) -> OpenTurn:
    """Everything that can end in an HTTP error happens here, before the stream has begun."""
    if not person.is_service:
        await parts.limits.question(GUEST_CHANNEL, person.user, address_of(request))
        if body.audience or body.groups or body.as_of or body.user:
            raise Declined("not_permitted", 403)
    check_question(body.text, parts.settings.maximum_question_characters)
    return await parts.turns.open(_question(person, body))


async def _open_stream(
    parts: Parts,
    person: KnownPerson,
    opened: Annotated[OpenTurn, Depends(_open_turn)],
    last_event_id: Annotated[int | None, Header(ge=0)] = None,
) -> AsyncIterator[OpenStream]:
    """The turn's events, closed as soon as the response is over, however it ends: a reader who leaves holds nothing."""
    events = parts.turns.stream(opened, last_event_id)
    if not person.is_service:
        # What a service shows where is not known here; a guest's stream is seen by the guest alone.
        events = Restorer(parts.llm_service, opened.turn.conversation_id, person.user).restored(events)
    async with aclosing(events):
        yield OpenStream(parts.sessions.turn_handle(opened.turn, person.user), events)


@router.post("/chat")
async def chat(stream: Annotated[OpenStream, Depends(_open_stream)]) -> EventStream:
    """One question's events. The same `message_id` again, with Last-Event-ID, goes on where the reader was cut off."""
    return EventStream(_sent(stream))


@router.post("/chat/{turn_id}/stop")
async def stop(turn_id: str, parts: Parts, person: KnownPerson) -> dict[str, bool]:
    await parts.turns.stop(parts.sessions.owned_turn(turn_id, person.user))
    return {"stopped": True}


@router.post("/feedback", status_code=201)
async def give_feedback(request: Request, body: FeedbackBody, parts: Parts, person: KnownPerson) -> dict[str, str]:
    """A verdict on one's own turn; the same `event_id` again changes nothing."""
    turn = parts.sessions.owned_turn(body.turn_id, person.user)
    if not person.is_service:
        await parts.limits.remark(GUEST_CHANNEL, person.user, address_of(request))
    feedback_id = await parts.llm_service.give_feedback(
        turn.turn_id, turn.conversation_id, str(body.event_id), body.verdict, body.reason, body.correction or None
    )
    return {"feedback_id": feedback_id}


@router.post("/route")
async def route(parts: Parts, service: Service, body: RouteBody) -> dict[str, Any]:
    """The intent of a text, which is masked first."""
    check_question(body.text, parts.settings.maximum_question_characters)
    masked = await parts.llm_service.mask(body.text)
    found = await parts.router.intent_of(masked["masked"])
    return {"intent": found.intent.name, "confidence": found.intent.confidence, "by": found.by}


def conversation_key(
    person: Person,
    conversation: UUID,
    locale: Locale,
    user: str | None = None,
    audience: Audience | None = None,
    groups: tuple[str, ...] = (),
) -> ConversationKey:
    """A person's conversation by the page's id of it; services may state for whom and with which rights they speak."""
    user = user or person.user
    return ConversationKey(
        channel=SERVICE_CHANNEL if person.is_service else GUEST_CHANNEL,
        # The user is part of the thread: a guessed conversation id opens nobody else's conversation.
        thread=f"{user}:{conversation}",
        user=user,
        audience=audience or person.audience,
        locale=locale,
        groups=groups,
    )


def _question(person: Person, body: ChatBody) -> Question:
    conversation = conversation_key(person, body.conversation, body.locale, body.user, body.audience, body.groups)
    return Question(str(body.message_id), conversation, body.text, body.as_of)


async def _sent(stream: OpenStream) -> AsyncIterator[bytes]:
    async for event in stream.events:
        data = {**event.data, "turn_id": stream.handle} if "turn_id" in event.data else event.data
        yield encoded(event.id, event.event, json.dumps(data, ensure_ascii=False))


def counted_address(host: str) -> str:
    """What is limited as one address: IPv6 by its /64, of which whoever has one address has all (RFC 6177)."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or IPv6Network((int(address), IPV6_PREFIX_BITS), strict=False))


def address_of(request: Request) -> str:
    """The address that a request came from, as it is counted."""
    return counted_address(request.client.host) if request.client else "unknown"
