"""Hand-offs to a person: asked for and followed by people of channels, taken and answered by agents of the console."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response, status
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from llm_service.answering.handoff_desk import FollowedEvent
from llm_service.api.acting import MayReadHandoffs, MayTakeHandoffs
from llm_service.api.dependencies import EVENT_ID_PATTERN, ConversationId, ServiceParts
from llm_service.api.events import HEARTBEAT, STREAM_HEADERS, LastEventId
from llm_service.api.turns import ConversationBody
from llm_service.client import ConversationKey
from llm_service.handoff_client import Reason
from llm_service.masked import RawText

router = APIRouter(prefix="/v1/handoffs", tags=["handoffs"])

State = Literal["waiting", "taken", "answered", "closed", "abandoned"]
MAXIMUM_QUEUE = 200


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class AskBody(_Body):
    """Whose conversation wants a person, why, and the channel's own place for the answers."""

    conversation: ConversationBody
    reason: Reason = "asked"
    reply_to: str = Field("", max_length=512)


class StatusBody(_Body):
    """Whose conversation it is."""

    conversation: ConversationBody


class MessageBody(_Body):
    """Words of the person or of the agent; the same event is one message."""

    event_id: Annotated[str, Field(pattern=EVENT_ID_PATTERN)]
    text: str


class RatingBody(_Body):
    """1 is bad, 5 is good."""

    rating: Annotated[int, Field(ge=1, le=5)]


class ChannelBody(_Body):
    """Which channel asks for what it has to deliver."""

    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]


@router.post("", status_code=status.HTTP_201_CREATED)
async def ask(body: AskBody, parts: ServiceParts, response: Response) -> dict[str, Any]:
    """Ask for a person: 201 for a new hand-off, 200 for the open one and where none can be had now."""
    key = ConversationKey(**body.conversation.model_dump())
    found = await parts.handoffs.ask(key, body.reason, body.reply_to)
    if not found.is_new:
        response.status_code = status.HTTP_200_OK
    return asdict(found)


@router.post("/status")
async def handoff_status(body: StatusBody, parts: ServiceParts) -> dict[str, Any]:
    """How the conversation's last hand-off stands."""
    return asdict(await parts.handoffs.status(ConversationKey(**body.conversation.model_dump())))


@router.post("/deliveries")
async def deliveries(body: ChannelBody, parts: ServiceParts) -> dict[str, Any]:
    """What a channel has to bring to its people, claimed for a minute."""
    return {"deliveries": [asdict(one) for one in await parts.handoffs.undelivered(body.channel)]}


@router.post("/deliveries/{event_id}")
async def delivered(event_id: str, parts: ServiceParts) -> dict[str, str]:
    """It was brought."""
    await parts.handoffs.delivered(event_id)
    return {"event_id": event_id}


@router.get("")
async def queue(
    parts: ServiceParts,
    person: MayReadHandoffs,
    state: Annotated[list[State], Query(default_factory=list)],
    limit: Annotated[int, Query(ge=1, le=MAXIMUM_QUEUE)] = 100,
) -> dict[str, Any]:
    """Hand-offs, the longest owed first; open ones where no state is named. Without what was said."""
    return {"handoffs": [asdict(one) for one in await parts.handoffs.queue(person.key, state, limit)]}


@router.get("/office")
async def office(parts: ServiceParts, person: MayReadHandoffs) -> dict[str, Any]:
    """Whether people of the bank are there."""
    return asdict(parts.handoffs.office())


@router.get("/{handoff_id}")
async def handoff(handoff_id: str, parts: ServiceParts, person: MayReadHandoffs) -> dict[str, Any]:
    """One with its conversation, masked. That somebody else's is read is an audit row."""
    return asdict(await parts.handoffs.read(person.key, handoff_id))


@router.post("/{handoff_id}/take")
async def take(handoff_id: str, parts: ServiceParts, person: MayTakeHandoffs) -> dict[str, Any]:
    """Make it this agent's: 409 where another was first."""
    return asdict(await parts.handoffs.take(person.key, handoff_id))


@router.post("/{handoff_id}/release")
async def release(handoff_id: str, parts: ServiceParts, person: MayTakeHandoffs) -> dict[str, Any]:
    """Give it back to those who wait."""
    return asdict(await parts.handoffs.release(person.key, handoff_id))


@router.post("/{handoff_id}/reply")
async def reply(handoff_id: str, body: MessageBody, parts: ServiceParts, person: MayTakeHandoffs) -> dict[str, Any]:
    """Words of the agent, masked before they are kept."""
    return asdict(await parts.handoffs.reply(person.key, handoff_id, body.event_id, RawText(body.text)))


@router.post("/{handoff_id}/close")
async def close(handoff_id: str, parts: ServiceParts, person: MayTakeHandoffs) -> dict[str, Any]:
    """Be done; the person is with the bot again."""
    return asdict(await parts.handoffs.close(person.key, handoff_id))


@router.post("/{handoff_id}/messages", status_code=status.HTTP_202_ACCEPTED)
async def write(
    handoff_id: str, body: MessageBody, parts: ServiceParts, conversation_id: ConversationId
) -> dict[str, int]:
    """Words of the person, masked before they are kept."""
    position = await parts.handoffs.write(handoff_id, conversation_id, body.event_id, RawText(body.text))
    return {"position": position}


@router.post("/{handoff_id}/leave")
async def leave(handoff_id: str, parts: ServiceParts, conversation_id: ConversationId) -> dict[str, Any]:
    """The person gives it up."""
    return asdict(await parts.handoffs.leave(handoff_id, conversation_id))


@router.post("/{handoff_id}/rate")
async def rate(
    handoff_id: str, body: RatingBody, parts: ServiceParts, conversation_id: ConversationId
) -> dict[str, Any]:
    """The person's rating of a closed one."""
    return asdict(await parts.handoffs.rate(handoff_id, conversation_id, body.rating))


@router.get("/{handoff_id}/events")
async def events(
    handoff_id: str, parts: ServiceParts, conversation_id: ConversationId, last_event_id: LastEventId = 0
) -> StreamingResponse:
    """What happens behind `Last-Event-ID`, until closed or abandoned."""
    followed = await parts.handoffs.follow(handoff_id, conversation_id, last_event_id)
    return StreamingResponse(_encoded(followed), media_type="text/event-stream", headers=STREAM_HEADERS)


async def _encoded(followed: AsyncGenerator[FollowedEvent | None, None]) -> AsyncIterator[str]:
    async with aclosing(followed):
        async for event in followed:
            if event is None:
                yield HEARTBEAT
            else:
                data = json.dumps(event.data, ensure_ascii=False)
                yield f"id: {event.id}\nevent: {event.event}\ndata: {data}\n\n"
