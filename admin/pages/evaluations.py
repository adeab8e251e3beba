"""Evaluations: the gate's verdict with its rules, every measure with its interval, and what changed by question.

What stands in the report is shown as it is; nothing is computed here.
"""

from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.differences import word_changes
from admin.pages.datasets import NAME
from admin.parts import Parts, parts_of
from admin.people import evaluations_of, names
from admin.rendering import back, page

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
EvaluationId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
OptionalId = Annotated[str, Query(pattern=r"^([0-9a-f]{32})?$")]
OptionalName = Annotated[str, Query(pattern=rf"^$|{NAME}")]
SUBJECTS: Final = ("base", "active", "candidate")
SUBJECT: Final = r"^(base|active|candidate)?$"
ITEMS_PER_PAGE: Final = 25


@dataclass(frozen=True)
class Wanted:
    """Which questions are shown, and which two subjects are compared; none named means the newest against the older."""

    of: Annotated[str, Query(pattern=SUBJECT)] = ""
    against: Annotated[str, Query(pattern=SUBJECT)] = ""
    worse: bool = False
    tag: Annotated[str, Query(max_length=64)] = ""
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0


@router.get("/evaluations", name="evaluations")
async def evaluations(
    request: Request,
    parts: PartsHere,
    person: Acting,
    run: OptionalId = "",
    adapter: OptionalName = "",
    dataset: OptionalName = "",
) -> HTMLResponse:
    """The newest first; of a run, an adapter or a dataset where it is named."""
    found = await evaluations_of(parts, person).evaluations(run or None, None)
    shown = [one for one in found if dataset in ("", one.dataset) and adapter in ("", one.adapter)]
    is_narrowed = bool(run or adapter or dataset)
    return page(
        request, "evaluations.html", person, evaluations=shown, is_narrowed=is_narrowed, names=await names(parts)
    )


@router.get("/evaluations/{evaluation_id}", name="evaluation")
async def evaluation(
    request: Request,
    parts: PartsHere,
    person: Acting,
    evaluation_id: EvaluationId,
    wanted: Annotated[Wanted, Depends()],
) -> HTMLResponse:
    """One evaluation; its questions can be narrowed to those that got worse."""
    calls = evaluations_of(parts, person)
    details = await calls.evaluation(evaluation_id)
    of, against = _compared(details.evaluation.subjects, wanted)
    items = None
    if against:
        items = await calls.items(
            evaluation_id,
            of,
            against,
            worse_only=wanted.worse,
            tag=wanted.tag,
            offset=wanted.offset,
            limit=ITEMS_PER_PAGE,
        )
    chosen = {"of": of, "against": against, "tag": wanted.tag, **({"worse": "true"} if wanted.worse else {})}
    return page(
        request,
        "evaluation.html",
        person,
        evaluation=details.evaluation,
        report=details.report,
        tags=details.tags,
        of=of,
        against=against,
        wanted=wanted,
        query=urlencode(chosen),
        items=items,
        per_page=ITEMS_PER_PAGE,
        changes=word_changes,
        names=await names(parts),
    )


@router.post("/evaluations", name="request_evaluation")
async def request_evaluation(parts: PartsHere, person: Acting, adapter: Annotated[str, Form(pattern=NAME)]) -> Response:
    """Ask for an evaluation of an adapter on the frozen set; a worker does it."""
    made = await evaluations_of(parts, person).request_evaluation(adapter)
    return back(f"/evaluations/{made.id}", "evaluation_requested")


def _compared(subjects: list[str], wanted: Wanted) -> tuple[str, str]:
    """Two subjects of this evaluation; empty where it has only one."""
    there = [subject for subject in SUBJECTS if subject in subjects]
    of = wanted.of if wanted.of in there else (there[-1] if there else "")
    others = [subject for subject in there if subject != of]
    return of, wanted.against if wanted.against in others else (others[-1] if others else "")
