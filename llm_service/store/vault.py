"""Questions about vault entries and mentions. Knows rows only: what is inside a ciphertext or a hash it cannot tell."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from llm_service.errors import VaultUnavailable
from llm_service.store.models import Conversation, Mention, VaultEntry


@dataclass(frozen=True)
class EntryRecord:
    """A new entry as it is handed over: nothing of it can be read without a key."""

    placeholder: str
    value_key: str
    key_id: str
    nonce: bytes
    ciphertext: bytes


def live_entries(session: Session, conversation_id: str, at: datetime) -> list[VaultEntry]:
    """The entries of a conversation that have not expired."""
    with _reached():
        return list(
            session.scalars(
                select(VaultEntry).where(VaultEntry.conversation_id == conversation_id, VaultEntry.expires_at > at)
            )
        )


def add_entries(session: Session, conversation_id: str, entries: Iterable[EntryRecord], expires_at: datetime) -> None:
    """Keep new entries of a conversation."""
    with _reached():
        session.add_all(
            VaultEntry(
                conversation_id=conversation_id,
                placeholder=entry.placeholder,
                value_key=entry.value_key,
                key_id=entry.key_id,
                nonce=entry.nonce,
                ciphertext=entry.ciphertext,
                expires_at=expires_at,
            )
            for entry in entries
        )
        session.flush()


def forget_expired(session: Session, at: datetime, conversation_id: str | None = None) -> int:
    """Delete what has expired, of one conversation or of all; returns how many entries there were."""
    statement = delete(VaultEntry).where(VaultEntry.expires_at <= at)
    if conversation_id is not None:
        statement = statement.where(VaultEntry.conversation_id == conversation_id)
    with _reached():
        return _count(session, statement)


def extend(session: Session, conversation_id: str, at: datetime, expires_at: datetime) -> None:
    """Let the living entries of a conversation live until `expires_at`; what has expired stays expired."""
    with _reached():
        session.execute(
            update(VaultEntry)
            .where(VaultEntry.conversation_id == conversation_id, VaultEntry.expires_at > at)
            .values(expires_at=expires_at)
            .execution_options(synchronize_session=False)
        )


def entries_of_keys(
    session: Session, key_ids: Collection[str], after: int, limit: int
) -> list[tuple[VaultEntry, Conversation]]:
    """Entries under any of these keys with their conversations, locked, in order of id after the one given."""
    with _reached():
        rows = session.execute(
            select(VaultEntry, Conversation)
            .join(Conversation, VaultEntry.conversation_id == Conversation.id)
            .where(VaultEntry.key_id.in_(key_ids), VaultEntry.id > after)
            .order_by(VaultEntry.id)
            .limit(limit)
            .with_for_update(of=VaultEntry)
        )
        return [(entry, conversation) for entry, conversation in rows]


def entries_by_key(session: Session) -> dict[str, int]:
    """How many entries each key id has."""
    with _reached():
        statement = select(VaultEntry.key_id, func.count()).group_by(VaultEntry.key_id)
        return dict(session.execute(statement).all())


def add_mentions(session: Session, conversation_id: str, mention_keys: Collection[str]) -> None:
    """Note that a conversation holds these values; known ones are left as they are."""
    if not mention_keys:
        return
    insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    rows = [{"conversation_id": conversation_id, "mention_key": key} for key in sorted(mention_keys)]
    with _reached():
        session.execute(insert(Mention).values(rows).on_conflict_do_nothing())


def conversations_mentioning(session: Session, mention_key: str) -> list[str]:
    """The conversations that hold a value, by its keyed hash."""
    with _reached():
        return list(
            session.scalars(
                select(Mention.conversation_id)
                .where(Mention.mention_key == mention_key)
                .order_by(Mention.conversation_id)
            )
        )


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (OperationalError, ProgrammingError) as error:
        raise VaultUnavailable("the vault's tables cannot be used; see `haechi doctor`") from error


def _count(session: Session, statement: object) -> int:
    result = session.execute(statement)  # type: ignore[call-overload]
    assert isinstance(result, CursorResult)
    return result.rowcount
