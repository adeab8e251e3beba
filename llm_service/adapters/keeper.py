"""Keeps what model servers carry in step with the records, for ever: reconciles, promotes, watches.

One look a second. Several processes may run it; each sees replicas with its own eyes, one at a time moves aliases.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.adapters.fleet import Fleet
from llm_service.adapters.promotion import Promotions
from llm_service.adapters.published_set import PublishedSet
from llm_service.adapters.registry import Registry
from llm_service.adapters.watch import Watch
from llm_service.errors import HaechiError
from llm_service.logs import get_logger
from llm_service.store import adapter_rollout
from llm_service.store.adapter_models import Adapter
from llm_service.store.transactions import Transactions

LOOK_SECONDS: Final = 1.0
WATCH_SECONDS: Final = 5.0
LOCK_SECONDS: Final = 10.0
LOG = get_logger(__name__)


@dataclass(frozen=True)
class _Wanted:
    names: frozenset[str]
    known: frozenset[str]


class AdapterKeeper:
    """The loop, and its single step."""

    def __init__(
        self,
        transactions: Transactions,
        registry: Registry,
        fleet: Fleet,
        promotions: Promotions,
        watch: Watch,
        published: PublishedSet,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transactions = transactions
        self._registry = registry
        self._fleet = fleet
        self._promotions = promotions
        self._watch = watch
        self._published = published
        self._clock = clock
        self._holder = uuid4().hex
        self._watched_at = float("-inf")
        self._woken = asyncio.Event()

    async def keep(self) -> None:
        """Step for ever; while records or the volume cannot be reached, again at the next step."""
        while True:
            try:
                await self.step()
            except HaechiError as error:
                LOG.warning("adapters were not looked after", code=error.code)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue
            finally:
                self._woken.clear()

    def wake(self) -> None:
        """Do the next step now: something was asked for."""
        self._woken.set()

    async def step(self) -> None:
        """Bring every replica to what is wanted; then, if this process has the lock, publish, promote and watch."""
        wanted = await self._transactions.read(_wanted)
        await self._fleet.look(wanted.names, wanted.known)
        lock = await self._transactions.run(
            partial(adapter_rollout.take_lock, holder=self._holder, seconds=LOCK_SECONDS)
        )
        if lock is None:
            return
        await self._publish(wanted.names)
        await self._promotions.advance(lock)
        if self._clock() - self._watched_at >= WATCH_SECONDS:
            self._watched_at = self._clock()
            await self._watch.look()

    async def _publish(self, names: frozenset[str]) -> None:
        versions = [await self._registry.version(name) for name in names]
        directories = {version.name: self._registry.directory_on_servers(version) for version in versions}
        if self._published.publish(directories):
            LOG.info("adapter set published", adapters=sorted(directories))


def _wanted(session: Session) -> _Wanted:
    running = adapter_rollout.running_promotion(session)
    names = adapter_rollout.aliases(session).names | ({running.adapter} if running else frozenset())
    return _Wanted(names, frozenset(session.scalars(select(Adapter.name))))
