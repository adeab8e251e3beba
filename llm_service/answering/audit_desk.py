"""Shows, checks and hands out audit rows to who may review them; knows no more than the rows say."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy.orm import Session

from llm_service.client import AuditEvent, AuditVerification
from llm_service.logs import get_logger
from llm_service.store import audit, models
from llm_service.store.transactions import Transactions

LOG = get_logger(__name__)


class AuditDesk:
    """Reads the audit rows and proves that nobody changed them."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def events(
        self, action: str | None, before_id: int | None, limit: int, actors: Sequence[str] = ()
    ) -> list[AuditEvent]:
        """The newest rows first, of one action or all, older than `before_id` where it is given, by `actors` or all."""
        asked = partial(_events, action=action, before_id=before_id, limit=limit, actors=actors)
        return await self._transactions.read(asked)

    async def verify(self) -> AuditVerification:
        """Whether the chain of hashes holds. Its end is logged: there no database user can change it."""
        found = await self._transactions.read(audit.verify)
        LOG.info(
            "audit chain verified",
            rows=found.rows,
            last_position=found.last_position,
            last_sha256=found.last_sha256,
            fault=found.fault,
        )
        return AuditVerification(**vars(found))

    async def export(self, after_position: int, limit: int) -> list[AuditEvent]:
        """Rows in the order of the chain, from the one behind `after_position` on."""
        return await self._transactions.read(partial(_chain_rows, after_position=after_position, limit=limit))


def _events(
    session: Session, action: str | None, before_id: int | None, limit: int, actors: Sequence[str]
) -> list[AuditEvent]:
    return [_shown(row) for row in audit.events(session, action, before_id, limit, actors)]


def _chain_rows(session: Session, after_position: int, limit: int) -> list[AuditEvent]:
    return [_shown(row) for row in audit.chain_rows(session, after_position, limit)]


def _shown(row: models.AuditEvent) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        at=row.at.isoformat(timespec="microseconds"),
        actor=row.actor,
        action=row.action,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        details=row.details,
        position=row.position,
        sha256=row.sha256,
    )
