"""Questions about conversations and turns. A turn's state only moves forward, and every move is a conditional update.

received → answering → answered | refused | stopped | failed
received → replied | stopped
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, cast

from sqlalchemy import Insert, Table, bindparam, func, insert, select, update
from sqlalchemy.engine import CursorResult, Row
from sqlalchemy.orm import Session, joinedload, make_transient_to_detached

from llm_service.errors import NotFound
from llm_service.masked import MaskedText
from llm_service.store.models import Base, Conversation, Document, Passage, Turn, TurnSource, new_id, now

FINISHED_STATES: Final = frozenset({"answered", "refused", "replied", "stopped", "failed"})
JUDGED_STATES: Final = frozenset({"answering", "answered", "refused"})
IDENTIFIER: Final = re.compile(r"[0-9a-f]{32}")
_TURNS, _SOURCES, _PASSAGES, _CONVERSATIONS = (
    cast(Table, model.__table__) for model in (Turn, TurnSource, Passage, Conversation)
)
# Every turn asks these: written once they are not built, and not looked up among the compiled ones, at every call.
_OF_THREAD = (
    select(Conversation)
    .where(Conversation.channel == bindparam("channel"), Conversation.thread_key == bindparam("thread_key"))
    .with_for_update()
)
_BY_EVENT = (
    select(Turn)
    .join(Conversation)
    .where(
        Conversation.channel == bindparam("channel"),
        Conversation.thread_key == bindparam("thread_key"),
        Turn.event_id == bindparam("event_id"),
    )
)
_LAST_POSITION = select(func.max(_TURNS.c.position)).where(_TURNS.c.conversation_id == bindparam("conversation_id"))
_WITH_CONVERSATION = select(Turn).where(Turn.id == bindparam("turn_id")).options(joinedload(Turn.conversation))
_TO_ANSWER = (
    select(
        *(_TURNS.c[name] for name in ("conversation_id", "position", "question", "state", "timings")),
        *(_CONVERSATIONS.c[name] for name in ("audience", "groups", "locale")),
    )
    .join(_CONVERSATIONS)
    .where(_TURNS.c.id == bindparam("turn_id"))
)
_TIMINGS = select(_TURNS.c.timings).where(_TURNS.c.id == bindparam("turn_id"))
# What is set stands in the parameters.
_MOVED = update(_TURNS).where(_TURNS.c.id == bindparam("turn_id"), _TURNS.c.state == bindparam("expected_state"))
_NEW_TURN, _NEW_CONVERSATION, _NEW_SOURCES = insert(_TURNS), insert(_CONVERSATIONS), insert(_SOURCES)
_KNOWN_PASSAGES = select(_PASSAGES.c.id).where(_PASSAGES.c.id.in_(bindparam("ids", expanding=True)))


@dataclass(frozen=True)
class RoutedBy:
    """Which intent a question was given, how surely, by whom, and why where that was not Rasa."""

    intent: str
    confidence: float
    by: str
    reason: str = ""


@dataclass(frozen=True)
class SourceRow:
    """One source as it was shown with an answer."""

    number: int
    passage_id: int | None
    label: str
    document_path: str
    text: MaskedText
    score: float


@dataclass(frozen=True)
class Outcome:
    """How a turn ended. `error_code` is set when it failed, `as_of` where the answer settled its day."""

    state: str
    answer: MaskedText | None = None
    engine: str | None = None
    sources: Sequence[SourceRow] = ()
    timings: Mapping[str, float] | None = None
    retrieval: Mapping[str, Any] | None = None
    error_code: str | None = None
    as_of: date | None = None


@dataclass(frozen=True)
class Asked:
    """A turn and the rights of its conversation, as whoever answers it needs them."""

    conversation_id: str
    position: int
    question: MaskedText
    state: str
    timings: dict[str, float]
    audience: str
    groups: list[str]
    locale: str


@dataclass(frozen=True)
class Ending:
    """What is told of a turn at its end, without its texts; `timings` are milliseconds by stage."""

    id: str
    state: str
    engine: str | None
    timings: dict[str, float]


def find_or_create_conversation(
    session: Session,
    channel: str,
    thread_key: str,
    user_key: str,
    audience: str,
    locale: str,
    groups: Sequence[str] = (),
) -> Conversation:
    """The conversation of this thread, locked until the transaction ends so that its turns get places in order."""
    found = session.scalar(_OF_THREAD, {"channel": channel, "thread_key": thread_key})
    if found is None:
        found = Conversation(
            id=new_id(),
            channel=channel,
            thread_key=thread_key,
            user_key=user_key,
            audience=audience,
            groups=sorted(groups),
            locale=locale,
            created_at=now(),
            last_turn_at=now(),
            last_numbers={},
        )
        session.add(found)
    found.locale = locale
    return found


def has_just_begun(session: Session, conversation: Conversation) -> bool:
    """Whether this transaction made the conversation, and nothing of it is written yet: nothing needs looking up."""
    return conversation in session.new


def of_thread(session: Session, channel: str, thread_key: str) -> Conversation | None:
    """The conversation of this thread, if there is one."""
    return session.scalar(
        select(Conversation).where(Conversation.channel == channel, Conversation.thread_key == thread_key)
    )


def turn_by_event(session: Session, channel: str, thread_key: str, event_id: str) -> Turn | None:
    """The turn that this event of this thread made before, if there is one."""
    return session.scalar(_BY_EVENT, {"channel": channel, "thread_key": thread_key, "event_id": event_id})


def locked(session: Session, conversation_id: str) -> Conversation:
    """A known conversation, locked until the transaction ends so that its placeholders get numbers in order."""
    statement = select(Conversation).where(Conversation.id == conversation_id).with_for_update()
    return session.scalars(statement, execution_options={"populate_existing": True}).one()


def add_turn(
    session: Session,
    conversation: Conversation,
    event_id: str,
    question: MaskedText,
    entity_counts: Mapping[str, int],
    timings: Mapping[str, float],
) -> Turn:
    """The next turn of a conversation, received and not yet answered."""
    # Rows that already point at a conversation that has just begun come after it: the unit of work sees to that.
    if has_just_begun(session, conversation) and len(session.new) == 1:
        session.expunge(conversation)
        _keep(session, _NEW_CONVERSATION, conversation)
        last = 0
    else:
        last = session.scalar(_LAST_POSITION, {"conversation_id": conversation.id}) or 0
        conversation.last_turn_at = now()
    turn = Turn(
        id=new_id(),
        conversation_id=conversation.id,
        event_id=event_id,
        position=last + 1,
        question=question,
        entity_counts=dict(entity_counts),
        state="received",
        timings=dict(timings),
        retrieval={},
        created_at=now(),
    )
    _keep(session, _NEW_TURN, turn)
    return turn


def owned_turn(session: Session, turn_id: str, conversation_id: str) -> Turn:
    """A turn with its conversation and sources, for the conversation it belongs to.

    Raises `NotFound` (turn_not_found) alike for an unknown turn and for somebody else's.
    """
    if IDENTIFIER.fullmatch(turn_id):
        found = session.scalar(_WITH_CONVERSATION, {"turn_id": turn_id})
        if found is not None and found.conversation_id == conversation_id:
            return found
    raise NotFound("turn_not_found", "no such turn in this conversation")


def asked(session: Session, turn_id: str, conversation_id: str) -> Asked:
    """A turn as whoever answers it needs it. Raises as `owned_turn` does."""
    if IDENTIFIER.fullmatch(turn_id):
        found: Row[Any] | None = session.execute(_TO_ANSWER, {"turn_id": turn_id}).one_or_none()
        if found is not None and found.conversation_id == conversation_id:
            return Asked(**found._mapping)
    raise NotFound("turn_not_found", "no such turn in this conversation")


def last_answer(session: Session, conversation_id: str) -> Turn:
    """The turn of a conversation that was last answered from documents, or is being answered right now.

    Raises `NotFound` (answer_not_found) where nothing has been answered yet.
    """
    found = session.scalar(
        select(Turn)
        .where(Turn.conversation_id == conversation_id, Turn.state.in_(JUDGED_STATES))
        .options(joinedload(Turn.conversation))
        .order_by(Turn.position.desc())
        .limit(1)
    )
    if found is None:
        raise NotFound("answer_not_found", "nothing has been answered in this conversation yet")
    return found


def any_turn(session: Session, turn_id: str) -> Turn:
    """A turn with its conversation, whoever's it is: for operators, and never without an audit row.

    Raises `NotFound` (turn_not_found).
    """
    if IDENTIFIER.fullmatch(turn_id):
        found = session.scalar(_WITH_CONVERSATION, {"turn_id": turn_id})
        if found is not None:
            return found
    raise NotFound("turn_not_found", "no such turn")


def sources_of(session: Session, turn_id: str) -> list[tuple[TurnSource, Passage | None, Document | None]]:
    """The sources of an answer in their order; passage and document are None once they have been deleted."""
    rows = session.execute(
        select(TurnSource, Passage, Document)
        .outerjoin(Passage, TurnSource.passage_id == Passage.id)
        .outerjoin(Document, Passage.document_id == Document.id)
        .where(TurnSource.turn_id == turn_id)
        .order_by(TurnSource.number)
    )
    return [(source, passage, document) for source, passage, document in rows]


def turns_before(session: Session, turn: Turn | Asked, limit: int) -> list[Turn]:
    """The finished turns of the conversation before this one, oldest first, at most `limit`."""
    if turn.position == 1:
        return []
    latest = session.scalars(
        select(Turn)
        .where(
            Turn.conversation_id == turn.conversation_id,
            Turn.position < turn.position,
            Turn.state.in_(("answered", "replied")),
        )
        .order_by(Turn.position.desc())
        .limit(limit)
    )
    return list(latest)[::-1]


def claim_for_answer(
    session: Session,
    turn_id: str,
    routed: RoutedBy,
    as_of: date | None,
    *,
    adapter: str | None = None,
    timings: Mapping[str, float] | None = None,
) -> bool:
    """Move a turn from received to answering. True for the one caller who did it: only that caller generates.

    `timings`, where given, are the milliseconds of its stages so far; `adapter` is what the turn's row says.
    """
    told = {"timings": dict(timings)} if timings is not None else {}
    return _move(
        session,
        turn_id,
        "received",
        adapter=adapter,
        **told,
        state="answering",
        intent=routed.intent,
        intent_confidence=routed.confidence,
        routed_by=routed.by,
        route_reason=routed.reason or None,
        as_of=as_of,
        answering_since=now(),
    )


def finish_answer(session: Session, turn_id: str, outcome: Outcome) -> Ending | None:
    """Move a turn from answering to its end and keep what was answered. None when it had ended already."""
    retrieval = dict(outcome.retrieval or {})
    settled = {"as_of": outcome.as_of} if outcome.as_of is not None else {}
    timings = {**(session.scalar(_TIMINGS, {"turn_id": turn_id}) or {}), **(outcome.timings or {})}
    moved = _move(
        session,
        turn_id,
        "answering",
        state=outcome.state,
        answer=outcome.answer,
        engine=outcome.engine,
        error_code=outcome.error_code,
        answered_at=now(),
        timings=timings,
        retrieval=retrieval,
        cut_sentences=sum(not verdict["passed"] for verdict in retrieval.get("verdicts", ())),
        **settled,
    )
    if not moved:
        return None
    if outcome.sources:
        kept = _kept_passages(session, [source.passage_id for source in outcome.sources])
        session.execute(_NEW_SOURCES, [_source_row(turn_id, source, kept) for source in outcome.sources])
    return Ending(turn_id, outcome.state, outcome.engine, timings)


def stop_before_start(session: Session, turn_id: str) -> bool:
    """End a turn whose answer has not begun. False when it has."""
    return _move(session, turn_id, "received", state="stopped", answered_at=now())


def store_reply(session: Session, turn_id: str, routed: RoutedBy, reply: MaskedText) -> bool:
    """Keep a deterministic reply as the turn's answer. False when the turn was not waiting for one."""
    return _move(
        session,
        turn_id,
        "received",
        state="replied",
        intent=routed.intent,
        intent_confidence=routed.confidence,
        routed_by=routed.by,
        route_reason=routed.reason or None,
        answer=reply,
        answered_at=now(),
    )


def abandoned_turns(session: Session, claimed_before: datetime) -> list[str]:
    """Turns still answering whose claim is older than the given time: whoever claimed them is gone."""
    return list(
        session.scalars(
            select(Turn.id).where(Turn.state == "answering", Turn.answering_since < claimed_before).order_by(Turn.id)
        )
    )


def _kept_passages(session: Session, passage_ids: Sequence[int | None]) -> set[int]:
    # A document may have been replaced while the answer was written; the source stays readable without its passage.
    ids = [passage_id for passage_id in passage_ids if passage_id is not None]
    return set(session.scalars(_KNOWN_PASSAGES, {"ids": ids})) if ids else set()


def _source_row(turn_id: str, source: SourceRow, kept: set[int]) -> dict[str, Any]:
    return {
        "turn_id": turn_id,
        "number": source.number,
        "passage_id": source.passage_id if source.passage_id in kept else None,
        "label": source.label,
        "document_path": source.document_path,
        "text": source.text,
        "score": source.score,
    }


def _keep(session: Session, insertion: Insert, row: Base) -> None:
    """Insert a row at once and hold it as one that was read: the ORM's unit of work costs several times as much."""
    # What waits to be written may point at this row: it must not go first.
    with session.no_autoflush:
        session.execute(insertion, {name: value for name, value in vars(row).items() if not name.startswith("_")})
    make_transient_to_detached(row)
    session.add(row)


def _move(session: Session, turn_id: str, expected_state: str, **values: Any) -> bool:
    # On the table, since the ORM would ask for the row before and after; what the session holds of it is read anew.
    result = session.execute(_MOVED, {"turn_id": turn_id, "expected_state": expected_state, **values})
    assert isinstance(result, CursorResult)
    held = session.identity_map.get(session.identity_key(Turn, turn_id))
    if held is not None:
        session.expire(held, values)
    return result.rowcount == 1
