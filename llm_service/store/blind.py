"""Questions about blind comparisons: two subjects side by side, in an order by chance, judged once by each person.

Nobody is told which side is whose before a comparison is closed, and a closed one takes no more votes.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, InvalidInput, NotFound, NotPermitted
from llm_service.masked import MaskedText
from llm_service.store import audit, evaluations, training
from llm_service.store.conversations import IDENTIFIER
from llm_service.store.evaluation_models import (
    SIDES,
    BlindComparison,
    BlindPair,
    BlindVote,
    EvaluationAnswer,
    EvaluationItem,
)
from llm_service.store.models import now

_CHANCE: Final = random.SystemRandom()


@dataclass(frozen=True)
class PairShown:
    """What a person judges: a question and two answers, and nothing of whose they are."""

    item_id: str
    question: MaskedText
    left: MaskedText
    right: MaskedText


@dataclass(frozen=True)
class VoteMeant:
    """A vote by what it means: `first` or `second` of the comparison, `tie`, `both_bad`."""

    item_id: str
    voter: str
    meant: str
    at: datetime


def request(
    session: Session,
    person: str,
    evaluation_id: str,
    first: str,
    second: str,
    shuffle: Callable[[list[str]], None] = _CHANCE.shuffle,
) -> BlindComparison:
    """Lay two subjects of an evaluation side by side. Equal answers are left out: there is nothing to judge.

    Raises `NotFound` (evaluation_not_found), `InvalidInput` (blind_subjects_invalid), `Conflict` (nothing_to_judge).
    """
    evaluation = training.evaluation(session, evaluation_id)
    if first == second or not {first, second} <= set(evaluation.report.get("subjects", {})):
        raise InvalidInput("blind_subjects_invalid", "two different subjects of this evaluation are compared")
    told = {result.item_id: result for result in evaluations.results_of(session, evaluation_id)}
    items = [
        item_id
        for item_id, result in told.items()
        if {first, second} <= result.subjects.keys()
        and None not in (result.subjects[first].answer, result.subjects[second].answer)
        and result.subjects[first].answer != result.subjects[second].answer
    ]
    if not items:
        raise Conflict("nothing_to_judge", "the two answered every question alike, or their answers were not kept")
    trained_by = evaluations.trained_by(session, evaluation)
    made = BlindComparison(
        evaluation_id=evaluation_id, first=first, second=second, trained_by=trained_by, requested_by=person
    )
    session.add(made)
    session.flush()
    shuffle(items)
    session.add_all(
        BlindPair(
            comparison_id=made.id,
            item_id=item_id,
            evaluation_id=evaluation_id,
            position=position,
            first_stands=_CHANCE.choice(SIDES),
        )
        for position, item_id in enumerate(items)
    )
    session.flush()
    details = {"evaluation_id": evaluation_id, "first": first, "second": second, "pairs": len(items)}
    audit.record(session, person, "blind.requested", "blind_comparison", made.id, details)
    return made


def comparison(session: Session, comparison_id: str) -> BlindComparison:
    """One comparison. Raises `NotFound` (blind_comparison_not_found)."""
    found = session.get(BlindComparison, comparison_id) if IDENTIFIER.fullmatch(comparison_id) else None
    if found is None:
        raise NotFound("blind_comparison_not_found", "there is no such blind comparison")
    return found


def listed(session: Session, evaluation_id: str | None = None) -> list[BlindComparison]:
    """Comparisons, the newest first; those of one evaluation where it is named."""
    statement = select(BlindComparison).order_by(BlindComparison.created_at.desc(), BlindComparison.id)
    if evaluation_id is not None:
        statement = statement.where(BlindComparison.evaluation_id == evaluation_id)
    return list(session.scalars(statement))


def next_pair(session: Session, person: str, comparison_id: str) -> PairShown | None:
    """The next question this person has not judged; None when all are judged.

    Raises `NotFound`, `Conflict` (blind_comparison_closed), `NotPermitted` (own_training).
    """
    found = _open_to(session, person, comparison_id)
    pair = session.scalar(
        select(BlindPair)
        .where(BlindPair.comparison_id == comparison_id, ~_voted_by(person).exists())
        .order_by(BlindPair.position)
        .limit(1)
    )
    return _shown(session, found, pair) if pair is not None else None


def vote(session: Session, person: str, comparison_id: str, item_id: str, given: str) -> BlindVote:
    """Say which side is better, once and for good.

    Raises what `next_pair` raises, `NotFound` (blind_pair_not_found) and `Conflict` (voted_already).
    """
    found = _open_to(session, person, comparison_id)
    if session.get(BlindPair, (comparison_id, item_id)) is None:
        raise NotFound("blind_pair_not_found", "the comparison has no such question")
    if session.get(BlindVote, (comparison_id, item_id, person)) is not None:
        raise Conflict("voted_already", "you have judged this question already")
    made = BlindVote(
        comparison_id=comparison_id, item_id=item_id, voter=person, trained_by=found.trained_by, vote=given
    )
    session.add(made)
    session.flush()
    audit.record(session, person, "blind.voted", "blind_comparison", comparison_id, {"item": item_id, "vote": given})
    return made


def close(session: Session, person: str, comparison_id: str) -> BlindComparison:
    """End a comparison; its counts may be seen from now on. Raises `NotFound`, `Conflict` (blind_comparison_closed)."""
    statement = select(BlindComparison).where(BlindComparison.id == comparison_id).with_for_update()
    comparison(session, comparison_id)
    found = session.scalars(statement, execution_options={"populate_existing": True}).one()
    if found.closed_at is not None:
        raise Conflict("blind_comparison_closed", "the comparison is closed")
    found.closed_by, found.closed_at = person, now()
    session.flush()
    details = {"votes": vote_counts(session, comparison_id).total()}
    audit.record(session, person, "blind.closed", "blind_comparison", comparison_id, details)
    return found


@dataclass(frozen=True)
class VoteCounts:
    """How many votes each person gave, whatever they meant."""

    by_voter: Mapping[str, int]
    newest_by_voter: Mapping[str, datetime]

    def total(self) -> int:
        return sum(self.by_voter.values())


def vote_counts(session: Session, comparison_id: str) -> VoteCounts:
    """How far people are; tells nothing of what they chose."""
    rows = session.execute(
        select(BlindVote.voter, func.count().label("votes"), func.max(BlindVote.at).label("newest"))
        .where(BlindVote.comparison_id == comparison_id)
        .group_by(BlindVote.voter)
    ).all()
    return VoteCounts({row.voter: row.votes for row in rows}, {row.voter: row.newest for row in rows})


def pair_count(session: Session, comparison_id: str) -> int:
    statement = select(func.count()).select_from(BlindPair).where(BlindPair.comparison_id == comparison_id)
    return session.scalar(statement) or 0


def votes_by_meaning(session: Session, found: BlindComparison) -> list[VoteMeant]:
    """Every vote of a closed comparison by what it means. Raises `Conflict` (blind_comparison_open) before."""
    if found.closed_at is None:
        raise Conflict("blind_comparison_open", "what was voted is told when the comparison is closed")
    rows = session.execute(
        select(BlindVote, BlindPair.first_stands)
        .join(
            BlindPair, (BlindPair.comparison_id == BlindVote.comparison_id) & (BlindPair.item_id == BlindVote.item_id)
        )
        .where(BlindVote.comparison_id == found.id)
        .order_by(BlindPair.position, BlindVote.at)
    )
    return [VoteMeant(one.item_id, one.voter, _meant(one.vote, stands), one.at) for one, stands in rows]


def questions_of(session: Session, comparison_id: str) -> Sequence[tuple[str, MaskedText]]:
    """The id and the words of every question, in the order in which people see them."""
    rows = session.execute(
        select(BlindPair.item_id, EvaluationItem.question)
        .join(
            EvaluationItem,
            (EvaluationItem.evaluation_id == BlindPair.evaluation_id) & (EvaluationItem.item_id == BlindPair.item_id),
        )
        .where(BlindPair.comparison_id == comparison_id)
        .order_by(BlindPair.position)
    )
    return [(item_id, question) for item_id, question in rows]


def _open_to(session: Session, person: str, comparison_id: str) -> BlindComparison:
    comparison(session, comparison_id)
    # Held, so that no vote comes in after the counts were shown.
    statement = select(BlindComparison).where(BlindComparison.id == comparison_id).with_for_update(read=True)
    found = session.scalars(statement, execution_options={"populate_existing": True}).one()
    if found.closed_at is not None:
        raise Conflict("blind_comparison_closed", "the comparison is closed")
    if found.trained_by == person:
        raise NotPermitted("own_training", "whoever trained an adapter does not judge it")
    return found


def _voted_by(person: str) -> Select[str]:
    return select(BlindVote.item_id).where(
        BlindVote.comparison_id == BlindPair.comparison_id,
        BlindVote.item_id == BlindPair.item_id,
        BlindVote.voter == person,
    )


def _shown(session: Session, found: BlindComparison, pair: BlindPair) -> PairShown:
    item = session.get_one(EvaluationItem, (pair.evaluation_id, pair.item_id))
    first, second = (
        session.get_one(EvaluationAnswer, (pair.evaluation_id, pair.item_id, subject)).answer
        for subject in (found.first, found.second)
    )
    assert first is not None and second is not None, "pairs are made of kept answers"  # noqa: PT018
    left, right = (first, second) if pair.first_stands == "left" else (second, first)
    return PairShown(pair.item_id, item.question, left, right)


def _meant(given: str, first_stands: str) -> str:
    if given in ("tie", "both_bad"):
        return given
    return "first" if given == first_stands else "second"
