"""The review queue as people use it: what they type is masked before it is kept, and each decision is one transaction.

Knows no roles and no HTTP; the rules of approval are `store.review`'s.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.text_rules import require_readable
from llm_service.errors import InvalidInput, NotFound, TooLarge
from llm_service.learning_client import (
    COUNTED_UP_TO,
    NewDraft,
    QueuePage,
    QueueRow,
    ReviewEvent,
    ReviewItemView,
    ReviewProgress,
    ReviewRevision,
)
from llm_service.masked import MaskedText, RawText
from llm_service.masking.placeholders import PLACEHOLDER
from llm_service.store import audit, review
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import now
from llm_service.store.passages import ready_passages
from llm_service.store.review import Draft, Proposal, QueueFilter
from llm_service.store.transactions import Transactions


@dataclass(frozen=True)
class TypedProposal:
    """What a reviewer typed, before masking."""

    question: RawText
    answer: RawText
    rubric: str


class ReviewDesk:
    """Shows the queue and takes decisions. `person` is always a keyed hash."""

    def __init__(self, transactions: Transactions, masking: MaskingDesk, maximum_characters: int) -> None:
        self._transactions = transactions
        self._masking = masking
        self._maximum_characters = maximum_characters

    async def items(self, person: str, wanted: QueueFilter, limit: int, after: str | None) -> list[ReviewItemView]:
        """Items, the oldest first. That they were read is one audit row. Raises `NotFound` for an unknown `after`."""
        return await self._transactions.run(partial(_listed, person=person, wanted=wanted, limit=limit, after=after))

    async def page(
        self, person: str, wanted: QueueFilter, limit: int, after: str | None, decided_since: datetime
    ) -> QueuePage:
        """A page of the queue with its counts; an audit row and an error as those of `items`."""
        asked = partial(_page, person=person, wanted=wanted, limit=limit, after=after, decided_since=decided_since)
        return await self._transactions.run(asked)

    async def counts(self, states: Sequence[str], up_to: int | None) -> dict[str, int]:
        """How many items are in each of these states, up to one more than `up_to`."""
        return await self._transactions.read(partial(review.counts, states=states, up_to=up_to))

    async def progress(self, person: str, since: datetime) -> ReviewProgress:
        """What a person has decided since a time, and what waits for them, up to `COUNTED_UP_TO`."""
        return await self._transactions.read(partial(_progress, person=person, since=since))

    async def next_item(
        self, person: str, wanted: QueueFilter, skipped: Sequence[str], leaving: str | None
    ) -> ReviewItemView | None:
        """The next item for this person, leased to them, which is an audit row; None when nothing is left to decide."""
        asked = partial(_next, person=person, wanted=wanted, skipped=skipped, leaving=leaving)
        return await self._transactions.run(asked)

    async def item(self, person: str, item_id: str) -> ReviewItemView:
        """One item with its revisions and what was decided; that it was read is an audit row. Raises `NotFound`."""
        return await self._transactions.run(partial(_read, person=person, item_id=item_id))

    async def propose(self, person: str, item_id: str, version: int, typed: TypedProposal) -> ReviewItemView:
        """Propose other words. Placeholders of the item stay; every other value of a person is masked.

        Raises what `review.propose` raises, `InvalidInput`, `TooLarge` and `MaskingUnavailable`.
        """
        kept = await self._transactions.read(partial(_placeholders, item_id=item_id))
        proposal = Proposal(
            question=await self._masked(typed.question, kept),
            answer=await self._masked(typed.answer, kept),
            rubric=typed.rubric,
        )
        work = partial(review.propose, person=person, item_id=item_id, version=version, proposal=proposal)
        return await self._transactions.run(lambda session: _view(work(session)))

    async def approve(self, person: str, item_id: str, version: int, rubric: str | None) -> ReviewItemView:
        """Approve, the first time or the second. Raises what `review.approve` raises."""
        work = partial(review.approve, person=person, item_id=item_id, version=version, rubric=rubric)
        return await self._transactions.run(lambda session: _view(work(session)))

    async def reject(self, person: str, item_id: str, version: int, reason: str) -> ReviewItemView:
        """Reject with a reason. Raises what `review.reject` raises."""
        work = partial(review.reject, person=person, item_id=item_id, version=version, reason=reason)
        return await self._transactions.run(lambda session: _view(work(session)))

    async def reopen(self, person: str, item_id: str, version: int, reason: str) -> ReviewItemView:
        """Take a decision back. Raises what `review.reopen` raises."""
        work = partial(review.reopen, person=person, item_id=item_id, version=version, reason=reason)
        return await self._transactions.run(lambda session: _view(work(session)))

    async def add_drafts(self, person: str, drafts: Sequence[NewDraft]) -> list[str | None]:
        """Mask drafts and put them into the queue; the id of each, None where it was there already.

        Raises `NotFound` (passage_not_found) where a draft is to be asked with a passage that no ready document has.
        """
        wanted = {passage for draft in drafts for passage in draft.passages}
        known = await self._transactions.read(partial(_sources, wanted=wanted))
        masked = [
            Draft(
                kind=draft.kind,
                question=await self._masked(RawText(draft.question), frozenset()),
                answer=await self._masked(RawText(draft.answer), frozenset()),
                made_by=person,
                group_key=draft.group,
                licence=draft.licence,
                tags=tuple(draft.tags),
                locale=draft.locale,
                sources=tuple(known[passage] for passage in draft.passages),
            )
            for draft in drafts
        ]
        return await self._transactions.run(partial(_add, drafts=masked))

    async def _masked(self, raw: RawText, kept: frozenset[str]) -> MaskedText:
        if not raw.reveal().strip():
            raise InvalidInput("text_empty", "question and answer have words")
        if len(raw) > self._maximum_characters:
            raise TooLarge("text_too_long", f"the text has {len(raw)} characters")
        require_readable(raw)
        return (await self._masking.mask_edit(raw, kept)).masked.text


def _listed(session: Session, person: str, wanted: QueueFilter, limit: int, after: str | None) -> list[ReviewItemView]:
    found = [_view(item) for item in review.queue(session, wanted, limit, after)]
    _tell_listed(session, person, wanted, len(found))
    return found


def _page(
    session: Session, person: str, wanted: QueueFilter, limit: int, after: str | None, decided_since: datetime
) -> QueuePage:
    at = now()
    rows = [
        QueueRow(
            id=item.id,
            kind=item.kind,
            state=item.state,
            question=item.question,
            proposed_by=item.proposed_by,
            is_held=item.leased_until is not None and item.leased_until > at,
            created_at=item.created_at.isoformat(),
        )
        for item in review.listed(session, wanted, limit, after)
    ]
    found = QueuePage(rows, review.counts(session, up_to=COUNTED_UP_TO), _progress(session, person, decided_since))
    _tell_listed(session, person, wanted, len(rows))
    return found


def _tell_listed(session: Session, person: str, wanted: QueueFilter, items: int) -> None:
    told = {"states": list(wanted.states), "items": items}
    audit.record(session, person, "review.listed", "review_item", "queue", told)


def _progress(session: Session, person: str, since: datetime) -> ReviewProgress:
    found = review.progress(session, person, since, up_to=COUNTED_UP_TO)
    return ReviewProgress(found.decided, found.waiting)


def _next(
    session: Session, person: str, wanted: QueueFilter, skipped: Sequence[str], leaving: str | None
) -> ReviewItemView | None:
    found = review.lease_next(session, person, wanted, skipped, leaving)
    if found is None:
        return None
    audit.record(session, person, "review.taken", "review_item", found.id, {"state": found.state})
    return _view(found)


def _read(session: Session, person: str, item_id: str) -> ReviewItemView:
    found = review.item(session, item_id)
    audit.record(session, person, "review.read", "review_item", item_id, {"state": found.state})
    history = [
        ReviewEvent(event.at.isoformat(), event.actor, event.action, event.details)
        for event in review.history(session, item_id)
    ]
    return replace(_view(found), history=history)


def _placeholders(session: Session, item_id: str) -> frozenset[str]:
    found = review.item(session, item_id)
    texts = (found.question, found.answer, found.proposed_question, found.proposed_answer)
    return frozenset(match[0] for text in texts if text for match in PLACEHOLDER.finditer(text))


def _add(session: Session, drafts: Sequence[Draft]) -> list[str | None]:
    return [review.add_draft(session, draft) for draft in drafts]


def _sources(session: Session, wanted: Collection[int]) -> dict[int, dict[str, Any]]:
    found = ready_passages(session, sorted(wanted))
    if len(found) < len(wanted):
        raise NotFound("passage_not_found", "a draft names a passage that no ready document has; search again")
    return {passage.id: review.source_of(passage) for passage in found.values()}


def _view(item: ReviewItem) -> ReviewItemView:
    return ReviewItemView(
        id=item.id,
        kind=item.kind,
        state=item.state,
        version=item.version,
        question=item.question,
        answer=item.answer,
        proposed_question=item.proposed_question,
        proposed_answer=item.proposed_answer,
        proposed_by=item.proposed_by,
        rubric=item.rubric,
        first_approver=item.first_approver,
        second_approver=item.second_approver,
        rejected_by=item.rejected_by,
        rejection_reason=item.rejection_reason,
        leased_until=_moment(item.leased_until),
        tags=list(item.tags),
        sources=list(item.sources),
        licence=item.licence,
        locale=item.locale,
        created_at=item.created_at.isoformat(),
        conversation_id=item.conversation_id,
        revisions=[
            ReviewRevision(one.version, one.proposed_by, one.question, one.answer, one.at.isoformat())
            for one in item.revisions
        ],
    )


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
