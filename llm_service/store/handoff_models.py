"""The tables of hand-offs: a conversation that waits for a person of the bank, and what the two then write, masked.

What must never happen is a constraint here: two open hand-offs of one conversation, one that is taken by nobody, a
message told twice or out of order.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llm_service.masked import MaskedText
from llm_service.store.models import Base, Conversation, new_id, now

STATES: Final = ("waiting", "taken", "answered", "closed", "abandoned")
OPEN_STATES: Final = ("waiting", "taken", "answered")
WITH_A_PERSON: Final = ("taken", "answered")
REASONS: Final = ("asked", "refused", "complaint")
IS_OPEN: Final = text("state IN ('waiting', 'taken', 'answered')")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class Handoff(Base):
    """One conversation on its way to a person of the bank and back.

    `taken_by` is the agent's keyed hash. `due_at` is when the person has to have heard something, empty while nothing
    is owed. `reply_to` is the channel's own name of the place where the person reads; it is forgotten once the
    last word has been delivered.
    `last_position` numbers the events, `touched_at` is the last sign of either side.
    """

    __tablename__ = "handoffs"
    __table_args__ = (
        CheckConstraint(_one_of("state", STATES), name="ck_handoffs_state"),
        CheckConstraint(_one_of("reason", REASONS), name="ck_handoffs_reason"),
        CheckConstraint("rating BETWEEN 1 AND 5", name="ck_handoffs_rating"),
        CheckConstraint(
            "state NOT IN ('taken', 'answered') OR (taken_by IS NOT NULL AND taken_at IS NOT NULL)",
            name="ck_handoffs_taken",
        ),
        CheckConstraint("state <> 'waiting' OR taken_by IS NULL", name="ck_handoffs_waiting"),
        CheckConstraint("(state IN ('closed', 'abandoned')) = (ended_at IS NOT NULL)", name="ck_handoffs_ended"),
        CheckConstraint("ended_at IS NULL OR due_at IS NULL", name="ck_handoffs_owed"),
        CheckConstraint("rating IS NULL OR state = 'closed'", name="ck_handoffs_rated"),
        Index("uq_handoffs_open", "conversation_id", unique=True, sqlite_where=IS_OPEN, postgresql_where=IS_OPEN),
        Index("ix_handoffs_state_asked_at", "state", "asked_at"),
        Index("ix_handoffs_conversation", "conversation_id", "asked_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    reason: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16), default="waiting")
    asked_at: Mapped[datetime] = mapped_column(default=now)
    due_at: Mapped[datetime | None]
    taken_by: Mapped[str | None] = mapped_column(String(64))
    taken_at: Mapped[datetime | None]
    first_reply_at: Mapped[datetime | None]
    touched_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]
    ended_by: Mapped[str | None] = mapped_column(String(16))
    rating: Mapped[int | None]
    reply_to: Mapped[str | None] = mapped_column(String(512))
    last_position: Mapped[int] = mapped_column(default=0)
    conversation: Mapped[Conversation] = relationship()
    events: Mapped[list["HandoffEvent"]] = relationship(
        order_by="HandoffEvent.position", cascade="all, delete-orphan", back_populates="handoff"
    )


class HandoffEvent(Base):
    """One thing that happened: a new state, or a message of the agent or the person. Numbered from 1 without gaps.

    `event_id` is the sender's own id of a message: the same again is the same message. `delivered_at` and
    `claimed_until` are for channels that are written to instead of reading.
    """

    __tablename__ = "handoff_events"
    __table_args__ = (
        UniqueConstraint("handoff_id", "position", name="uq_handoff_events_position"),
        UniqueConstraint("handoff_id", "event_id", name="uq_handoff_events_event"),
        CheckConstraint("kind IN ('state', 'message')", name="ck_handoff_events_kind"),
        CheckConstraint("(kind = 'state') = (state IS NOT NULL)", name="ck_handoff_events_state"),
        CheckConstraint(
            "(kind = 'message') = (author IS NOT NULL AND event_id IS NOT NULL AND text IS NOT NULL)",
            name="ck_handoff_events_message",
        ),
        CheckConstraint("author IN ('agent', 'person')", name="ck_handoff_events_author"),
        Index("ix_handoff_events_undelivered", "delivered_at", "at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    handoff_id: Mapped[str] = mapped_column(ForeignKey("handoffs.id", ondelete="CASCADE"))
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(8))
    state: Mapped[str | None] = mapped_column(String(16))
    author: Mapped[str | None] = mapped_column(String(8))
    event_id: Mapped[str | None] = mapped_column(String(128))
    text: Mapped[MaskedText | None]
    at: Mapped[datetime] = mapped_column(default=now)
    delivered_at: Mapped[datetime | None]
    claimed_until: Mapped[datetime | None]
    handoff: Mapped[Handoff] = relationship(back_populates="events")
