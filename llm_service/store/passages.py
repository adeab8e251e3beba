"""Reads passages for retrieval and for building its index, and keeps which generation of the index is in use.

Knows nothing of analysis or ranking: `vectors` is bytes here.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store.index_models import IndexStatistics
from llm_service.store.models import Document, IndexChange, IndexGeneration, Passage, now
from llm_service.store.session import READS_ONLY, SessionFactory

READ_BATCH_ROWS = 500
STATEMENT_IDS = 5_000
"""Ids named in one statement; databases allow 32,766 and more."""


@dataclass(frozen=True)
class StoredPassage:
    """A passage with what its document says about it: everything a candidate and its entitlement check need."""

    id: int
    document_id: int
    document_path: str
    document_title: str
    audience: tuple[str, ...]
    in_force_from: date
    in_force_to: date
    header: MaskedText
    text: MaskedText
    label: str
    article: str | None
    heading_path: tuple[str, ...]
    page: int | None
    vectors: bytes
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadyDocument:
    """Who may see a ready document, and when it is in force."""

    audience: tuple[str, ...]
    in_force_from: date
    in_force_to: date
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class DocumentTerms:
    """The packed terms of one ready document's passages by passage id, with who may see it from when until when."""

    document_id: int
    audience: tuple[str, ...]
    in_force_from: date
    in_force_to: date
    vectors: dict[int, bytes]
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Generation:
    """One build of the index as it is recorded."""

    id: int
    name: str
    analyser: str
    average_lengths: dict[str, float]
    applied_sequence: int


_OF_PASSAGE, _OF_DOCUMENT = Passage.__table__.c, Document.__table__.c
_STORED_PASSAGES = select(
    _OF_PASSAGE.id,
    _OF_PASSAGE.document_id,
    _OF_DOCUMENT.path,
    _OF_DOCUMENT.title,
    _OF_DOCUMENT.audience,
    _OF_DOCUMENT.in_force_from,
    _OF_DOCUMENT.in_force_to,
    _OF_PASSAGE.header,
    _OF_PASSAGE.text,
    _OF_PASSAGE.label,
    _OF_PASSAGE.article,
    _OF_PASSAGE.heading_path,
    _OF_PASSAGE.page,
    _OF_PASSAGE.vectors,
    _OF_DOCUMENT.groups,
).join_from(Passage.__table__, Document.__table__)
# Every question asks these two: written once and on tables, they take half the time of what is built anew from models.
_READY_PASSAGES = _STORED_PASSAGES.where(
    _OF_PASSAGE.id.in_(bindparam("ids", expanding=True)), _OF_DOCUMENT.state == "ready"
)
_TERMS_OF_PASSAGES = select(_OF_PASSAGE.id, _OF_PASSAGE.document_id, _OF_PASSAGE.article, _OF_PASSAGE.vectors).where(
    _OF_PASSAGE.id.in_(bindparam("ids", expanding=True))
)


@contextmanager
def reading(sessions: SessionFactory) -> Iterator[Session]:
    """A session that only reads, so that a search never waits for a writer; nothing is committed."""
    with sessions() as session:
        session.connection(execution_options=READS_ONLY)
        yield session


def packed_terms(session: Session, passage_ids: Sequence[int]) -> list[tuple[int, int, str | None, bytes]]:
    """(passage id, document id, article, vectors) of these passages, in no order: what judging them needs."""
    found = session.execute(_TERMS_OF_PASSAGES, {"ids": list(passage_ids)})
    return [(id_, document_id, article, vectors) for id_, document_id, article, vectors in found]


def ready_passages(session: Session, passage_ids: Sequence[int]) -> dict[int, StoredPassage]:
    """The passages with these ids whose document is ready; others are left out, not an error."""
    return {row[0]: _stored(row) for row in session.execute(_READY_PASSAGES, {"ids": list(passage_ids)})}


def passages_of_documents(session: Session, document_ids: Sequence[int] | None = None) -> Iterator[StoredPassage]:
    """All passages of ready documents (of these only, if ids are given) by document and position, read in batches."""
    statement = _STORED_PASSAGES.where(Document.state == "ready").order_by(Document.id, Passage.position)
    statement = statement.execution_options(yield_per=READ_BATCH_ROWS)
    if document_ids is None:
        yield from map(_stored, session.execute(statement))
        return
    for ids in batched_ids(sorted(document_ids)):
        yield from map(_stored, session.execute(statement.where(Document.id.in_(ids))))


def ready_documents(session: Session) -> dict[int, ReadyDocument]:
    """The ready documents that have passages, by id."""
    columns = (Document.id, Document.audience, Document.in_force_from, Document.in_force_to, Document.groups)
    has_passages = select(Passage.id).where(Passage.document_id == Document.id).exists()
    statement = select(*columns).where(Document.state == "ready", has_passages).order_by(Document.id)
    return {
        id_: ReadyDocument(tuple(audience), since, until, tuple(groups))
        for id_, audience, since, until, groups in session.execute(statement)
    }


def terms_of_documents(session: Session, ready: Mapping[int, ReadyDocument]) -> Iterator[DocumentTerms]:
    """The terms of these documents, one document at a time, without their text."""
    columns = select(Passage.document_id, Passage.id, Passage.vectors).order_by(Passage.document_id)
    for ids in batched_ids(sorted(ready)):
        rows = session.execute(columns.where(Passage.document_id.in_(ids)).execution_options(yield_per=READ_BATCH_ROWS))
        for document_id, passages in groupby(rows, key=lambda row: row[0]):
            seen = ready[document_id]
            vectors = {id_: blob for _, id_, blob in passages}
            since, until = seen.in_force_from, seen.in_force_to
            yield DocumentTerms(document_id, seen.audience, since, until, vectors, seen.groups)


def batched_ids(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Ids in as many pieces as statements are needed."""
    return (ids[start : start + STATEMENT_IDS] for start in range(0, len(ids), STATEMENT_IDS))


def kept_statistics(session: Session, generation_id: int) -> bytes | None:
    """The packed term statistics that were kept of this generation."""
    return session.scalar(select(IndexStatistics.body).where(IndexStatistics.generation_id == generation_id))


def keep_statistics(session: Session, generation_id: int, body: bytes) -> None:
    """Keep these, and none of older generations: they count documents that may be erased by now."""
    session.execute(delete(IndexStatistics))
    session.execute(insert(IndexStatistics).values(generation_id=generation_id, body=body))


def count_ready(session: Session) -> int:
    """How many passages the index ought to hold."""
    statement = select(func.count(Passage.id)).join(Document).where(Document.state == "ready")
    return int(session.execute(statement).scalar_one())


def replace_vectors(session: Session, vectors: dict[int, bytes]) -> None:
    """Store newly analysed terms of passages."""
    session.execute(update(Passage), [{"id": id_, "vectors": blob} for id_, blob in vectors.items()])


def active_generation(session: Session) -> Generation | None:
    row = session.execute(select(IndexGeneration).where(IndexGeneration.active)).scalar_one_or_none()
    return _generation(row) if row else None


def add_generation(session: Session, name: str, analyser: str, average_lengths: dict[str, float]) -> Generation:
    """Record a new, not yet active generation that holds every change there is now."""
    sequence = session.execute(select(func.max(IndexChange.sequence))).scalar_one() or 0
    row = IndexGeneration(
        name=name, active=False, analyser=analyser, average_lengths=average_lengths, applied_sequence=sequence
    )
    session.add(row)
    session.flush()
    return _generation(row)


def activate_generation(session: Session, generation_id: int) -> None:
    """Make this generation the one in use, and no other."""
    session.execute(update(IndexGeneration).where(IndexGeneration.active).values(active=False))
    session.execute(update(IndexGeneration).where(IndexGeneration.id == generation_id).values(active=True))


def generation_names(session: Session) -> list[str]:
    """Names of all recorded generations, newest first."""
    return list(session.execute(select(IndexGeneration.name).order_by(IndexGeneration.id.desc())).scalars())


def pending_changes(session: Session) -> list[tuple[int, int, str]]:
    """(sequence, document id, action) of every change the index does not hold yet, in order."""
    statement = (
        select(IndexChange.sequence, IndexChange.document_id, IndexChange.action)
        .where(IndexChange.applied_at.is_(None))
        .order_by(IndexChange.sequence)
    )
    return [(sequence, document_id, action) for sequence, document_id, action in session.execute(statement)]


def mark_applied(session: Session, generation_id: int, sequences: Sequence[int]) -> None:
    """Note that the generation holds these changes."""
    if not sequences:
        return
    for some in batched_ids(sequences):
        session.execute(update(IndexChange).where(IndexChange.sequence.in_(some)).values(applied_at=now()))
    session.execute(
        update(IndexGeneration).where(IndexGeneration.id == generation_id).values(applied_sequence=max(sequences))
    )


def _stored(row: Any) -> StoredPassage:
    values = list(row)
    values[4], values[11], values[14] = tuple(values[4]), tuple(values[11]), tuple(values[14])
    return StoredPassage(*values)


def _generation(row: IndexGeneration) -> Generation:
    return Generation(row.id, row.name, row.analyser, dict(row.average_lengths), row.applied_sequence)
