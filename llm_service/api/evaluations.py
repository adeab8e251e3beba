"""Evaluations: asked for, looked at, compared question by question; and blind comparisons of their answers."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, status
from pydantic import BaseModel, ConfigDict, Field

from llm_service.answering.evaluation_desk import ItemsWanted
from llm_service.api.acting import (
    PERMITTED,
    MayCloseBlind,
    MayReadBlind,
    MayReadEvaluations,
    MayRequestBlind,
    MayRequestEvaluations,
    MayVote,
)
from llm_service.api.dependencies import ServiceParts
from llm_service.evaluation_client import Subject, Vote

router = APIRouter(prefix="/v1", tags=["evaluations"])

MAXIMUM_ITEMS = 200
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
AdapterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class EvaluationRequest(_Body):
    """Which registered adapter; without a name the base alone."""

    adapter: AdapterName | None = None


class BlindRequest(_Body):
    """Two subjects of an evaluation."""

    evaluation_id: Identifier
    first: Subject
    second: Subject


class VoteBody(_Body):
    """Which question, and which side is better."""

    item_id: Annotated[str, Field(min_length=1, max_length=128)]
    vote: Vote


@router.get("/evaluations")
async def listed(
    parts: ServiceParts,
    person: MayReadEvaluations,
    run_id: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
    adapter: Annotated[AdapterName | None, Query()] = None,
) -> dict[str, Any]:
    """The newest first; of a run or of an adapter where it is named."""
    return {"evaluations": [asdict(one) for one in await parts.evaluations.listed(run_id, adapter)]}


@router.post("/evaluations", status_code=status.HTTP_202_ACCEPTED)
async def request_evaluation(
    body: EvaluationRequest, parts: ServiceParts, person: MayRequestEvaluations
) -> dict[str, Any]:
    """Ask for an evaluation; a worker does it."""
    return asdict(await parts.evaluations.request(person.key, body.adapter))


@router.get("/evaluations/{evaluation_id}")
async def evaluation(evaluation_id: str, parts: ServiceParts, person: MayReadEvaluations) -> dict[str, Any]:
    """One evaluation with its report."""
    return asdict(await parts.evaluations.details(evaluation_id))


@router.get("/evaluations/{evaluation_id}/items")
async def items(
    evaluation_id: str,
    parts: ServiceParts,
    person: MayReadEvaluations,
    of: Subject,
    against: Subject,
    worse_only: bool = False,
    tag: Annotated[str | None, Query(min_length=1, max_length=64)] = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAXIMUM_ITEMS)] = 50,
) -> dict[str, Any]:
    """Question by question; what the reader is still to judge blind is withheld. That it was read is an audit row."""
    may_vote = not person.roles.isdisjoint(PERMITTED["blind.vote"])
    wanted = ItemsWanted(of, against, worse_only, tag, offset, limit)
    return asdict(await parts.evaluations.items(person.key, may_vote, evaluation_id, wanted))


@router.get("/blind")
async def comparisons(parts: ServiceParts, person: MayReadBlind) -> dict[str, Any]:
    """Blind comparisons, the newest first, and how far each is."""
    return {"comparisons": [asdict(one) for one in await parts.blind.listed(person.key)]}


@router.post("/blind", status_code=status.HTTP_201_CREATED)
async def request_blind(body: BlindRequest, parts: ServiceParts, person: MayRequestBlind) -> dict[str, Any]:
    """Lay two subjects of an evaluation side by side."""
    return asdict(await parts.blind.request(person.key, body.evaluation_id, body.first, body.second))


@router.get("/blind/{comparison_id}")
async def comparison(comparison_id: str, parts: ServiceParts, person: MayReadBlind) -> dict[str, Any]:
    """One comparison: how many have voted, not how."""
    return asdict(await parts.blind.comparison(person.key, comparison_id))


@router.get("/blind/{comparison_id}/result")
async def result(comparison_id: str, parts: ServiceParts, person: MayReadBlind) -> dict[str, Any]:
    """Counts and the sign test, once the comparison is closed."""
    return asdict(await parts.blind.result(comparison_id))


@router.get("/blind/{comparison_id}/next")
async def next_pair(comparison_id: str, parts: ServiceParts, person: MayVote) -> dict[str, Any]:
    """A question with two answers, and nothing of whose they are."""
    pair = await parts.blind.next_pair(person.key, comparison_id)
    return {"pair": asdict(pair) if pair else None}


@router.post("/blind/{comparison_id}/votes", status_code=status.HTTP_201_CREATED)
async def vote(comparison_id: str, body: VoteBody, parts: ServiceParts, person: MayVote) -> dict[str, str]:
    """Judge one question, once and for good."""
    await parts.blind.vote(person.key, comparison_id, body.item_id, body.vote)
    return {"item_id": body.item_id}


@router.post("/blind/{comparison_id}/close")
async def close(comparison_id: str, parts: ServiceParts, person: MayCloseBlind) -> dict[str, Any]:
    """End the voting."""
    return asdict(await parts.blind.close(person.key, comparison_id))
