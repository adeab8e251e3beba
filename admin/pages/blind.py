"""Blind comparisons: a question, two answers whose writers are hidden, one vote; at the end counts and a test.

Which side is whose is not known here either: llm_service tells it of closed comparisons only.
"""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.parts import Parts, parts_of
from admin.people import evaluations_of, key_of, names
from admin.rendering import back, page

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
ComparisonId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Subject = Literal["base", "active", "candidate"]
VOTES: Final = ("left", "tie", "both_bad", "right")


@router.get("/blind", name="blind")
async def blind(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    """Every comparison, and how far it is."""
    found = await evaluations_of(parts, person).blind_comparisons()
    return page(request, "blind.html", person, comparisons=found, names=await names(parts))


@router.post("/blind", name="request_blind")
async def request_blind(
    parts: PartsHere,
    person: Acting,
    evaluation_id: Annotated[str, Form(pattern=r"^[0-9a-f]{32}$")],
    first: Annotated[Subject, Form()],
    second: Annotated[Subject, Form()],
) -> Response:
    """Lay two subjects of an evaluation side by side."""
    made = await evaluations_of(parts, person).request_blind(evaluation_id, first, second)
    return back(f"/blind/{made.id}", "blind_requested")


@router.get("/blind/{comparison_id}", name="blind_comparison")
async def blind_comparison(
    request: Request, parts: PartsHere, person: Acting, comparison_id: ComparisonId
) -> HTMLResponse:
    """How many have voted; what they said only when it is closed."""
    calls = evaluations_of(parts, person)
    found = await calls.blind(comparison_id)
    return page(
        request,
        "blind_comparison.html",
        person,
        comparison=found,
        result=await calls.blind_result(comparison_id) if found.closed_at else None,
        names=await names(parts),
        own_key=key_of(parts, person.account_id),
    )


@router.get("/blind/{comparison_id}/vote", name="blind_pair")
async def blind_pair(request: Request, parts: PartsHere, person: Acting, comparison_id: ComparisonId) -> HTMLResponse:
    """The next question this person has not judged."""
    calls = evaluations_of(parts, person)
    return page(
        request,
        "blind_pair.html",
        person,
        comparison=await calls.blind(comparison_id),
        pair=await calls.next_pair(comparison_id),
        votes=VOTES,
    )


@router.post("/blind/{comparison_id}/vote", name="vote_blind")
async def vote_blind(
    parts: PartsHere,
    person: Acting,
    comparison_id: ComparisonId,
    item_id: Annotated[str, Form(min_length=1, max_length=128)],
    vote: Annotated[Literal["left", "right", "tie", "both_bad"], Form()],
) -> Response:
    """Judge one question, once and for good, and go on to the next."""
    await evaluations_of(parts, person).vote(comparison_id, item_id, vote)
    return back(f"/blind/{comparison_id}/vote")


@router.post("/blind/{comparison_id}/close", name="close_blind")
async def close_blind(parts: PartsHere, person: Acting, comparison_id: ComparisonId) -> Response:
    """End the voting and show what came of it."""
    await evaluations_of(parts, person).close_blind(comparison_id)
    return back(f"/blind/{comparison_id}", "blind_closed")
