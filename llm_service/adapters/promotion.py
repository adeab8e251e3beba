"""The story of a promotion: load and prove on every replica, then flip the aliases in one transaction.

The state is a row, so whoever comes next goes on with it: after a crash, another process. Unloading what was replaced
is the fleet's affair, once nobody has wanted it for the time of grace.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from llm_service.adapters.fleet import Fleet, Lack
from llm_service.adapters.routing import AdapterRouter
from llm_service.errors import Conflict
from llm_service.logs import get_logger
from llm_service.store import adapter_rollout
from llm_service.store.adapter_rollout import Lock, Target
from llm_service.store.models import now
from llm_service.store.transactions import Transactions

LOG = get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long replicas may take: to load at run time, or to be restarted with the published set by somebody else."""

    load_seconds: float = 120.0
    rollout_seconds: float = 3600.0


@dataclass(frozen=True)
class _Running:
    promotion_id: str
    adapter: str
    created_at: datetime
    details: dict[str, Any]


class Promotions:
    """Starts promotions and moves the running one on, one step at a time."""

    def __init__(
        self,
        transactions: Transactions,
        fleet: Fleet,
        router: AdapterRouter,
        patience: Patience,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._transactions = transactions
        self._fleet = fleet
        self._router = router
        self._patience = patience
        self._clock = clock

    async def start(
        self, adapter: str, target: Target, share: float | None, person: str, purpose: str | None = None
    ) -> str:
        """Begin to promote an approved version; returns the promotion's id, also of one that runs already.

        Raises `Conflict` (no_model_servers) and what `adapter_rollout.start_promotion` raises.
        """
        if self._fleet.is_empty:
            raise Conflict("no_model_servers", "no model server is configured; set HAECHI_ENGINE_URLS")
        begin = partial(_start, adapter=adapter, target=target, share=share, person=person, purpose=purpose)
        return await self._transactions.run(begin)

    async def advance(self, lock: Lock) -> None:
        """Flip when every replica carries the version, give up when one refuses or time is up, else note what lacks."""
        running = await self._transactions.read(_running)
        if running is None:
            return
        lacking = self._fleet.lacking(running.adapter)
        try:
            if self._fleet.is_empty:
                await self._fail(running, lock, "no_model_servers", lacking)
            elif not lacking:
                await self._flip(running, lock)
            elif (reason := self._reason_to_give_up(running, lacking)) is not None:
                await self._fail(running, lock, reason, lacking)
            elif (details := _details(lacking)) != running.details:
                noted = partial(adapter_rollout.note_progress, lock=lock, details=details)
                await self._transactions.run(partial(noted, promotion_id=running.promotion_id))
        except Conflict as conflict:
            # Rolled back, or taken over by another process, in the meantime: theirs to go on with.
            LOG.info("promotion left to others", promotion_id=running.promotion_id, code=conflict.code)

    async def _flip(self, running: _Running, lock: Lock) -> None:
        flip = partial(adapter_rollout.flip, promotion_id=running.promotion_id, lock=lock)
        await self._transactions.run(flip)
        self._router.forget()
        LOG.info("adapter promoted", promotion_id=running.promotion_id, adapter=running.adapter)

    async def _fail(self, running: _Running, lock: Lock, reason: str, lacking: dict[str, Lack]) -> None:
        failing = partial(adapter_rollout.fail_promotion, lock=lock, reason=reason, details=_details(lacking))
        await self._transactions.run(partial(failing, promotion_id=running.promotion_id))
        LOG.warning("promotion failed", promotion_id=running.promotion_id, adapter=running.adapter, reason=reason)

    def _reason_to_give_up(self, running: _Running, lacking: dict[str, Lack]) -> str | None:
        for lack in lacking.values():
            if lack.is_final:
                return lack.reason
        waits = self._fleet.waits_for_rollout()
        seconds = self._patience.rollout_seconds if waits else self._patience.load_seconds
        if self._clock() - running.created_at <= timedelta(seconds=seconds):
            return None
        return "rollout_timeout" if waits else "load_timeout"


def _start(
    session: Session, adapter: str, target: Target, share: float | None, person: str, purpose: str | None
) -> str:
    return adapter_rollout.start_promotion(session, adapter, target, share, person, purpose).id


def _running(session: Session) -> _Running | None:
    row = adapter_rollout.running_promotion(session)
    return _Running(row.id, row.adapter, row.created_at, dict(row.details)) if row is not None else None


def _details(lacking: dict[str, Lack]) -> dict[str, Any]:
    return {"lacking": {address: lack.reason for address, lack in sorted(lacking.items())}}
