"""Deletes what has outlived its time: values in the vault, turns, audit rows. How long is said by the settings."""

import asyncio
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.errors import Unavailable
from llm_service.logs import get_logger
from llm_service.masking.vault import Vault
from llm_service.store import audit, erasure, learning_erasure
from llm_service.store.models import now
from llm_service.store.transactions import Transactions

ACTOR: Final = "llm_service"
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Purged:
    """How many rows one purge deleted."""

    vault_entries: int
    turns: int
    conversations: int
    review_items: int
    audit_events: int


class Retention:
    """Purges on request and for ever. Several processes may purge the same records."""

    def __init__(self, transactions: Transactions, vault: Vault, turns_kept: timedelta, audit_kept: timedelta) -> None:
        self._transactions = transactions
        self._vault = vault
        self._turns_kept = turns_kept
        self._audit_kept = audit_kept

    async def purge(self) -> Purged:
        """Delete whatever is over its time. Raises `Unavailable` when the records cannot be reached."""
        vault_entries = await self._transactions.run(self._vault.purge)
        turns_before = now() - self._turns_kept
        turns = 0
        # Batch by batch: people who ask meanwhile wait for one batch, not for half a year of turns.
        while deleted := await self._transactions.run(partial(erasure.delete_turns_before, before=turns_before)):
            turns += deleted
        purge_rest = partial(
            _purge_rest,
            vault_entries=vault_entries,
            turns=turns,
            turns_before=turns_before,
            audit_before=now() - self._audit_kept,
        )
        return await self._transactions.run(purge_rest)

    async def keep_purging(self, every_seconds: float) -> None:
        """Purge for ever; while the records cannot be reached, later."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.purge()
            except Unavailable as error:
                LOG.warning("records could not be purged", code=error.code)


def _purge_rest(
    session: Session, vault_entries: int, turns: int, turns_before: datetime, audit_before: datetime
) -> Purged:
    purged = Purged(
        vault_entries=vault_entries,
        turns=turns,
        conversations=erasure.delete_empty_conversations(session, turns_before),
        review_items=learning_erasure.delete_undecided_without_feedback(session),
        audit_events=audit.delete_before(session, ACTOR, audit_before),
    )
    if purged.turns or purged.conversations or purged.review_items or purged.audit_events:
        audit.record(session, ACTOR, "retention.purged", "records", "all", asdict(purged))
        LOG.info("purged", **asdict(purged))
    return purged
