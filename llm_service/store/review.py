"""The review of examples: proposed, approved by two people who are neither the proposer nor each other, or rejected.

The one way an example changes its state, for the API, the command line and the console. Every change names the version
it was decided on and writes its audit row in the same transaction. Knows no roles: who may ask is settled before.

pending → proposed → first_approved → approved;  → rejected from each of them;  approved, rejected → proposed (reopened)
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    ScalarSelect,
    Select,
    Text,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.orm import Session, selectinload

from llm_service.errors import Conflict, InvalidInput, NotFound, NotPermitted
from llm_service.masked import MaskedText
from llm_service.store import audit
from llm_service.store.conversations import IDENTIFIER, sources_of
from llm_service.store.learning_models import REVIEW_STATES, ReviewItem, ReviewMention, ReviewRevision
from llm_service.store.models import AuditEvent, Feedback, Mention, Turn, UtcDateTime, now
from llm_service.store.passages import StoredPassage

LEASE: Final = timedelta(minutes=15)
OPEN_STATES: Final = ("pending", "proposed", "first_approved")
DECISIONS: Final = ("review.proposed", "review.first_approved", "review.approved", "review.rejected", "review.reopened")
TOLD: Final = ("review.drafted", *DECISIONS)


@dataclass(frozen=True)
class Proposal:
    """What a reviewer says should have been asked and answered, and what the given answer was worth (the rubric)."""

    question: MaskedText
    answer: MaskedText
    rubric: str


@dataclass(frozen=True)
class Draft:
    """An example that no feedback gave: of a curated file or of a builder. `made_by` is a person's key or a builder."""

    kind: str
    question: MaskedText
    answer: MaskedText
    made_by: str
    group_key: str
    licence: str
    tags: tuple[str, ...] = ()
    sources: tuple[dict[str, Any], ...] = ()
    locale: str = "ko"


@dataclass(frozen=True)
class QueueFilter:
    """Which items of the queue: of these states and kinds (all where empty); what is None or empty is not asked.

    `not_by` had no part in them: neither proposed them nor approved them. `until` is exclusive.
    """

    states: tuple[str, ...] = OPEN_STATES
    kinds: tuple[str, ...] = ()
    not_by: str | None = None
    audience: str | None = None
    tag: str | None = None
    rubric: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class ListedItem:
    """What a list shows of an item; `question` is the one that is proposed."""

    id: str
    kind: str
    state: str
    question: MaskedText
    proposed_by: str
    leased_until: datetime | None
    created_at: datetime


@dataclass(frozen=True)
class Progress:
    """How many decisions a person has taken since a time, and how many examples wait for one of theirs."""

    decided: int
    waiting: int


def open_for_feedback(session: Session, feedback: Feedback, turn: Turn) -> ReviewItem:
    """Put a verdict into the queue: the correction where there is one, the answer where it was praised."""
    conversation = turn.conversation
    item = ReviewItem(
        kind="correction",
        feedback_id=feedback.id,
        conversation_id=conversation.id,
        user_key=conversation.user_key,
        group_key=conversation.id,
        question=turn.question,
        answer=turn.answer,
        proposed_question=turn.question,
        proposed_answer=feedback.correction or (turn.answer if feedback.verdict == "up" else None),
        proposed_by=conversation.user_key,
        tags=[tag for tag in (turn.intent, feedback.reason, turn.state) if tag],
        sources=_sources_of(session, turn.id),
        locale=conversation.locale,
        audience=conversation.audience,
    )
    session.add(item)
    session.flush()
    mentions = select(literal(item.id), Mention.mention_key).where(Mention.conversation_id == conversation.id)
    session.execute(insert(ReviewMention).from_select(["item_id", "mention_key"], mentions))
    return item


def add_draft(session: Session, draft: Draft) -> str | None:
    """Put a draft into the queue; None where the very same one is there already, so that builders may run again."""
    key = _content_key(draft)
    if session.scalar(select(ReviewItem.id).where(ReviewItem.content_key == key)) is not None:
        return None
    item = ReviewItem(
        kind=draft.kind,
        group_key=draft.group_key,
        content_key=key,
        question=draft.question,
        answer=None,
        proposed_question=draft.question,
        proposed_answer=draft.answer,
        proposed_by=draft.made_by,
        rubric="correct",
        licence=draft.licence,
        tags=list(draft.tags),
        sources=list(draft.sources),
        locale=draft.locale,
    )
    session.add(item)
    session.flush()
    _audit(session, draft.made_by, "review.drafted", item)
    return item.id


def item(session: Session, item_id: str) -> ReviewItem:
    """One item. Raises `NotFound` (review_item_not_found)."""
    if IDENTIFIER.fullmatch(item_id):
        found = session.get(ReviewItem, item_id)
        if found is not None:
            return found
    raise NotFound("review_item_not_found", "there is no such example in the review queue")


def queue(session: Session, wanted: QueueFilter, limit: int, after: str | None = None) -> list[ReviewItem]:
    """Items, the oldest first; `after` is the last item of the page before."""
    first = _first_places(_behind(session, wanted, after), wanted, limit).subquery()
    statement = select(ReviewItem).join(first, first.c.id == ReviewItem.id).options(selectinload(ReviewItem.revisions))
    return list(session.scalars(statement.order_by(ReviewItem.created_at, ReviewItem.id)))


def listed(session: Session, wanted: QueueFilter, limit: int, after: str | None = None) -> list[ListedItem]:
    """The same items as `queue`, without their answers, sources and revisions."""
    first = _first_places(_behind(session, wanted, after), wanted, limit).subquery()
    statement = select(
        ReviewItem.id,
        ReviewItem.kind,
        ReviewItem.state,
        ReviewItem.proposed_question,
        ReviewItem.proposed_by,
        ReviewItem.leased_until,
        ReviewItem.created_at,
    ).join(first, first.c.id == ReviewItem.id)
    rows = session.execute(statement.order_by(ReviewItem.created_at, ReviewItem.id))
    return [ListedItem(*row) for row in rows]


def counts(session: Session, states: Sequence[str] = REVIEW_STATES, up_to: int | None = None) -> dict[str, int]:
    """How many items are in each of these states, without those that have none.

    No state is counted further than `up_to` + 1, which says "more": what a page costs must not grow with what waits.
    """
    counted = union_all(
        *(select(literal(state).label("state"), _counted(state, up_to).label("items")) for state in states)
    )
    return {row.state: row.items for row in session.execute(counted) if row.items}


def progress(session: Session, person: str, since: datetime, up_to: int | None = None) -> Progress:
    """What a person has decided since a time, and what waits for them; another's lease does not count.

    What waits is counted no further than `up_to` + 1.
    """
    decided = select(func.count()).where(
        AuditEvent.actor == person, AuditEvent.at >= since, AuditEvent.action.in_(DECISIONS)
    )
    # One's own are few and found by their indices; to look at everybody else's would be to look at all that waits.
    proposed = select(func.count()).where(ReviewItem.proposed_by == person, ReviewItem.state.in_(OPEN_STATES))
    approved = select(func.count()).where(ReviewItem.first_approver == person, ReviewItem.state == "first_approved")
    asked = select(decided.scalar_subquery(), proposed.scalar_subquery(), approved.scalar_subquery())
    taken, of_proposed, of_approved = session.execute(asked).one()
    held_back = of_proposed + of_approved
    still_open = counts(session, OPEN_STATES, None if up_to is None else up_to + held_back)
    waiting = sum(still_open.values()) - held_back
    return Progress(taken, waiting if up_to is None else min(waiting, up_to + 1))


def history(session: Session, item_id: str) -> list[AuditEvent]:
    """What was ever decided about an item, the oldest first, as the audit tells it; readings are left out."""
    statement = select(AuditEvent).where(AuditEvent.subject_id == item_id, AuditEvent.subject_kind == "review_item")
    return list(session.scalars(statement.where(AuditEvent.action.in_(TOLD)).order_by(AuditEvent.id)))


def oldest_open(session: Session) -> datetime | None:
    """When the example came in that has waited longest for a decision; asked state by state, as the index is built."""
    first = [
        session.scalar(
            select(ReviewItem.created_at).where(ReviewItem.state == state).order_by(ReviewItem.created_at).limit(1)
        )
        for state in OPEN_STATES
    ]
    return min((at for at in first if at is not None), default=None)


def lease_next(
    session: Session, person: str, wanted: QueueFilter, skipped: Sequence[str] = (), leaving: str | None = None
) -> ReviewItem | None:
    """The oldest item that this person may decide and nobody else holds, theirs for `LEASE`; None when all is done.

    Whoever asks again gives back what they held. `skipped` come last, in their order; `leaving` does not come at all.
    """
    release(session, person)
    at = now()
    free = (*_not_by(person), or_(ReviewItem.leased_until.is_(None), ReviewItem.leased_until <= at))
    # Whoever is locked right now is being taken or decided by somebody: the next one is tried.
    passed = [leaving] if leaving is not None else []
    while True:
        item_id = _next_place(session, (*_filtered(wanted), *free), wanted, passed, skipped)
        if item_id is None:
            return None
        statement = select(ReviewItem).where(ReviewItem.id == item_id, ReviewItem.state.in_(wanted.states), *free)
        found = session.scalar(statement.with_for_update(skip_locked=True).execution_options(populate_existing=True))
        if found is not None:
            found.leased_by, found.leased_until = person, at + LEASE
            session.flush()
            return found
        passed.append(item_id)


def release(session: Session, person: str) -> None:
    """Give back what a person holds, undecided."""
    for held in session.scalars(select(ReviewItem).where(ReviewItem.leased_by == person)):
        held.leased_by, held.leased_until = None, None
    session.flush()


def propose(session: Session, person: str, item_id: str, version: int, proposal: Proposal) -> ReviewItem:
    """Put other words in the place of what was proposed; approvals given before are void, and two are needed again.

    Raises `NotFound`, and `Conflict` (review_item_changed, review_item_leased, review_item_decided).
    """
    found = _to_decide(session, person, item_id, version)
    found.proposed_question, found.proposed_answer = proposal.question, proposal.answer
    found.proposed_by, found.proposed_at, found.rubric = person, now(), proposal.rubric
    _clear_approvals(found)
    _decided(session, found, person, "proposed", "review.proposed")
    revision = ReviewRevision(
        item_id=found.id, version=found.version, proposed_by=person, question=proposal.question, answer=proposal.answer
    )
    session.add(revision)
    session.flush()
    return found


def approve(session: Session, person: str, item_id: str, version: int, rubric: str | None = None) -> ReviewItem:
    """Approve what is proposed: the first time of two, or the second, which makes it an example to train on.

    `rubric` is needed where nobody has given one. Raises `NotPermitted` (own_proposal, approved_by_you_already),
    `InvalidInput` (answer_missing, rubric_missing), and what `propose` raises.
    """
    found = _to_decide(session, person, item_id, version)
    if person == found.proposed_by:
        raise NotPermitted("own_proposal", "whoever proposed an example cannot approve it")
    if person == found.first_approver:
        raise NotPermitted("approved_by_you_already", "the second approval is another person's")
    if found.proposed_answer is None:
        raise InvalidInput("answer_missing", "nothing is proposed yet; propose an answer first")
    found.rubric = found.rubric or rubric
    if found.rubric is None:
        raise InvalidInput("rubric_missing", "say what the given answer was worth")
    if found.first_approver is None:
        found.first_approver, found.first_approved_at = person, now()
        return _decided(session, found, person, "first_approved", "review.first_approved")
    found.second_approver, found.second_approved_at = person, now()
    return _decided(session, found, person, "approved", "review.approved")


def reject(session: Session, person: str, item_id: str, version: int, reason: str) -> ReviewItem:
    """Keep an example out of training, for a reason given as a code. Raises what `propose` raises."""
    found = _to_decide(session, person, item_id, version)
    _clear_approvals(found)
    found.rejected_by, found.rejection_reason = person, reason
    return _decided(session, found, person, "rejected", "review.rejected", reason=reason)


def reopen(session: Session, person: str, item_id: str, version: int, reason: str) -> ReviewItem:
    """Take back an approval or a rejection, as a changed law asks for; two approvals are needed again.

    Frozen datasets keep their rows; the next one is built without it. Raises `NotFound`, and `Conflict`
    (review_item_changed, review_item_open).
    """
    found = _locked(session, item_id, version)
    if found.state in OPEN_STATES:
        raise Conflict("review_item_open", "the example is under review already")
    _clear_approvals(found)
    found.rejected_by, found.rejection_reason = None, None
    return _decided(session, found, person, "proposed", "review.reopened", reason=reason)


def approvals_since(session: Session, since: datetime | None) -> int:
    """How many examples got their second approval after a time, or ever."""
    statement = select(func.count()).select_from(ReviewItem).where(ReviewItem.state == "approved")
    if since is not None:
        statement = statement.where(ReviewItem.second_approved_at > since)
    return session.scalar(statement) or 0


def _first_places(conditions: Sequence[ColumnElement[bool]], wanted: QueueFilter, limit: int) -> Select[str, datetime]:
    """The ids of the oldest items, with their times. Each state (and kind) is read in the order of its own index:

    to ask for several at once would have the database sort everything that waits.
    """
    places: list[tuple[ColumnElement[bool], ...]] = [
        (ReviewItem.state == state,) for state in wanted.states or REVIEW_STATES
    ]
    if wanted.kinds:
        places = [(*place, ReviewItem.kind == kind) for place in places for kind in wanted.kinds]
    order = (ReviewItem.created_at, ReviewItem.id)
    heads = [
        select(ReviewItem.id, ReviewItem.created_at).where(*place, *conditions).order_by(*order).limit(limit).subquery()
        for place in places
    ]
    merged = union_all(*(select(head.c.id, head.c.created_at) for head in heads)).subquery()
    return select(merged.c.id, merged.c.created_at).order_by(merged.c.created_at, merged.c.id).limit(limit)


def _next_place(
    session: Session,
    conditions: Sequence[ColumnElement[bool]],
    wanted: QueueFilter,
    passed: Sequence[str],
    skipped: Sequence[str],
) -> str | None:
    """The id of the oldest item that was neither passed nor skipped, else of the one that was skipped first."""
    others = (*conditions, ReviewItem.id.not_in([*passed, *skipped]))
    found = session.scalar(select(_first_places(others, wanted, 1).subquery().c.id))
    left = [item_id for item_id in skipped if item_id not in passed]
    if found is not None or not left:
        return found
    again = _first_places((*conditions, ReviewItem.id.in_(left)), wanted, len(left)).subquery()
    still_there = set(session.scalars(select(again.c.id)))
    return next((item_id for item_id in left if item_id in still_there), None)


def _counted(state: str, up_to: int | None) -> ScalarSelect[int]:
    # In the order of the index, which is all that is read then: a table full of one state would look cheaper unsorted.
    found = select(ReviewItem.id).where(ReviewItem.state == state)
    if up_to is not None:
        found = found.order_by(ReviewItem.created_at, ReviewItem.id).limit(up_to + 1)
    return select(func.count()).select_from(found.subquery()).scalar_subquery()


def _filtered(wanted: QueueFilter) -> list[ColumnElement[bool]]:
    """What is asked beyond states and kinds."""
    conditions = [*_not_by(wanted.not_by)] if wanted.not_by is not None else []
    equal = ((ReviewItem.audience, wanted.audience), (ReviewItem.rubric, wanted.rubric))
    conditions += [column == value for column, value in equal if value is not None]
    if wanted.tag is not None:
        # Tags are codes, kept as a JSON array of strings: a quoted code is found in its text on every database. Not by
        # LIKE: PostgreSQL takes a pattern in the middle for rare, and would read the whole table to find the first few.
        tags = cast(ReviewItem.tags, Text)
        conditions.append(func.replace(tags, f'"{wanted.tag}"', "") != tags)
    if wanted.since is not None:
        conditions.append(ReviewItem.created_at >= wanted.since)
    if wanted.until is not None:
        conditions.append(ReviewItem.created_at < wanted.until)
    return conditions


def _not_by(person: str) -> tuple[ColumnElement[bool], ...]:
    first = or_(ReviewItem.first_approver.is_(None), ReviewItem.first_approver != person)
    return ReviewItem.proposed_by != person, first


def _behind(session: Session, wanted: QueueFilter, after: str | None) -> list[ColumnElement[bool]]:
    """What is asked, behind an item where one is named. Raises `NotFound` (review_item_not_found)."""
    if after is None:
        return _filtered(wanted)
    last = item(session, after)
    place = tuple_(literal(last.created_at, UtcDateTime()), literal(last.id))
    return [*_filtered(wanted), tuple_(ReviewItem.created_at, ReviewItem.id) > place]


def _to_decide(session: Session, person: str, item_id: str, version: int) -> ReviewItem:
    found = _locked(session, item_id, version)
    if found.state not in OPEN_STATES:
        raise Conflict("review_item_decided", "the example is approved or rejected already")
    held = found.leased_until is not None and found.leased_until > now()
    if held and found.leased_by != person:
        raise Conflict("review_item_leased", "somebody else is deciding this example right now")
    return found


def _locked(session: Session, item_id: str, version: int) -> ReviewItem:
    item(session, item_id)
    statement = select(ReviewItem).where(ReviewItem.id == item_id).with_for_update()
    found = session.scalars(statement, execution_options={"populate_existing": True}).one()
    if found.version != version:
        raise Conflict("review_item_changed", "somebody else changed the example; look at it again")
    return found


def _decided(session: Session, found: ReviewItem, person: str, state: str, action: str, **details: str) -> ReviewItem:
    found.state, found.version = state, found.version + 1
    found.leased_by, found.leased_until = None, None
    feedback = session.get(Feedback, found.feedback_id) if found.feedback_id else None
    if feedback is not None:
        feedback.state = "proposed" if state == "first_approved" else state
    session.flush()
    _audit(session, person, action, found, **details)
    return found


def _clear_approvals(found: ReviewItem) -> None:
    found.first_approver, found.first_approved_at = None, None
    found.second_approver, found.second_approved_at = None, None


def _audit(session: Session, actor: str, action: str, found: ReviewItem, **details: str) -> None:
    told = {"kind": found.kind, "state": found.state, "version": found.version, "rubric": found.rubric, **details}
    audit.record(session, actor, action, "review_item", found.id, told)


def _content_key(draft: Draft) -> str:
    parts: Sequence[str] = (draft.kind, draft.question, draft.answer, draft.group_key)
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


def source_of(passage: StoredPassage) -> dict[str, Any]:
    """A passage in the shape in which an example keeps what it is asked with."""
    return {
        "document_id": passage.document_id,
        "passage_id": passage.id,
        "path": passage.document_path,
        "title": passage.document_title,
        "label": passage.label,
        "article": passage.article,
        "text": passage.text,
        "in_force_from": passage.in_force_from.isoformat(),
    }


def _sources_of(session: Session, turn_id: str) -> list[dict[str, Any]]:
    return [
        {
            "document_id": document.id if document else None,
            "passage_id": shown.passage_id,
            "path": shown.document_path,
            "title": document.title if document else "",
            "label": shown.label,
            "article": passage.article if passage else None,
            "text": shown.text,
            "in_force_from": document.in_force_from.isoformat() if document else None,
        }
        for shown, passage, document in sources_of(session, turn_id)
    ]
