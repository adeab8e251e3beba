"""The tables: conversations, turns, sources, feedback, the vault, documents, passages, index generations, audit.

Every text column that can hold what a person wrote is typed `MaskedText`. Times are UTC. Questions about these tables
are asked by the functions of the modules beside this one, one for each noun.
"""

from datetime import UTC, date, datetime
from typing import Any, ClassVar
from uuid import uuid4

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from llm_service.masked import MaskedText

OPEN_END = date(9999, 12, 31)
"""in_force_to of an edition that nothing has replaced yet; the day itself is exclusive."""


class UtcDateTime(TypeDecorator[datetime]):
    """A timestamp that is UTC in Python on every database: SQLite forgets the zone, PostgreSQL keeps it."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone was about to be stored; use datetime.now(UTC)")
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        MaskedText: Text,
        datetime: UtcDateTime,
        dict[str, Any]: JSON,
        list[str]: JSON,
        dict[str, int]: JSON,
        dict[str, float]: JSON,
    }


def new_id() -> str:
    """A random identifier of 32 hexadecimal digits."""
    return uuid4().hex


def now() -> datetime:
    return datetime.now(UTC)


class Conversation(Base):
    """One thread of one person in one channel. `user_key` and `thread_key` are keyed hashes, never names.

    `audience` and `groups` are the person's rights and never change: with other rights it is another conversation.
    `last_numbers` holds the highest placeholder number given for each type. Numbers outlive the values behind them:
    none is given twice, or an old text would show a new value.
    """

    __tablename__ = "conversations"
    __table_args__ = (UniqueConstraint("channel", "thread_key", name="uq_conversations_channel_thread"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    channel: Mapped[str] = mapped_column(String(16))
    thread_key: Mapped[str] = mapped_column(String(64))
    user_key: Mapped[str] = mapped_column(String(64), index=True)
    audience: Mapped[str] = mapped_column(String(16))
    groups: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    locale: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(default=now)
    last_turn_at: Mapped[datetime] = mapped_column(default=now, index=True)
    last_numbers: Mapped[dict[str, int]] = mapped_column(default=dict, server_default="{}")
    turns: Mapped[list["Turn"]] = relationship(
        back_populates="conversation", order_by="Turn.position", cascade="all, delete-orphan"
    )


class Turn(Base):
    """One question and its answer. `event_id` is the channel's own id of the message: the same event is one turn.

    `adapter` is the version the turn was given, `base` the base model, none where no model writes. `cut_sentences` is
    how many did not pass the check.
    """

    __tablename__ = "turns"
    __table_args__ = (
        UniqueConstraint("conversation_id", "event_id", name="uq_turns_event"),
        UniqueConstraint("conversation_id", "position", name="uq_turns_position"),
        CheckConstraint(
            "state IN ('received', 'answering', 'answered', 'refused', 'replied', 'stopped', 'failed')",
            name="ck_turns_state",
        ),
        Index("ix_turns_created_at", "created_at", "id"),
        Index("ix_turns_adapter", "adapter", "answered_at"),
        # The few turns that are being written right now, for whoever looks after abandoned ones.
        Index(
            "ix_turns_answering",
            "answering_since",
            postgresql_where=text("state = 'answering'"),
            sqlite_where=text("state = 'answering'"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    event_id: Mapped[str] = mapped_column(String(128))
    position: Mapped[int]
    question: Mapped[MaskedText]
    entity_counts: Mapped[dict[str, int]] = mapped_column(default=dict)
    state: Mapped[str] = mapped_column(String(16), default="received")
    intent: Mapped[str | None] = mapped_column(String(64))
    intent_confidence: Mapped[float | None] = mapped_column(Float)
    routed_by: Mapped[str | None] = mapped_column(String(32))
    route_reason: Mapped[str | None] = mapped_column(String(256))
    answer: Mapped[MaskedText | None]
    engine: Mapped[str | None] = mapped_column(String(64))
    adapter: Mapped[str | None] = mapped_column(String(64))
    cut_sentences: Mapped[int | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    as_of: Mapped[date | None] = mapped_column(Date)
    timings: Mapped[dict[str, float]] = mapped_column(default=dict)
    retrieval: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    answering_since: Mapped[datetime | None]
    answered_at: Mapped[datetime | None]
    conversation: Mapped[Conversation] = relationship(back_populates="turns")
    sources: Mapped[list["TurnSource"]] = relationship(
        back_populates="turn", order_by="TurnSource.number", cascade="all, delete-orphan"
    )


class TurnSource(Base):
    """One source of an answer as it was shown: it stays readable when the document is replaced."""

    __tablename__ = "turn_sources"

    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    passage_id: Mapped[int | None] = mapped_column(ForeignKey("passages.id", ondelete="SET NULL"))
    label: Mapped[str] = mapped_column(String(512))
    document_path: Mapped[str] = mapped_column(String(512))
    text: Mapped[MaskedText]
    score: Mapped[float] = mapped_column(Float)
    turn: Mapped[Turn] = relationship(back_populates="sources")


class Feedback(Base):
    """A person's verdict on one answer, with an optional reason and correction; it starts as pending review."""

    __tablename__ = "feedback"
    __table_args__ = (
        UniqueConstraint("turn_id", "event_id", name="uq_feedback_event"),
        CheckConstraint("verdict IN ('up', 'down')", name="ck_feedback_verdict"),
        CheckConstraint("state IN ('pending', 'proposed', 'approved', 'rejected')", name="ck_feedback_state"),
        Index("ix_feedback_state_created_at", "state", "created_at"),
        Index("ix_feedback_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id", ondelete="CASCADE"), index=True)
    event_id: Mapped[str] = mapped_column(String(128))
    verdict: Mapped[str] = mapped_column(String(8))
    reason: Mapped[str | None] = mapped_column(String(32))
    correction: Mapped[MaskedText | None]
    state: Mapped[str] = mapped_column(String(16), default="pending")
    created_at: Mapped[datetime] = mapped_column(default=now)


class VaultEntry(Base):
    """The value behind one placeholder of one conversation, encrypted; `llm_service.masking.vault` knows how.

    `value_key` is a keyed hash of conversation, type and normalised value: it finds the placeholder of a value that
    comes again, and says nothing about other conversations. `key_id` names the key of the ciphertext.
    """

    __tablename__ = "vault_entries"
    __table_args__ = (
        UniqueConstraint("conversation_id", "placeholder", name="uq_vault_entries_placeholder"),
        UniqueConstraint("conversation_id", "value_key", name="uq_vault_entries_value"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    placeholder: Mapped[str] = mapped_column(String(32))
    value_key: Mapped[str] = mapped_column(String(64))
    key_id: Mapped[str] = mapped_column(String(16), index=True)
    nonce: Mapped[bytes] = mapped_column(LargeBinary(12))
    ciphertext: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class Mention(Base):
    """That a conversation holds a value which points at one person, as a keyed hash; it lives as long as the turns.

    Only so can a person's conversations still be found and erased when the vault has forgotten the values
    (docs/decisions/0007-vault.md).
    """

    __tablename__ = "mentions"

    conversation_id: Mapped[str] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    mention_key: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class Document(Base):
    """One edition of a document. `series` names what it is an edition of (a law, a path); editions differ in force.

    It is for the members of its `groups` among its `audience`; without groups, for its whole audience.
    """

    __tablename__ = "documents"
    __table_args__ = (
        UniqueConstraint("path", "content_sha256", "in_force_from", name="uq_documents_content"),
        CheckConstraint("state IN ('ready', 'failed', 'quarantined', 'withdrawn')", name="ck_documents_state"),
        CheckConstraint("in_force_from < in_force_to", name="ck_documents_in_force"),
        Index("ix_documents_series", "series", "in_force_from"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    path: Mapped[str] = mapped_column(String(512), index=True)
    series: Mapped[str] = mapped_column(String(512))
    title: Mapped[str] = mapped_column(String(512))
    kind: Mapped[str] = mapped_column(String(32))
    audience: Mapped[list[str]]
    groups: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    content_sha256: Mapped[str] = mapped_column(String(64))
    in_force_from: Mapped[date] = mapped_column(Date)
    in_force_to: Mapped[date] = mapped_column(Date, default=OPEN_END)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(String(256))
    entity_counts: Mapped[dict[str, int]] = mapped_column(default=dict)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    passage_count: Mapped[int] = mapped_column(default=0)
    ingested_at: Mapped[datetime] = mapped_column(default=now)
    passages: Mapped[list["Passage"]] = relationship(
        back_populates="document", cascade="all, delete-orphan", order_by="Passage.position"
    )


class Passage(Base):
    """A piece of a document that a citation can point at, with the sparse vectors the index is rebuilt from.

    `text` is shown and quoted; `header` ("은행법 제30조의2(금리인하 요구)") is searched with it, so that the passage
    can be analysed again from its row; `article` is "제4조의2" where there is one; `vectors` holds packed term ids and
    counts.
    """

    __tablename__ = "passages"
    __table_args__ = (UniqueConstraint("document_id", "position", name="uq_passages_position"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id", ondelete="CASCADE"))
    position: Mapped[int]
    header: Mapped[MaskedText] = mapped_column(default=MaskedText(""))
    text: Mapped[MaskedText]
    label: Mapped[str] = mapped_column(String(512))
    article: Mapped[str | None] = mapped_column(String(64), index=True)
    clause: Mapped[str | None] = mapped_column(String(64))
    heading_path: Mapped[list[str]]
    page: Mapped[int | None]
    parent_position: Mapped[int | None]
    vectors: Mapped[bytes] = mapped_column(LargeBinary)
    document: Mapped[Document] = relationship(back_populates="passages")


class IndexGeneration(Base):
    """One build of the vector index: which folder or collection, made with what. Exactly one is active."""

    __tablename__ = "index_generations"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(128), unique=True)
    active: Mapped[bool] = mapped_column(Boolean, default=False)
    analyser: Mapped[str] = mapped_column(String(256))
    average_lengths: Mapped[dict[str, float]] = mapped_column(default=dict)
    applied_sequence: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)


class IndexChange(Base):
    """Outbox of the index: documents added or withdrawn, applied by the index owner in the order of `sequence`.

    `applied_at` is empty until the index holds the change. A high-water mark alone would lose a change whose
    transaction took its number early and committed late.
    """

    __tablename__ = "index_changes"
    __table_args__ = (CheckConstraint("action IN ('upsert', 'delete')", name="ck_index_changes_action"),)

    sequence: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(index=True)
    action: Mapped[str] = mapped_column(String(8))
    created_at: Mapped[datetime] = mapped_column(default=now)
    applied_at: Mapped[datetime | None] = mapped_column(index=True)


class AuditEvent(Base):
    """Who did what to which thing and when, written with the change itself. Never text, never a raw id of a person.

    `sha256` covers the row and the hash of the row before it, in the order of `position`; `audit` writes and checks it.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        UniqueConstraint("position", name="uq_audit_events_position"),
        Index("ix_audit_events_actor_at", "actor", "at"),
        Index("ix_audit_events_action", "action", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    position: Mapped[int]
    at: Mapped[datetime] = mapped_column(default=now, index=True)
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    subject_kind: Mapped[str] = mapped_column(String(32))
    subject_id: Mapped[str] = mapped_column(String(64), index=True)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    sha256: Mapped[str] = mapped_column(String(64))


class AuditChain(Base):
    """The one row that says where the chain of audit rows ends and, once old rows were purged, where it begins.

    Whoever appends locks it, so the chain never forks. `before_first_sha256` is the hash of the last purged row.
    """

    __tablename__ = "audit_chain"
    __table_args__ = (CheckConstraint("id = 1", name="ck_audit_chain_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    last_position: Mapped[int] = mapped_column(default=0)
    last_sha256: Mapped[str] = mapped_column(String(64))
    before_first_position: Mapped[int] = mapped_column(default=0)
    before_first_sha256: Mapped[str] = mapped_column(String(64))
