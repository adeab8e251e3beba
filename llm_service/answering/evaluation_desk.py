"""Evaluations as people look at them: the report, and question by question what got worse. Reading texts is audited.

Whoever is still to judge a question blind is not told who answered it how. Knows no model.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from llm_service.errors import InvalidInput
from llm_service.evaluation_client import (
    ComparedItem,
    ComparedItems,
    EvaluationDetails,
    EvaluationView,
    SubjectAnswer,
)
from llm_service.store import audit, datasets, evaluations, training
from llm_service.store.evaluations import ItemResult
from llm_service.store.learning_models import Evaluation
from llm_service.store.transactions import Transactions


@dataclass(frozen=True)
class ItemsWanted:
    """Which questions of an evaluation: `of` is compared with `against`; worst first where only worse are."""

    of: str
    against: str
    worse_only: bool = False
    tag: str | None = None
    offset: int = 0
    limit: int = 50


class EvaluationDesk:
    """Shows evaluations and asks for them. `person` is a keyed hash."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def listed(self, run_id: str | None, adapter: str | None) -> list[EvaluationView]:
        """The newest first."""
        return await self._transactions.read(
            lambda session: [_view(session, one) for one in evaluations.listed(session, run_id, adapter)]
        )

    async def details(self, evaluation_id: str) -> EvaluationDetails:
        """One evaluation with its report. Raises `NotFound` (evaluation_not_found)."""
        return await self._transactions.read(partial(_details, evaluation_id=evaluation_id))

    async def items(self, person: str, may_vote: bool, evaluation_id: str, wanted: ItemsWanted) -> ComparedItems:
        """Question by question, and one audit row.

        Raises `NotFound` (evaluation_not_found), `InvalidInput` (evaluation_subjects_invalid).
        """
        work = partial(_items, person=person, may_vote=may_vote, evaluation_id=evaluation_id, wanted=wanted)
        return await self._transactions.run(work)

    async def request(self, person: str, adapter: str | None) -> EvaluationView:
        """Ask for an evaluation; a worker does it. Raises `NotFound` (adapter_not_found)."""
        return await self._transactions.run(
            lambda session: _view(session, training.request_evaluation(session, person, adapter))
        )


def _details(session: Session, evaluation_id: str) -> EvaluationDetails:
    found = training.evaluation(session, evaluation_id)
    tags = {tag for result in evaluations.results_of(session, evaluation_id) for tag in result.tags}
    return EvaluationDetails(_view(session, found), dict(found.report), sorted(tags))


def _items(session: Session, person: str, may_vote: bool, evaluation_id: str, wanted: ItemsWanted) -> ComparedItems:
    found = training.evaluation(session, evaluation_id)
    if not {wanted.of, wanted.against} <= set(_subjects(found)) or wanted.of == wanted.against:
        raise InvalidInput("evaluation_subjects_invalid", "two different subjects of this evaluation are compared")
    withheld = evaluations.unvoted_by(session, evaluation_id, person) if may_vote else set()
    told = [
        _compared(place, result, wanted, withheld)
        for place, result in enumerate(evaluations.results_of(session, evaluation_id))
        if wanted.tag is None or wanted.tag in result.tags
    ]
    counted = Counter(_sign(item) for item in told)
    matching = [item for item in told if not wanted.worse_only or _sign(item) == "worse"]
    if wanted.worse_only:
        matching.sort(key=lambda item: (item.delta or 0.0, item.position))
    shown = matching[wanted.offset : wanted.offset + wanted.limit]
    details = {"questions": len(shown), "offset": wanted.offset}
    audit.record(session, person, "evaluation.read", "evaluation", evaluation_id, details)
    return ComparedItems(
        items=shown,
        matching=len(matching),
        worse=counted["worse"],
        better=counted["better"],
        same=counted["same"],
        withheld=counted["withheld"],
    )


def _compared(place: int, result: ItemResult, wanted: ItemsWanted, withheld: Collection[str]) -> ComparedItem:
    is_withheld = result.item_id in withheld
    scores = {name: result.subjects[name].score for name in (wanted.of, wanted.against) if name in result.subjects}
    shown: Mapping[str, SubjectAnswer] = {
        name: SubjectAnswer(one.answer, one.score, dict(one.scores)) for name, one in result.subjects.items()
    }
    return ComparedItem(
        item_id=result.item_id,
        position=place + 1,
        kind=result.kind,
        tags=list(result.tags),
        question=result.question,
        reference=None if is_withheld else result.reference,
        is_withheld=is_withheld,
        delta=None if is_withheld or len(scores) < 2 else round(scores[wanted.of] - scores[wanted.against], 4),
        subjects={} if is_withheld else dict(shown),
    )


def _sign(item: ComparedItem) -> str:
    if item.is_withheld or item.delta is None:
        return "withheld"
    if item.delta == 0:
        return "same"
    return "worse" if item.delta < 0 else "better"


def _subjects(found: Evaluation) -> list[str]:
    return list(found.report.get("subjects", {}))


def _view(session: Session, found: Evaluation) -> EvaluationView:
    run = training.run(session, found.run_id) if found.run_id else None
    told: Mapping[str, Any] = found.report.get("set", {})
    decision = found.report.get("decision")
    return EvaluationView(
        id=found.id,
        run_id=found.run_id,
        dataset=datasets.by_id(session, run.dataset_version_id).name if run else None,
        adapter=found.adapter or (run.outcome.get("adapter") if run else None),
        state=found.state,
        subjects=_subjects(found),
        set_name=str(told.get("name", "")),
        kept=int(told.get("items", 0)),
        verdict=decision["result"] if decision else None,
        requested_by=found.requested_by,
        error_code=found.error_code,
        created_at=found.created_at.isoformat(),
        ended_at=found.ended_at.isoformat() if found.ended_at else None,
    )
