"""Shows audit rows to who may review them; knows no more than the rows say."""

from functools import partial

from sqlalchemy.orm import Session

from llm_service.client import AuditEvent
from llm_service.store import audit
from llm_service.store.transactions import Transactions


class AuditDesk:
    """Reads the audit rows."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def events(self, action: str | None, before_id: int | None, limit: int) -> list[AuditEvent]:
        """The newest rows first, of one action or all, older than `before_id` where it is given."""
        return await self._transactions.read(partial(_events, action=action, before_id=before_id, limit=limit))


def _events(session: Session, action: str | None, before_id: int | None, limit: int) -> list[AuditEvent]:
    return [
        AuditEvent(
            id=row.id,
            at=row.at.isoformat(),
            actor=row.actor,
            action=row.action,
            subject_kind=row.subject_kind,
            subject_id=row.subject_id,
            details=row.details,
        )
        for row in audit.events(session, action, before_id, limit)
    ]
