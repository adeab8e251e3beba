"""Questions about hand-offs: asked for, taken by one agent, written to and fro, ended, rated.

Every change locks the hand-off, numbers its event and, where a person decided something, writes the audit row in the
same transaction. Knows neither roles nor office hours: who may and when is settled before.

waiting → taken ⇄ answered → closed;  taken, answered → waiting (released);  waiting → abandoned
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import bindparam, delete, exists, func, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload

from llm_service.errors import Conflict, NotFound
from llm_service.masked import MaskedText
from llm_service.store import audit
from llm_service.store.conversations import IDENTIFIER
from llm_service.store.handoff_models import OPEN_STATES, WITH_A_PERSON, Handoff, HandoffEvent
from llm_service.store.models import Conversation, Turn, now

SERVICE: Final = "llm_service"
BATCH_ROWS: Final = 500
TOLD_STATES: Final = ("taken", "closed", "abandoned")
"""What a channel that is written to hears of; that one waits it was told when it asked."""
# Every turn of a known conversation asks this: written once, it is not built at every call.
_LATEST: Final = (
    select(Handoff)
    .where(Handoff.conversation_id == bindparam("conversation_id"))
    .order_by(Handoff.asked_at.desc(), Handoff.id)
    .limit(1)
)


@dataclass(frozen=True)
class Said:
    """One line of what was said in a conversation, masked: who, what, when."""

    author: str
    text: MaskedText
    at: datetime


def open_of(session: Session, conversation_id: str) -> Handoff | None:
    """The hand-off of a conversation that has not ended, if there is one."""
    return session.scalar(
        select(Handoff).where(Handoff.conversation_id == conversation_id, Handoff.state.in_(OPEN_STATES))
    )


def latest_of(session: Session, conversation_id: str) -> Handoff | None:
    """The hand-off of a conversation that was asked for last."""
    return session.scalar(_LATEST, {"conversation_id": conversation_id})


def one(session: Session, handoff_id: str) -> Handoff:
    """A hand-off with its conversation. Raises `NotFound` (handoff_not_found)."""
    if IDENTIFIER.fullmatch(handoff_id):
        found = session.scalar(
            select(Handoff).where(Handoff.id == handoff_id).options(joinedload(Handoff.conversation))
        )
        if found is not None:
            return found
    raise NotFound("handoff_not_found", "there is no such hand-off")


def message_by_event(session: Session, conversation_id: str, event_id: str) -> HandoffEvent | None:
    """The message that this event of this conversation made before, if there is one."""
    return session.scalar(
        select(HandoffEvent)
        .join(Handoff)
        .where(Handoff.conversation_id == conversation_id, HandoffEvent.event_id == event_id)
    )


def ask(session: Session, conversation: Conversation, reason: str, reply_to: str, due_at: datetime) -> Handoff:
    """A new hand-off, waiting. The caller has seen that none is open; the database sees it again."""
    found = Handoff(conversation_id=conversation.id, reason=reason, due_at=due_at, reply_to=reply_to or None)
    session.add(found)
    session.flush()
    _tell_state(session, found, "waiting")
    conversation.last_turn_at = now()
    _audit(session, conversation.user_key, "handoff.asked", found, reason=reason, channel=conversation.channel)
    return found


def take(session: Session, agent: str, handoff_id: str) -> Handoff:
    """Make it this agent's; taken again by the same agent it stays. Raises `NotFound`, `Conflict`."""
    found = _locked_open(session, handoff_id)
    if found.taken_by == agent:
        return found
    if found.taken_by is not None:
        raise Conflict("handoff_taken", "another person has taken this conversation")
    found.taken_by, found.taken_at = agent, now()
    _tell_state(session, found, "taken")
    _audit(session, agent, "handoff.taken", found)
    return found


def release(session: Session, agent: str, handoff_id: str, due_at: datetime) -> Handoff:
    """Give it back to those who wait. Raises `NotFound`, `Conflict` (handoff_taken, handoff_not_open)."""
    found = _locked_of(session, agent, handoff_id)
    found.taken_by, found.taken_at, found.due_at = None, None, found.due_at or due_at
    _tell_state(session, found, "waiting")
    _audit(session, agent, "handoff.released", found)
    return found


def reply(session: Session, agent: str, handoff_id: str, event_id: str, text: MaskedText) -> HandoffEvent:
    """Words of the agent who has it; said again under the same event they are said once. Raises as `release` does."""
    found = _locked_of(session, agent, handoff_id)
    if (known := _message(session, found, event_id)) is not None:
        return known
    message = _tell_message(session, found, "agent", event_id, text)
    found.due_at, found.first_reply_at = None, found.first_reply_at or message.at
    found.state = "answered"
    _audit(session, agent, "handoff.replied", found, position=message.position)
    return message


def write(session: Session, handoff_id: str, event_id: str, text: MaskedText, due_at: datetime) -> HandoffEvent:
    """Words of the person. Raises `NotFound`, `Conflict` (handoff_not_open)."""
    found = _locked(session, handoff_id)
    if (known := _message(session, found, event_id)) is not None:
        return known
    _require_open(found)
    message = _tell_message(session, found, "person", event_id, text)
    found.due_at = found.due_at or due_at
    # Whose word it is shows in the messages; only that somebody has come or gone is told as a state.
    found.state = "taken" if found.state == "answered" else found.state
    session.flush()
    return message


def close(session: Session, agent: str, handoff_id: str) -> Handoff:
    """The agent is done; the person is with the bot again. Raises as `release` does."""
    found = _locked_of(session, agent, handoff_id)
    return _end(session, found, "closed", ended_by="agent", actor=agent)


def leave(session: Session, handoff_id: str) -> Handoff:
    """The person does not want it any more; one that has ended stays as it is. Raises `NotFound`."""
    found = _locked(session, handoff_id)
    if found.state not in OPEN_STATES:
        return found
    state = "abandoned" if found.state == "waiting" else "closed"
    return _end(session, found, state, ended_by="person", actor=found.conversation.user_key)


def rate(session: Session, handoff_id: str, rating: int) -> Handoff:
    """What the person thought of it, 1 to 5, once. Raises `NotFound`, `Conflict` (handoff_rated, _not_closed)."""
    found = _locked(session, handoff_id)
    if found.state != "closed":
        raise Conflict("handoff_not_closed", "only a conversation that was closed is rated")
    if found.rating is not None and found.rating != rating:
        raise Conflict("handoff_rated", "this conversation has been rated already")
    if found.rating is None:
        found.rating = rating
        _audit(session, found.conversation.user_key, "handoff.rated", found, rating=rating)
    return found


def end_silent(session: Session, waiting_since: datetime, silent_since: datetime) -> list[str]:
    """End what nobody took in time, and what both sides left; returns the ids of one batch."""
    nobody_came = (Handoff.state == "waiting") & (Handoff.touched_at < waiting_since)
    both_silent = Handoff.state.in_(WITH_A_PERSON) & (Handoff.touched_at < silent_since)
    rows = session.scalars(
        select(Handoff)
        .where(or_(nobody_came, both_silent))
        .order_by(Handoff.touched_at)
        .limit(BATCH_ROWS)
        .with_for_update(skip_locked=True, of=Handoff)
        .options(joinedload(Handoff.conversation))
    )
    ended = []
    for found in rows:
        state = "abandoned" if found.state == "waiting" else "closed"
        ended.append(_end(session, found, state, ended_by="silence", actor=SERVICE).id)
    return ended


def forget_places(session: Session, ended_before: datetime) -> None:
    """Where people of messengers read is forgotten of hand-offs that ended before a time, delivered or not."""
    session.execute(
        update(Handoff)
        .where(Handoff.ended_at < ended_before, Handoff.reply_to.is_not(None))
        .values(reply_to=None)
        .execution_options(synchronize_session=False)
    )


def queue(session: Session, states: Sequence[str], limit: int) -> list[Handoff]:
    """Hand-offs with their conversations: what is owed first, the longest owed on top; then the rest by age."""
    return list(
        session.scalars(
            select(Handoff)
            .join(Handoff.conversation)
            .where(Handoff.state.in_(states or OPEN_STATES))
            .order_by(Handoff.due_at.is_(None), Handoff.due_at, Handoff.asked_at, Handoff.id)
            .limit(limit)
            .options(contains_eager(Handoff.conversation))
        )
    )


def counts(session: Session) -> dict[str, int]:
    """How many hand-offs are in each open state."""
    rows = session.execute(
        select(Handoff.state, func.count().label("handoffs"))
        .where(Handoff.state.in_(OPEN_STATES))
        .group_by(Handoff.state)
    )
    return {row.state: row.handoffs for row in rows}


def ahead_of(session: Session, handoff: Handoff) -> int:
    """How many have waited longer."""
    waiting = select(func.count()).where(Handoff.state == "waiting", Handoff.asked_at < handoff.asked_at)
    return session.scalar(waiting) or 0


def last_position(session: Session, handoff_id: str) -> int:
    """The number of the newest event; 0 for a hand-off that is gone."""
    return session.scalar(select(Handoff.last_position).where(Handoff.id == handoff_id)) or 0


def events_after(session: Session, handoff_id: str, after: int) -> list[HandoffEvent]:
    """What happened behind a number, in order."""
    return list(
        session.scalars(
            select(HandoffEvent)
            .where(HandoffEvent.handoff_id == handoff_id, HandoffEvent.position > after)
            .order_by(HandoffEvent.position)
        )
    )


def said_before(session: Session, conversation_id: str, turns: int) -> list[Said]:
    """The newest turns of a conversation with the bot, oldest first: what was asked and what was answered."""
    newest = session.scalars(
        select(Turn).where(Turn.conversation_id == conversation_id).order_by(Turn.position.desc()).limit(turns)
    )
    said = []
    for turn in reversed(list(newest)):
        said.append(Said("person", turn.question, turn.created_at))
        if turn.answer is not None:
            said.append(Said("bot", turn.answer, turn.answered_at or turn.created_at))
    return said


def claim_undelivered(session: Session, channel: str, until: datetime, limit: int) -> list[HandoffEvent]:
    """Agents' words and new states that a channel has not delivered, for one deliverer until a time, in order.

    Of a hand-off nothing is handed out while an earlier event of it is somebody else's.
    """
    at = now()
    earlier = aliased(HandoffEvent)
    is_behind_another = (
        exists()
        .where(
            earlier.handoff_id == HandoffEvent.handoff_id,
            earlier.position < HandoffEvent.position,
            earlier.delivered_at.is_(None),
            earlier.claimed_until > at,
        )
        .correlate(HandoffEvent)
    )
    claimed = session.scalars(
        select(HandoffEvent)
        .join(HandoffEvent.handoff)
        .join(Handoff.conversation)
        .where(
            HandoffEvent.delivered_at.is_(None),
            or_(HandoffEvent.claimed_until.is_(None), HandoffEvent.claimed_until <= at),
            Conversation.channel == channel,
            Handoff.reply_to.is_not(None),
            or_(HandoffEvent.author == "agent", HandoffEvent.state.in_(TOLD_STATES)),
            ~is_behind_another,
        )
        .order_by(HandoffEvent.at, HandoffEvent.position)
        .limit(limit)
        .with_for_update(of=HandoffEvent, skip_locked=True)
        .options(contains_eager(HandoffEvent.handoff).contains_eager(Handoff.conversation))
    ).all()
    for event in claimed:
        event.claimed_until = until
    return list(claimed)


def mark_delivered(session: Session, event_id: str) -> None:
    """A channel has delivered an event; behind the last one its place is forgotten."""
    event = session.get(HandoffEvent, event_id)
    if event is None:
        return
    event.delivered_at = event.delivered_at or now()
    handoff = session.get_one(Handoff, event.handoff_id)
    if handoff.ended_at is not None and event.position == handoff.last_position:
        handoff.reply_to = None


def delete_before(session: Session, before: datetime) -> int:
    """Delete one batch of ended hand-offs older than a time; returns how many."""
    batch = select(Handoff.id).where(Handoff.ended_at < before).order_by(Handoff.ended_at).limit(BATCH_ROWS)
    result: Any = session.execute(
        delete(Handoff).where(Handoff.id.in_(batch)).execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


def _locked(session: Session, handoff_id: str) -> Handoff:
    one(session, handoff_id)
    statement = select(Handoff).where(Handoff.id == handoff_id).with_for_update()
    return session.scalars(statement, execution_options={"populate_existing": True}).one()


def _locked_open(session: Session, handoff_id: str) -> Handoff:
    found = _locked(session, handoff_id)
    _require_open(found)
    return found


def _locked_of(session: Session, agent: str, handoff_id: str) -> Handoff:
    found = _locked_open(session, handoff_id)
    if found.taken_by != agent:
        raise Conflict("handoff_taken", "this conversation is not yours; take it first")
    return found


def _require_open(found: Handoff) -> None:
    if found.state not in OPEN_STATES:
        raise Conflict("handoff_not_open", "this hand-off has ended")


def _message(session: Session, found: Handoff, event_id: str) -> HandoffEvent | None:
    return session.scalar(
        select(HandoffEvent).where(HandoffEvent.handoff_id == found.id, HandoffEvent.event_id == event_id)
    )


def _end(session: Session, found: Handoff, state: str, ended_by: str, actor: str) -> Handoff:
    found.ended_at, found.ended_by, found.due_at = now(), ended_by, None
    _tell_state(session, found, state)
    _audit(session, actor, f"handoff.{state}", found, by=ended_by)
    return found


def _tell_state(session: Session, found: Handoff, state: str) -> None:
    found.state = state
    _tell(session, found, HandoffEvent(handoff_id=found.id, kind="state", state=state))


def _tell_message(session: Session, found: Handoff, author: str, event_id: str, text: MaskedText) -> HandoffEvent:
    message = HandoffEvent(handoff_id=found.id, kind="message", author=author, event_id=event_id, text=text)
    return _tell(session, found, message)


def _tell(session: Session, found: Handoff, event: HandoffEvent) -> HandoffEvent:
    found.last_position += 1
    found.touched_at = event.at = now()
    event.position = found.last_position
    session.add(event)
    session.flush()
    return event


def _audit(session: Session, actor: str, action: str, found: Handoff, **details: Any) -> None:
    audit.record(session, actor, action, "handoff", found.id, {"conversation_id": found.conversation_id, **details})
