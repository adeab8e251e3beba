"""Hand-offs over HTTP, for pages: ask, see how it stands, follow, write, leave, rate (docs/handoff.md).

A conversation is named by the page's own id; together with the person's token it can be nobody else's.
"""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response, status
from pydantic import BaseModel, ConfigDict, Field

from bot.gateway.errors import Declined
from bot.gateway.event_stream import EventStream, encoded
from bot.gateway.handoff import Handoffs, state_text, status_body
from bot.gateway.question import check_question
from bot.gateway.restore import Restorer
from bot.gateway.sessions import Person
from bot.gateway.web import GUEST_CHANNEL, KnownPerson, Parts, address_of, conversation_key
from llm_service.client import ConversationKey, Locale
from llm_service.handoff_client import HandoffStatus, PersonHandoffs, Reason

router = APIRouter(prefix="/v1/handoff")


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    conversation: UUID
    locale: Locale = "ko"


class AskBody(_Body):
    reason: Reason = "asked"


class MessageBody(_Body):
    message_id: UUID
    text: str


class LeaveBody(_Body):
    pass


class RatingBody(_Body):
    rating: int = Field(ge=1, le=5)


async def _people(request: Request) -> PersonHandoffs:
    people: PersonHandoffs = request.app.state.people_handoffs
    return people


async def _handoffs(request: Request) -> Handoffs:
    handoffs: Handoffs = request.app.state.handoffs
    return handoffs


People = Annotated[PersonHandoffs, Depends(_people)]


async def _counted(request: Request, parts: Parts, person: KnownPerson) -> Person:
    if not person.is_service:
        await parts.limits.remark(GUEST_CHANNEL, person.user, address_of(request))
    return person


CountedPerson = Annotated[Person, Depends(_counted)]


async def _key(
    person: CountedPerson, conversation: Annotated[UUID, Query()], locale: Annotated[Locale, Query()] = "ko"
) -> ConversationKey:
    return conversation_key(person, conversation, locale)


Key = Annotated[ConversationKey, Depends(_key)]


@router.post("", status_code=status.HTTP_201_CREATED)
async def ask(
    body: AskBody, person: CountedPerson, handoffs: Annotated[Handoffs, Depends(_handoffs)], response: Response
) -> dict[str, Any]:
    """Ask for a person: 201 for a new request, 200 for the open one and where none can be had now."""
    found = await handoffs.ask(conversation_key(person, body.conversation, body.locale), body.reason)
    if not found.is_new:
        response.status_code = status.HTTP_200_OK
    return status_body(found, body.locale)


@router.get("")
async def stands(key: Key, people: People) -> dict[str, Any]:
    """How the conversation's last hand-off stands."""
    return status_body(await people.status(key), key.locale)


@router.post("/messages", status_code=status.HTTP_202_ACCEPTED)
async def write(body: MessageBody, parts: Parts, person: CountedPerson, people: People) -> dict[str, int]:
    """Words for the agent; the same `message_id` is the same message."""
    check_question(body.text, parts.settings.maximum_question_characters)
    found = await _existing(people, conversation_key(person, body.conversation, body.locale))
    event_id = await people.write(found.handoff_id, found.conversation_id, str(body.message_id), body.text)
    return {"event_id": event_id}


@router.post("/leave")
async def leave(body: LeaveBody, person: CountedPerson, people: People) -> dict[str, Any]:
    """Give it up, or be done."""
    found = await _existing(people, conversation_key(person, body.conversation, body.locale))
    return status_body(await people.leave(found.handoff_id, found.conversation_id), body.locale)


@router.post("/rate")
async def rate(body: RatingBody, person: CountedPerson, people: People) -> dict[str, Any]:
    """Rate a closed one, once."""
    found = await _existing(people, conversation_key(person, body.conversation, body.locale))
    return status_body(await people.rate(found.handoff_id, found.conversation_id, body.rating), body.locale)


async def _open_events(
    parts: Parts,
    person: KnownPerson,
    key: Key,
    people: People,
    last_event_id: Annotated[int, Header(ge=0)] = 0,
) -> AsyncIterator[AsyncIterator[bytes]]:
    found = await _existing(people, key)
    restorer = None if person.is_service else Restorer(parts.llm_service, found.conversation_id, person.user)
    async with aclosing(people.events(found.handoff_id, found.conversation_id, last_event_id)) as events:

        async def sent() -> AsyncIterator[bytes]:
            async for event in events:
                data = await _shown(event.data, key.locale, restorer)
                yield encoded(event.id, event.event, json.dumps(data, ensure_ascii=False))

        yield sent()


@router.get("/events")
async def events(stream: Annotated[AsyncIterator[bytes], Depends(_open_events)]) -> EventStream:
    """What happens in it, until it ends; goes on behind Last-Event-ID."""
    return EventStream(stream)


async def _shown(data: dict[str, Any], locale: Locale, restorer: Restorer | None) -> dict[str, Any]:
    if "state" in data:
        return {**data, "text": state_text(data["state"], locale)}
    shown = await restorer.restore(data["text"]) if restorer is not None else data["text"]
    masked = {"masked": data["text"]} if shown != data["text"] else {}
    return {**data, "text": shown, **masked}


async def _existing(people: PersonHandoffs, key: ConversationKey) -> HandoffStatus:
    found = await people.status(key)
    if found.state == "none":
        raise Declined("handoff_not_found", 404)
    return found
