"""Keeps documents, their editions and passages, and tells the index what changed. The caller commits.

Knows nothing of files, masking or search. Editions of one series follow one another: an edition is in force until the
next one's first day, whatever the order in which they arrived.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Literal, cast

from sqlalchemy import ColumnElement, delete, insert, select, true
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store.models import OPEN_END, Document, IndexChange, Passage

DocumentState = Literal["ready", "failed", "quarantined", "withdrawn"]

RELEASED = "released"
"""Key in `details` of the reason why a person released a quarantined edition."""
REPLACED = "replaced_edition"
"""Reason of an edition withdrawn because another of the same series and first day took its place."""
DUPLICATE = "duplicate_edition"
"""Reason of an edition that is stored, without passages, under a second path."""
WITHDRAWN = "withdrawn"
"""Reason of an edition that a person withdrew."""


@dataclass(frozen=True)
class PassageRecord:
    """A passage as it is stored; `vectors` holds its packed terms."""

    text: MaskedText
    header: MaskedText
    label: str
    article: str | None
    clause: str | None
    heading_path: tuple[str, ...]
    page: int | None
    parent_position: int | None
    vectors: bytes


@dataclass(frozen=True)
class EditionRecord:
    """One edition of a document as it is stored. `details` holds scalars about it: numbers, dates, versions, codes."""

    path: str
    series: str
    title: str
    kind: str
    audience: Sequence[str]
    content_sha256: str
    in_force_from: date
    state: DocumentState
    reason: str | None = None
    entity_counts: Mapping[str, int] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    passages: Sequence[PassageRecord] = ()
    groups: Sequence[str] = ()


@dataclass(frozen=True)
class StoredDocument:
    """An edition as the records have it, without its passages."""

    id: int
    path: str
    series: str
    title: str
    kind: str
    audience: tuple[str, ...]
    content_sha256: str
    in_force_from: date
    in_force_to: date
    state: DocumentState
    reason: str | None
    entity_counts: Mapping[str, int]
    details: Mapping[str, Any]
    passages: int
    groups: tuple[str, ...] = ()


def store_edition(session: Session, edition: EditionRecord) -> StoredDocument:
    """Store an edition with its passages, put its series in order and tell what became of it.

    A row of the same path and content that was made before (failed, or with another date) is removed first. Where the
    same edition is ready under another path, this one is kept as a duplicate without passages.
    """
    _remove_outdated(session, edition)
    twin = same_edition(session, edition.series, edition.in_force_from, edition.content_sha256)
    if edition.state == "ready" and twin is not None:
        edition = replace(edition, state="withdrawn", reason=DUPLICATE, passages=(), entity_counts={})
    document = _new_document(edition)
    session.add(document)
    session.flush()
    if edition.passages:
        session.execute(insert(Passage), list(_passage_rows(document.id, edition.passages)))
    if edition.state == "ready":
        _note_change(session, document.id, "upsert")
        order_series(session, edition.series)
    return _stored(document)


def _remove_outdated(session: Session, edition: EditionRecord) -> None:
    statement = select(Document).where(Document.path == edition.path, Document.content_sha256 == edition.content_sha256)
    for document in session.scalars(statement).all():
        if document.in_force_from == edition.in_force_from or document.in_force_to == OPEN_END:
            _remove(session, document)


def _new_document(edition: EditionRecord) -> Document:
    return Document(
        path=edition.path,
        series=edition.series,
        title=edition.title,
        kind=edition.kind,
        audience=list(edition.audience),
        groups=list(edition.groups),
        content_sha256=edition.content_sha256,
        in_force_from=edition.in_force_from,
        in_force_to=OPEN_END,
        state=edition.state,
        reason=edition.reason,
        entity_counts=dict(edition.entity_counts),
        details=dict(edition.details),
        passage_count=len(edition.passages),
    )


def order_series(session: Session, series: str) -> None:
    """Let every ready edition of a series end where the next begins; of two with the same first day the later one
    stands.

    Later means promulgated later (`details`: promulgated, promulgation_number), else stored later.
    """
    statement = select(Document).where(Document.series == series, Document.state == "ready")
    editions = sorted(session.scalars(statement), key=succession)
    following: Document | None = None
    for edition in reversed(editions):
        if following is not None and edition.in_force_from == following.in_force_from:
            withdraw(session, edition.id, REPLACED)
            continue
        end = following.in_force_from if following else OPEN_END
        if edition.in_force_to != end:
            edition.in_force_to = end
            _note_change(session, edition.id, "upsert")
        following = edition
    session.flush()


def latest_of_path(session: Session, path: str) -> StoredDocument | None:
    """What was stored last under this path, whatever became of it."""
    statement = select(Document).where(Document.path == path).order_by(Document.id.desc()).limit(1)
    document = session.scalars(statement).one_or_none()
    return _stored(document) if document else None


def same_edition(session: Session, series: str, in_force_from: date, content_sha256: str) -> StoredDocument | None:
    """A ready document with this very content as this edition, under whatever path."""
    statement = select(Document).where(
        Document.series == series,
        Document.in_force_from == in_force_from,
        Document.content_sha256 == content_sha256,
        Document.state == "ready",
    )
    document = session.scalars(statement).first()
    return _stored(document) if document else None


def change_audience(session: Session, document_id: int, audience: Sequence[str], groups: Sequence[str] = ()) -> None:
    """Give a document to other people; the index follows."""
    document = session.get_one(Document, document_id)
    document.audience, document.groups = list(audience), list(groups)
    if document.state == "ready":
        _note_change(session, document_id, "upsert")


def withdraw(session: Session, document_id: int, reason: str) -> None:
    """Take an edition out of every answer but keep its row; the edition before it is in force again."""
    document = session.get_one(Document, document_id)
    was_ready = document.state == "ready"
    document.state, document.reason = "withdrawn", reason
    session.flush()
    if was_ready:
        _note_change(session, document_id, "delete")
        if reason != REPLACED:
            order_series(session, document.series)


def restore(session: Session, document_id: int) -> None:
    """Put an edition that a person withdrew back into its series."""
    document = session.get_one(Document, document_id)
    document.state, document.reason, document.in_force_to = "ready", None, OPEN_END
    session.flush()
    _note_change(session, document_id, "upsert")
    order_series(session, document.series)


def withdraw_path(session: Session, path: str) -> int:
    """Withdraw every ready edition stored under a path; returns how many there were."""
    ready = _at(session, path, Document.state == "ready")
    for document in ready:
        withdraw(session, document.id, WITHDRAWN)
    return len(ready)


def restore_path(session: Session, path: str) -> int:
    """Restore every edition under a path that a person withdrew; returns how many there were."""
    withdrawn = _at(session, path, Document.reason == WITHDRAWN)
    for document in withdrawn:
        restore(session, document.id)
    return len(withdrawn)


def release(session: Session, document_id: int, reason: str) -> None:
    """Put a quarantined edition into its series; that it was released, and why, stays with it."""
    document = session.get_one(Document, document_id)
    document.state, document.reason = "ready", None
    document.details = {**document.details, RELEASED: reason}
    session.flush()
    _note_change(session, document_id, "upsert")
    order_series(session, document.series)


def released_reason(session: Session, path: str, content_sha256: str) -> str | None:
    """Why a person released this very content under this path before; None if nobody did."""
    statement = select(Document.details).where(Document.path == path, Document.content_sha256 == content_sha256)
    reasons = (details.get(RELEASED) for details in session.scalars(statement))
    return next((str(reason) for reason in reasons if reason), None)


def passages_at(session: Session, document_id: int, positions: Sequence[int]) -> list[tuple[int, str, MaskedText]]:
    """(position, label, text) of these passages of a document, in whatever state it is."""
    statement = select(Passage.position, Passage.label, Passage.text).where(
        Passage.document_id == document_id, Passage.position.in_(positions)
    )
    rows = session.execute(statement.order_by(Passage.position))
    return [(position, label, text) for position, label, text in rows]


def delete_path(session: Session, path: str) -> int:
    """Erase every edition stored under a path with its passages; returns how many there were."""
    stored = _at(session, path, true())
    for document in stored:
        _remove(session, document)
    for series in sorted({document.series for document in stored}):
        order_series(session, series)
    return len(stored)


def _at(session: Session, path: str, condition: ColumnElement[bool]) -> Sequence[Document]:
    return session.scalars(select(Document).where(Document.path == path, condition).order_by(Document.id)).all()


def list_documents(session: Session) -> list[StoredDocument]:
    """Every edition, by path and first day."""
    statement = select(Document).order_by(Document.path, Document.in_force_from, Document.id)
    return [_stored(document) for document in session.scalars(statement)]


def editions_of(session: Session, series: str) -> list[StoredDocument]:
    """The ready editions of a series in the order in which they are in force."""
    statement = select(Document).where(Document.series == series, Document.state == "ready")
    return [_stored(document) for document in session.scalars(statement.order_by(Document.in_force_from))]


def _remove(session: Session, document: Document) -> None:
    # By statements: loading a statute's passages only to delete them one by one is what the ORM's cascade would do.
    session.execute(delete(Passage).where(Passage.document_id == document.id))
    session.execute(delete(Document).where(Document.id == document.id))
    session.expunge(document)
    _note_change(session, document.id, "delete")


def _note_change(session: Session, document_id: int, action: Literal["upsert", "delete"]) -> None:
    session.add(IndexChange(document_id=document_id, action=action))
    session.flush()


def succession(document: Document) -> tuple[date, str, int, int]:
    """What the editions of a series are ordered by: first day, then promulgation, then order of arrival."""
    number = str(document.details.get("promulgation_number", ""))
    promulgated = str(document.details.get("promulgated", ""))
    return (document.in_force_from, promulgated, int(number) if number.isdecimal() else 0, document.id)


def _passage_rows(document_id: int, passages: Iterable[PassageRecord]) -> Iterable[dict[str, Any]]:
    for position, passage in enumerate(passages):
        yield {
            "document_id": document_id,
            "position": position,
            "header": passage.header,
            "text": passage.text,
            "label": passage.label,
            "article": passage.article,
            "clause": passage.clause,
            "heading_path": list(passage.heading_path),
            "page": passage.page,
            "parent_position": passage.parent_position,
            "vectors": passage.vectors,
        }


def _stored(document: Document) -> StoredDocument:
    return StoredDocument(
        id=document.id,
        path=document.path,
        series=document.series,
        title=document.title,
        kind=document.kind,
        audience=tuple(document.audience),
        content_sha256=document.content_sha256,
        in_force_from=document.in_force_from,
        in_force_to=document.in_force_to,
        state=cast(DocumentState, document.state),
        reason=document.reason,
        entity_counts=dict(document.entity_counts),
        details=dict(document.details),
        passages=document.passage_count,
        groups=tuple(document.groups),
    )
