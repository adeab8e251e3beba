"""Blind comparisons as people use them: one question, two answers, one vote; the counts when all is over.

Which side is whose never leaves here before a comparison is closed.
"""

from collections import Counter
from functools import partial

from sqlalchemy.orm import Session

from llm_service.answering.sign_test import sign_test
from llm_service.evaluation_client import BlindPairView, BlindQuestion, BlindResult, BlindView, BlindVoter
from llm_service.store import blind, training
from llm_service.store.blind import VoteMeant
from llm_service.store.evaluation_models import BlindComparison
from llm_service.store.transactions import Transactions


class BlindDesk:
    """Lays answers side by side and takes votes. `person` is a keyed hash."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def request(self, person: str, evaluation_id: str, first: str, second: str) -> BlindView:
        """Raises what `blind.request` raises."""
        work = partial(blind.request, person=person, evaluation_id=evaluation_id, first=first, second=second)
        return await self._transactions.run(lambda session: _view(session, work(session), person))

    async def listed(self, person: str) -> list[BlindView]:
        """The newest first."""
        return await self._transactions.read(
            lambda session: [_view(session, one, person) for one in blind.listed(session)]
        )

    async def comparison(self, person: str, comparison_id: str) -> BlindView:
        """Raises `NotFound` (blind_comparison_not_found)."""
        return await self._transactions.read(
            lambda session: _view(session, blind.comparison(session, comparison_id), person)
        )

    async def next_pair(self, person: str, comparison_id: str) -> BlindPairView | None:
        """Raises what `blind.next_pair` raises."""
        return await self._transactions.read(partial(_next, person=person, comparison_id=comparison_id))

    async def vote(self, person: str, comparison_id: str, item_id: str, given: str) -> None:
        """Raises what `blind.vote` raises."""
        work = partial(blind.vote, person=person, comparison_id=comparison_id, item_id=item_id, given=given)
        await self._transactions.run(work)

    async def close(self, person: str, comparison_id: str) -> BlindView:
        """Raises what `blind.close` raises."""
        work = partial(blind.close, person=person, comparison_id=comparison_id)
        return await self._transactions.run(lambda session: _view(session, work(session), person))

    async def result(self, comparison_id: str) -> BlindResult:
        """Raises `NotFound` (blind_comparison_not_found) and `Conflict` (blind_comparison_open)."""
        return await self._transactions.read(partial(_result, comparison_id=comparison_id))


def _next(session: Session, person: str, comparison_id: str) -> BlindPairView | None:
    pair = blind.next_pair(session, person, comparison_id)
    if pair is None:
        return None
    judged = blind.vote_counts(session, comparison_id).by_voter.get(person, 0)
    remaining = blind.pair_count(session, comparison_id) - judged
    return BlindPairView(pair.item_id, pair.question, pair.left, pair.right, remaining)


def _view(session: Session, found: BlindComparison, person: str) -> BlindView:
    evaluation = training.evaluation(session, found.evaluation_id)
    counts = blind.vote_counts(session, found.id)
    run = training.run(session, evaluation.run_id) if evaluation.run_id else None
    return BlindView(
        id=found.id,
        evaluation_id=found.evaluation_id,
        run_id=evaluation.run_id,
        adapter=evaluation.adapter or (run.outcome.get("adapter") if run else None),
        first=found.first,
        second=found.second,
        pairs=blind.pair_count(session, found.id),
        votes=counts.total(),
        own_votes=counts.by_voter.get(person, 0),
        may_vote=found.closed_at is None and found.trained_by != person,
        requested_by=found.requested_by,
        created_at=found.created_at.isoformat(),
        closed_by=found.closed_by,
        closed_at=found.closed_at.isoformat() if found.closed_at else None,
    )


def _result(session: Session, comparison_id: str) -> BlindResult:
    found = blind.comparison(session, comparison_id)
    votes = blind.votes_by_meaning(session, found)
    by_item: dict[str, list[VoteMeant]] = {}
    for vote in votes:
        by_item.setdefault(vote.item_id, []).append(vote)
    questions = [
        _question(question, by_item.get(item_id, []))
        for item_id, question in blind.questions_of(session, comparison_id)
    ]
    outcomes = Counter(question.outcome for question in questions)
    meant = Counter(vote.meant for vote in votes)
    counts = blind.vote_counts(session, comparison_id)
    return BlindResult(
        first=meant["first"],
        second=meant["second"],
        tie=meant["tie"],
        both_bad=meant["both_bad"],
        questions_first=outcomes["first"],
        questions_second=outcomes["second"],
        questions_equal=outcomes["equal"],
        questions_unvoted=outcomes["none"],
        probability=round(sign_test(outcomes["first"], outcomes["second"]), 4),
        questions=questions,
        voters=[
            BlindVoter(voter, given, counts.newest_by_voter[voter].isoformat())
            for voter, given in sorted(counts.by_voter.items())
        ],
    )


def _question(question: str, votes: list[VoteMeant]) -> BlindQuestion:
    """Several people on one question are no independent signs, so a question counts once: by what most of them say."""
    meant = Counter(vote.meant for vote in votes)
    outcome = "none" if not votes else "equal"
    if meant["first"] != meant["second"]:
        outcome = "first" if meant["first"] > meant["second"] else "second"
    return BlindQuestion(question, meant["first"], meant["second"], meant["tie"], meant["both_bad"], outcome)
