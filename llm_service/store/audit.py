"""Writes who did what to which thing, in the transaction of the change itself. Never text, never a person's raw id."""

from collections.abc import Mapping
from typing import Any

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
