"""Counts of turns by the adapter they were given, for comparing one version with another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, case, func, or_, select
from sqlalchemy.orm import Session

from llm_service.store.adapter_models import AdapterComparison
from llm_service.store.models import Feedback, Turn

BASE: Final = "base"
"""What a turn's `adapter` says where the base model itself was asked."""
QUOTING_ENGINE: Final = "extractive"
"""A turn that was given to a model and carries this engine's name fell back to quotations."""


@dataclass(frozen=True)
class Count:
    """`events` of `turns` had what a measure looks for."""

    events: int
    turns: int


def counts(session: Session, adapter: str, since: datetime, until: datetime | None = None) -> dict[str, Count]:
    """By measure: how many of a version's ended turns failed, were refused, had sentences cut, or got a 👎.

    failure: ended as failed, or answered by quotations although a model was asked. refusal: of those that did not fail.
    cut: of answered and refused ones. thumbs_down: of answered ones.
    """
    failed = or_(Turn.state == "failed", Turn.engine == QUOTING_ENGINE)
    told = Turn.state.in_(("answered", "refused"))
    disliked = (
        select(Feedback.id).where(Feedback.turn_id == Turn.id, Feedback.verdict == "down").correlate(Turn).exists()
    )
    conditions = [Turn.adapter == adapter, Turn.answered_at >= since, Turn.state.in_(("answered", "refused", "failed"))]
    if until is not None:
        conditions.append(Turn.answered_at < until)
    row = session.execute(
        select(
            func.count(),
            _number_of(failed),
            _number_of(told),
            _number_of(Turn.state == "refused"),
            _number_of(told & (func.coalesce(Turn.cut_sentences, 0) > 0)),
            _number_of(Turn.state == "answered"),
            _number_of((Turn.state == "answered") & disliked),
        ).where(*conditions)
    ).one()
    ended, failures, told_count, refusals, cut, answered, disliked_count = (int(number) for number in row)
    return {
        "failure": Count(failures, ended),
        "refusal": Count(refusals, told_count),
        "cut": Count(cut, told_count),
        "thumbs_down": Count(disliked_count, answered),
    }


def keep_comparisons(session: Session, looked: Sequence[AdapterComparison]) -> None:
    """Keep the last look at each pair and measure."""
    for comparison in looked:
        session.merge(comparison)


def comparisons_of(session: Session, adapters: Sequence[str]) -> list[AdapterComparison]:
    """The last looks at some versions, in a fixed order."""
    return list(
        session.scalars(
            select(AdapterComparison)
            .where(AdapterComparison.adapter.in_(adapters))
            .order_by(AdapterComparison.adapter, AdapterComparison.against, AdapterComparison.measure)
        )
    )


def _number_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((condition, 1), else_=0)), 0)
