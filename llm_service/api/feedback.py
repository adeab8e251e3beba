"""Verdicts on answers."""

from typing import Annotated

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, Field

from llm_service.api.dependencies import EVENT_ID_PATTERN, ConversationId, ServiceParts
from llm_service.client import Verdict
from llm_service.masked import RawText

router = APIRouter(prefix="/v1/feedback", tags=["feedback"])


class NewFeedback(BaseModel):
    """A thumb, with a reason by its code and a correction in the person's words.

    Without `turn_id` it judges the last answer of the conversation that the header names.
    """

    turn_id: str | None = None
    event_id: Annotated[str, Field(pattern=EVENT_ID_PATTERN)]
    verdict: Verdict
    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")] | None = None
    correction: str | None = None


@router.post("", status_code=status.HTTP_201_CREATED)
async def give_feedback(
    feedback: NewFeedback, parts: ServiceParts, conversation_id: ConversationId, response: Response
) -> dict[str, str]:
    """Store a verdict: 201 when it is new, 200 when its event was delivered before."""
    correction = RawText(feedback.correction) if feedback.correction is not None else None
    feedback_id, is_new = await parts.verdicts.give(
        feedback.turn_id, conversation_id, feedback.event_id, feedback.verdict, feedback.reason, correction
    )
    if not is_new:
        response.status_code = status.HTTP_200_OK
    return {"feedback_id": feedback_id}
