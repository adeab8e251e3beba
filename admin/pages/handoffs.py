"""Conversations that want a person: who waits and how long still, taken, answered, given back, closed.

What was said is masked. While a conversation is an agent's own, the page looks for new words by itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import uuid4

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.parts import Parts, parts_of
from admin.people import handoffs_of, names
from admin.rendering import back, page
from llm_service.handoff_client import HandoffView

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
HandoffId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
MAXIMUM_CHARACTERS: Final = 4000
LISTED: Final = 100
ENDED: Final = ("closed", "abandoned")


@dataclass(frozen=True)
class Clocked:
    """A hand-off and the whole minutes until its person has to hear something; below zero it is late."""

    handoff: HandoffView
    minutes: int | None


@router.get("/handoffs", name="handoffs")
async def handoffs(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    """The queue, what is owed longest on top; the page asks for it again every few seconds."""
    calls = handoffs_of(parts, person)
    waiting = await calls.queue(limit=LISTED)
    return page(
        request,
        "handoffs.html",
        person,
        rows=[_clocked(one) for one in waiting],
        office=await calls.office(),
        names=await names(parts),
    )


@router.get("/handoffs/{handoff_id}", name="handoff")
async def handoff(request: Request, parts: PartsHere, person: Acting, handoff_id: HandoffId) -> HTMLResponse:
    """One conversation, masked. That somebody reads what is not theirs is an audit row."""
    found = await handoffs_of(parts, person).handoff(handoff_id)
    return page(
        request,
        "handoff.html",
        person,
        found=found,
        clock=_clocked(found),
        is_over=found.state in ENDED,
        event_id=uuid4().hex,
        maximum=MAXIMUM_CHARACTERS,
        names=await names(parts),
    )


@router.post("/handoffs/{handoff_id}/take", name="take_handoff")
async def take_handoff(parts: PartsHere, person: Acting, handoff_id: HandoffId) -> Response:
    """Make it one's own; whoever comes second is told."""
    await handoffs_of(parts, person).take(handoff_id)
    return back(f"/handoffs/{handoff_id}", "handoff_taken")


@router.post("/handoffs/{handoff_id}/release", name="release_handoff")
async def release_handoff(parts: PartsHere, person: Acting, handoff_id: HandoffId) -> Response:
    """Give it back to those who wait."""
    await handoffs_of(parts, person).release(handoff_id)
    return back("/handoffs", "handoff_released")


@router.post("/handoffs/{handoff_id}/reply", name="reply_handoff")
async def reply_handoff(
    parts: PartsHere,
    person: Acting,
    handoff_id: HandoffId,
    event_id: Annotated[str, Form(pattern=r"^[0-9a-f]{32}$")],
    text: Annotated[str, Form(min_length=1, max_length=MAXIMUM_CHARACTERS)],
) -> Response:
    """Words for the person. A form that is sent twice says them once."""
    await handoffs_of(parts, person).reply(handoff_id, event_id, text)
    return back(f"/handoffs/{handoff_id}")


@router.post("/handoffs/{handoff_id}/close", name="close_handoff")
async def close_handoff(parts: PartsHere, person: Acting, handoff_id: HandoffId) -> Response:
    """Be done; the person is with the bot again and may rate it."""
    await handoffs_of(parts, person).close(handoff_id)
    return back("/handoffs", "handoff_closed")


def _clocked(found: HandoffView) -> Clocked:
    if found.due_at is None:
        return Clocked(found, None)
    left = datetime.fromisoformat(found.due_at) - datetime.now(UTC)
    return Clocked(found, int(left.total_seconds() // 60))
