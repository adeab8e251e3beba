"""Deletes conversations with everything that hangs on them: turns, sources, feedback, vault entries, mentions.

The foreign keys cascade in the database, so nothing that is added to a conversation later can be forgotten here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, exists, func, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.store.models import Conversation, Feedback, Mention, Turn, TurnSource, VaultEntry

# SQLite takes at most 32,766 variables a statement, and a short statement lets other writers in.
BATCH_ROWS: Final = 500


@dataclass(frozen=True)
class Holdings:
    """What conversations hold, in rows."""

    conversations: int
    turns: int
    sources: int
    feedback: int
    vault_entries: int
    mentions: int


def conversations_of_user(session: Session, user_key: str) -> list[str]:
    """The conversations of one person of one channel, by the keyed hash of the person's id."""
    return list(session.scalars(select(Conversation.id).where(Conversation.user_key == user_key)))


def holdings_of(session: Session, conversation_ids: Sequence[str]) -> Holdings:
    """How many rows would go with these conversations."""

    def count(statement: Any) -> int:
        batches = _batches(conversation_ids)
        return sum(session.scalar(statement.where(Conversation.id.in_(batch))) or 0 for batch in batches)

    total = select(func.count())
    turns = total.select_from(Conversation).join(Turn)
    return Holdings(
        conversations=count(total.select_from(Conversation)),
        turns=count(turns),
        sources=count(turns.join(TurnSource)),
        feedback=count(turns.join(Feedback)),
        vault_entries=count(total.select_from(Conversation).join(VaultEntry)),
        mentions=count(total.select_from(Conversation).join(Mention)),
    )


def delete_conversations(session: Session, conversation_ids: Sequence[str]) -> None:
    """Delete conversations and everything that hangs on them."""
    for batch in _batches(conversation_ids):
        session.execute(delete(Conversation).where(Conversation.id.in_(batch)))


def delete_turns_before(session: Session, before: datetime) -> int:
    """Delete one batch of turns older than a time, with sources and feedback; returns how many, 0 when all are gone."""
    batch = select(Turn.id).where(Turn.created_at < before).order_by(Turn.created_at).limit(BATCH_ROWS)
    return _count(session, delete(Turn).where(Turn.id.in_(batch)))


def delete_feedback_before(session: Session, before: datetime) -> int:
    """Delete one batch of verdicts older than a time; returns how many, 0 when all are gone."""
    batch = select(Feedback.id).where(Feedback.created_at < before).order_by(Feedback.created_at).limit(BATCH_ROWS)
    return _count(session, delete(Feedback).where(Feedback.id.in_(batch)))


def delete_empty_conversations(session: Session, before: datetime) -> int:
    """Delete conversations that have no turn left and whose last one was before a time."""
    has_turns = exists().where(Turn.conversation_id == Conversation.id)
    return _count(session, delete(Conversation).where(Conversation.last_turn_at < before, ~has_turns))


def _batches(conversation_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(conversation_ids), BATCH_ROWS):
        yield conversation_ids[start : start + BATCH_ROWS]


def _count(session: Session, statement: Any) -> int:
    result = session.execute(statement.execution_options(synchronize_session=False))
    assert isinstance(result, CursorResult)
    return result.rowcount
