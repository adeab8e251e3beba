"""Writes who did what to which thing, in the transaction of the change itself, and reads it back.

Never text, never a person's raw id.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.store.models import AuditEvent


def record(
    session: Session,
    actor: str,
    action: str,
    subject_kind: str,
    subject_id: str,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add one audit row. `actor` is a service's name or a person's keyed hash; `details`: ids, counts and kinds."""
    session.add(
        AuditEvent(
            actor=actor, action=action, subject_kind=subject_kind, subject_id=subject_id, details=dict(details or {})
        )
    )


def events(session: Session, action: str | None, before_id: int | None, limit: int) -> list[AuditEvent]:
    """Audit rows, the newest first: of one action or all, older than a row where that is given."""
    statement = select(AuditEvent).order_by(AuditEvent.id.desc()).limit(limit)
    if action is not None:
        statement = statement.where(AuditEvent.action == action)
    if before_id is not None:
        statement = statement.where(AuditEvent.id < before_id)
    return list(session.scalars(statement))


def delete_before(session: Session, before: datetime) -> int:
    """Delete audit rows older than a time; returns how many there were."""
    result = session.execute(delete(AuditEvent).where(AuditEvent.at < before))
    assert isinstance(result, CursorResult)
    return result.rowcount
