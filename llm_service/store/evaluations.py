"""Questions about evaluations, question by question: what each subject answered and how it was scored.

Which figures follow from them stands in an evaluation's report. Knows no model and no rule of any gate.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store.evaluation_models import (
    SUBJECTS,
    BlindComparison,
    BlindPair,
    BlindVote,
    EvaluationAnswer,
    EvaluationItem,
)
from llm_service.store.learning_models import Evaluation, ReviewItem, TrainingRun

BATCH_ROWS: Final = 500


@dataclass(frozen=True)
class SubjectResult:
    """What one subject answered, and its scores; `score` is the one that gates compare, 0 to 1."""

    answer: MaskedText | None
    scores: Mapping[str, float]
    score: float


@dataclass(frozen=True)
class ItemResult:
    """One question of an evaluation and what each subject made of it. `review_item_id`: the example it was made of."""

    item_id: str
    kind: str
    tags: tuple[str, ...]
    question: MaskedText
    reference: MaskedText | None
    subjects: Mapping[str, SubjectResult]
    review_item_id: str | None = None


def add_items(session: Session, evaluation_id: str, results: Sequence[ItemResult]) -> int:
    """Keep an evaluation's questions and answers; returns how many.

    Questions of examples that were erased meanwhile are left out: nothing of them may be written down.
    """
    named = {result.review_item_id for result in results if result.review_item_id}
    kept = _existing(session, sorted(named))
    wanted = [one for one in results if one.review_item_id is None or one.review_item_id in kept]
    for position, result in enumerate(wanted):
        session.add(
            EvaluationItem(
                evaluation_id=evaluation_id,
                item_id=result.item_id,
                position=position,
                kind=result.kind,
                tags=list(result.tags),
                question=result.question,
                reference=result.reference,
                review_item_id=result.review_item_id,
            )
        )
    session.flush()
    answers = [
        {
            "evaluation_id": evaluation_id,
            "item_id": result.item_id,
            "subject": subject,
            "answer": told.answer,
            "scores": dict(told.scores),
            "score": told.score,
        }
        for result in wanted
        for subject, told in result.subjects.items()
    ]
    if answers:
        session.execute(insert(EvaluationAnswer), answers)
    return len(wanted)


def listed(
    session: Session, run_id: str | None = None, adapter: str | None = None, limit: int = 100
) -> list[Evaluation]:
    """Evaluations, the newest first; of one run, or of one adapter, where they are named."""
    statement = select(Evaluation).order_by(Evaluation.created_at.desc(), Evaluation.id).limit(limit)
    if run_id is not None:
        statement = statement.where(Evaluation.run_id == run_id)
    if adapter is not None:
        statement = statement.where(Evaluation.adapter == adapter)
    return list(session.scalars(statement))


def results_of(session: Session, evaluation_id: str) -> list[ItemResult]:
    """Every question of an evaluation with its answers, in the order of the set."""
    told: dict[str, dict[str, SubjectResult]] = {}
    answers = select(EvaluationAnswer).where(EvaluationAnswer.evaluation_id == evaluation_id)
    for row in session.scalars(answers):
        told.setdefault(row.item_id, {})[row.subject] = SubjectResult(row.answer, row.scores, row.score)
    items = (
        select(EvaluationItem).where(EvaluationItem.evaluation_id == evaluation_id).order_by(EvaluationItem.position)
    )
    return [
        ItemResult(
            row.item_id,
            row.kind,
            tuple(row.tags),
            row.question,
            row.reference,
            {subject: told[row.item_id][subject] for subject in SUBJECTS if subject in told.get(row.item_id, {})},
            row.review_item_id,
        )
        for row in session.scalars(items)
    ]


def unvoted_by(session: Session, evaluation_id: str, person: str) -> set[str]:
    """The questions that a person may still be asked to judge blind: what each subject made of them is not theirs yet.

    Whoever trained is never asked, and an ended comparison asks nobody.
    """
    voted = select(BlindVote.item_id).where(
        BlindVote.comparison_id == BlindPair.comparison_id,
        BlindVote.item_id == BlindPair.item_id,
        BlindVote.voter == person,
    )
    statement = (
        select(BlindPair.item_id)
        .join(BlindComparison, BlindComparison.id == BlindPair.comparison_id)
        .where(
            BlindPair.evaluation_id == evaluation_id,
            BlindComparison.closed_at.is_(None),
            BlindComparison.trained_by != person,
            ~voted.exists(),
        )
    )
    return set(session.scalars(statement))


def trained_by(session: Session, evaluation: Evaluation) -> str:
    """Who asked for what was evaluated: the run's trainer, else whoever asked for the evaluation."""
    run = session.get(TrainingRun, evaluation.run_id) if evaluation.run_id else None
    return run.requested_by if run is not None else evaluation.requested_by


def _existing(session: Session, item_ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(item_ids), BATCH_ROWS):
        batch = item_ids[start : start + BATCH_ROWS]
        found.update(session.scalars(select(ReviewItem.id).where(ReviewItem.id.in_(batch))))
    return found
