"""Writes who did what to which thing, in the transaction of the change itself, chained by hashes, and reads it back.

Never text, never a person's raw id. The chain shows that a row was edited, removed or moved; that its newest rows were
cut off and the whole rewritten shows only beside a hash kept elsewhere: the logs carry it, and so does every export.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from sqlalchemy import delete, func, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.store.models import AuditChain, AuditEvent, now

GENESIS_SHA256: Final = "0" * 64
"""What the first row of all is chained to."""
ROWS_AT_ONCE: Final = 2000

Fault = Literal["edited", "removed", "cut_off", "added", "beginning_moved"]


@dataclass(frozen=True)
class Verification:
    """Whether the chain holds. `fault` says what was done first, `position` where; `last_sha256` is to be kept."""

    rows: int
    first_position: int
    last_position: int
    last_sha256: str
    fault: Fault | None = None
    position: int | None = None


def record(
    session: Session,
    actor: str,
    action: str,
    subject_kind: str,
    subject_id: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add one audit row. `actor` is a service's name or a person's keyed hash; `details`: ids, counts and kinds.

    The end of the chain stays locked until the transaction ends: record last, and keep the transaction short.
    """
    chain = _locked_chain(session)
    event = AuditEvent(
        position=chain.last_position + 1,
        at=now(),
        actor=actor,
        action=action,
        subject_kind=subject_kind,
        subject_id=subject_id,
        details=json.loads(json.dumps(dict(details or {}))),
    )
    event.sha256 = chained_sha256(chain.last_sha256, event)
    session.add(event)
    chain.last_position, chain.last_sha256 = event.position, event.sha256
    session.flush()


def chained_sha256(before: str, event: AuditEvent) -> str:
    """The hash of a row behind the hash `before`: SHA-256 of both as JSON with sorted keys, times in UTC."""
    row = [
        before,
        event.position,
        event.at.astimezone(UTC).isoformat(timespec="microseconds"),
        event.actor,
        event.action,
        event.subject_kind,
        event.subject_id,
        event.details,
    ]
    return hashlib.sha256(json.dumps(row, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def verify(session: Session) -> Verification:
    """Compute every hash again, in order, and compare; reads the table in pieces."""
    chain = _chain(session)
    first, fault = chain.before_first_position, _fault_of_beginning(session, chain)
    if fault is not None:
        return Verification(0, first + 1, chain.last_position, chain.last_sha256, fault=fault, position=first)
    found = followed(_all_rows(session), first, chain.before_first_sha256)
    if found.fault is None and (found.last_position, found.last_sha256) != (chain.last_position, chain.last_sha256):
        fault = "cut_off" if found.last_position < chain.last_position else "added"
        found = replace(found, fault=fault, position=min(found.last_position, chain.last_position) + 1)
    return replace(found, last_position=chain.last_position, last_sha256=chain.last_sha256)


def followed(events: Iterable[AuditEvent], position: int, sha256: str | None) -> Verification:
    """Follow the chain from behind a row, as far as it holds; of a chain whose beginning is elsewhere (`sha256` None)

    the first row is believed. For rows out of the table as for rows out of an export.
    """
    rows, first = 0, position + 1
    for event in events:
        rows += 1
        if event.position != position + 1:
            fault: Fault = "removed" if event.position > position + 1 else "added"
            return Verification(rows, first, position, sha256 or "", fault=fault, position=position + 1)
        if sha256 is not None and event.sha256 != chained_sha256(sha256, event):
            return Verification(rows, first, position, sha256, fault="edited", position=event.position)
        position, sha256 = event.position, event.sha256
    return Verification(rows, first, position, sha256 or "")


def chain_rows(session: Session, after_position: int, limit: int) -> list[AuditEvent]:
    """Audit rows behind a position in the order of the chain."""
    statement = select(AuditEvent).where(AuditEvent.position > after_position).order_by(AuditEvent.position)
    return list(session.scalars(statement.limit(limit)))


def events(
    session: Session, action: str | None, before_id: int | None, limit: int, actors: Sequence[str] = ()
) -> list[AuditEvent]:
    """Audit rows, the newest first: of one action or all, older than a row where that is given, by these actors or all.

    A person of the console has two names: the id of their account, and the keyed hash of it.
    """
    statement = select(AuditEvent)
    if action is not None:
        statement = statement.where(AuditEvent.action == action)
    if before_id is not None:
        statement = statement.where(AuditEvent.id < before_id)
    if not actors:
        return list(session.scalars(statement.order_by(AuditEvent.id.desc()).limit(limit)))
    # Each actor's in the order of their index: the rows of a busy one are many, and hardly any of them is wanted.
    if before_id is not None:
        before = select(AuditEvent.at).where(AuditEvent.id == before_id).scalar_subquery()
        statement = statement.where(AuditEvent.at <= before)
    newest = (AuditEvent.at.desc(), AuditEvent.id.desc())
    found = [
        event
        for actor in actors
        for event in session.scalars(statement.where(AuditEvent.actor == actor).order_by(*newest).limit(limit))
    ]
    return sorted(found, key=lambda event: event.id, reverse=True)[:limit]


def delete_before(session: Session, actor: str, before: datetime) -> int:
    """Delete the rows older than a time, from the beginning of the chain on; returns how many there were.

    Where the chain now begins is written into the chain itself (`audit.trimmed`), so that nobody else can move it.
    """
    chain = _locked_chain(session)
    first_kept = session.scalar(select(func.min(AuditEvent.position)).where(AuditEvent.at >= before))
    older = select(AuditEvent) if first_kept is None else select(AuditEvent).where(AuditEvent.position < first_kept)
    newest = session.scalar(older.order_by(AuditEvent.position.desc()).limit(1))
    if newest is None:
        return 0
    result = session.execute(delete(AuditEvent).where(AuditEvent.position <= newest.position))
    assert isinstance(result, CursorResult)
    chain.before_first_position, chain.before_first_sha256 = newest.position, newest.sha256
    details = {"position": newest.position, "sha256": newest.sha256, "rows": result.rowcount}
    record(session, actor, "audit.trimmed", "audit", "chain", details)
    return result.rowcount


def _all_rows(session: Session) -> Iterator[AuditEvent]:
    """Every row, in pieces that are forgotten once read."""
    after_position = -1
    while rows := chain_rows(session, after_position, ROWS_AT_ONCE):
        yield from rows
        after_position = rows[-1].position
        session.expunge_all()


def _fault_of_beginning(session: Session, chain: AuditChain) -> Fault | None:
    """Whether the chain begins where its own newest `audit.trimmed` says."""
    trimmed = session.scalar(
        select(AuditEvent).where(AuditEvent.action == "audit.trimmed").order_by(AuditEvent.position.desc()).limit(1)
    )
    said = (trimmed.details["position"], trimmed.details["sha256"]) if trimmed else (0, GENESIS_SHA256)
    return None if said == (chain.before_first_position, chain.before_first_sha256) else "beginning_moved"


def _locked_chain(session: Session) -> AuditChain:
    statement = select(AuditChain).where(AuditChain.id == 1).with_for_update()
    chain = session.scalar(statement.execution_options(populate_existing=True))
    if chain is None:
        chain = _empty_chain()
        session.add(chain)
        session.flush()
    return chain


def _chain(session: Session) -> AuditChain:
    """The end of the chain; an empty one where the row is missing although rows may stand in the table."""
    return session.scalar(select(AuditChain).where(AuditChain.id == 1)) or _empty_chain()


def _empty_chain() -> AuditChain:
    return AuditChain(
        id=1,
        last_position=0,
        last_sha256=GENESIS_SHA256,
        before_first_position=0,
        before_first_sha256=GENESIS_SHA256,
    )
