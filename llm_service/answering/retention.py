"""Deletes what has outlived its time: values in the vault, turns, feedback, audit rows.

How long is said by the settings, and by what an admin has set in their place (`store.controls`).
"""

import asyncio
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.errors import Unavailable
from llm_service.logs import get_logger
from llm_service.masking.vault import Vault
from llm_service.store import audit, controls, erasure, handoffs, learning_erasure
from llm_service.store.models import now
from llm_service.store.transactions import Transactions

ACTOR: Final = "llm_service"
LOG = get_logger(__name__)


@dataclass(frozen=True)
class DaysKept:
    """How many days each is kept. Feedback goes with its turn in any case."""

    turns: int
    feedback: int
    audit: int


@dataclass(frozen=True)
class Purged:
    """How many rows one purge deleted."""

    vault_entries: int
    turns: int
    feedback: int
    conversations: int
    review_items: int
    audit_events: int


class Retention:
    """Purges on request and for ever. Several processes may purge the same records."""

    def __init__(self, transactions: Transactions, vault: Vault, kept: DaysKept) -> None:
        self._transactions = transactions
        self._vault = vault
        self._kept = kept

    async def purge(self) -> Purged:
        """Delete whatever is over its time. Raises `Unavailable` when the records cannot be reached."""
        vault_entries = await self._transactions.run(self._vault.purge)
        kept = await self._transactions.read(partial(_kept, environment=self._kept))
        turns_before = now() - timedelta(days=kept.turns)
        feedback_before = now() - timedelta(days=kept.feedback)
        turns = feedback = 0
        # Batch by batch: people who ask meanwhile wait for one batch, not for half a year of turns.
        while deleted := await self._transactions.run(partial(erasure.delete_turns_before, before=turns_before)):
            turns += deleted
        while deleted := await self._transactions.run(partial(erasure.delete_feedback_before, before=feedback_before)):
            feedback += deleted
        # Hand-offs go with their turns' time, uncounted: they are a part of the conversation.
        while await self._transactions.run(partial(handoffs.delete_before, before=turns_before)):
            pass
        purge_rest = partial(
            _purge_rest,
            vault_entries=vault_entries,
            turns=turns,
            feedback=feedback,
            turns_before=turns_before,
            audit_before=now() - timedelta(days=kept.audit),
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


def _kept(session: Session, environment: DaysKept) -> DaysKept:
    """What holds now: what an admin set, and else what the environment says."""
    named = {name: controls.number(session, f"retention_days_{name}") for name in asdict(environment)}
    return replace(environment, **{name: days for name, days in named.items() if days is not None})


def _purge_rest(
    session: Session, vault_entries: int, turns: int, feedback: int, turns_before: datetime, audit_before: datetime
) -> Purged:
    purged = Purged(
        vault_entries=vault_entries,
        turns=turns,
        feedback=feedback,
        conversations=erasure.delete_empty_conversations(session, turns_before),
        review_items=learning_erasure.delete_undecided_without_feedback(session),
        audit_events=audit.delete_before(session, ACTOR, audit_before),
    )
    if purged.turns or purged.feedback or purged.conversations or purged.review_items or purged.audit_events:
        audit.record(session, ACTOR, "retention.purged", "records", "all", asdict(purged))
        LOG.info("purged", **asdict(purged))
    return purged
