"""Questions: taken in, answered in the background, replied to, stopped, and shown to their own conversation."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, Field

from llm_service.api.acting import MayReadConversations
from llm_service.api.dependencies import EVENT_ID_PATTERN, ConversationId, Groups, ServiceParts
from llm_service.client import Audience, ConversationKey, Locale, Route
from llm_service.masked import RawText

router = APIRouter(prefix="/v1/turns", tags=["turns"])


class ConversationBody(BaseModel):
    """Which thread of which person in which channel."""

    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]
    thread: Annotated[str, Field(min_length=1, max_length=512)]
    user: Annotated[str, Field(min_length=1, max_length=512)]
    audience: Audience
    locale: Locale = "ko"
    groups: Groups = ()


class NewTurn(BaseModel):
    """A message as the channel delivered it."""

    event_id: Annotated[str, Field(pattern=EVENT_ID_PATTERN)]
    conversation: ConversationBody
    text: str


class RouteBody(BaseModel):
    """Who decided what the question is."""

    intent: Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_/-]{0,63}$")]
    confidence: Annotated[float, Field(ge=0, le=1)]
    by: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    reason: Annotated[str, Field(max_length=256)] = ""
    milliseconds: Annotated[float, Field(ge=0)] = 0.0

    def as_route(self) -> Route:
        return Route(self.intent, self.confidence, self.by, self.reason, self.milliseconds)


class AnswerRequest(BaseModel):
    """The decision that a question goes to the documents, and the day whose law and terms are asked for."""

    route: RouteBody
    as_of: date | None = None


class ReplyRequest(BaseModel):
    """A reply that needed no documents."""

    route: RouteBody
    text: str


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_turn(turn: NewTurn, parts: ServiceParts, response: Response) -> dict[str, Any]:
    """Mask and store a question: 201 when it is new, 200 when its event was delivered before."""
    conversation = ConversationKey(**turn.conversation.model_dump())
    accepted = await parts.intake.accept(turn.event_id, conversation, RawText(turn.text))
    if accepted.replayed:
        response.status_code = status.HTTP_200_OK
    return asdict(accepted)


@router.post("/{turn_id}/answer", status_code=status.HTTP_202_ACCEPTED)
async def start_answer(
    turn_id: str, request: AnswerRequest, parts: ServiceParts, conversation_id: ConversationId
) -> dict[str, str]:
    """Begin to answer from documents; the events tell how it goes."""
    await parts.runner.start(turn_id, conversation_id, request.route.as_route(), request.as_of)
    return {"turn_id": turn_id}


@router.post("/{turn_id}/reply")
async def store_reply(
    turn_id: str, request: ReplyRequest, parts: ServiceParts, conversation_id: ConversationId
) -> dict[str, str]:
    """Keep a deterministic reply, masked, as the turn's answer."""
    await parts.intake.reply(turn_id, conversation_id, request.route.as_route(), RawText(request.text))
    return {"turn_id": turn_id}


@router.post("/{turn_id}/stop")
async def stop_answer(turn_id: str, parts: ServiceParts, conversation_id: ConversationId) -> dict[str, str]:
    """Stop a running answer; a finished one stays as it is."""
    await parts.runner.stop(turn_id, conversation_id)
    return {"turn_id": turn_id}


@router.get("/{turn_id}/explanation")
async def explanation(
    turn_id: str, parts: ServiceParts, person: MayReadConversations, conversation_id: ConversationId
) -> dict[str, Any]:
    """How the answer came about: for its own conversation, or, without the header, for an operator, audited."""
    return asdict(await parts.explaining.explain(turn_id, conversation_id, person.key))


@router.get("/{turn_id}")
async def turn(turn_id: str, parts: ServiceParts, conversation_id: ConversationId) -> dict[str, Any]:
    """A turn as it is kept."""
    return asdict(await parts.intake.view(turn_id, conversation_id))
