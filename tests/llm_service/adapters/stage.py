"""The whole of the adapters' machinery over a real database and replicas of a test's choice, stepped by hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from llm_service.adapters.files import Limits
from llm_service.adapters.fleet import Fleet
from llm_service.adapters.keeper import AdapterKeeper
from llm_service.adapters.locations import SharedVolume
from llm_service.adapters.promotion import Patience, Promotions
from llm_service.adapters.published_set import PublishedSet
from llm_service.adapters.registry import Origin, Registry
from llm_service.adapters.routing import AdapterRouter
from llm_service.adapters.watch import Rule, Watch
from llm_service.engines.model_server import ModelServer
from llm_service.store import adapter_rollout, adapters
from llm_service.store.adapter_rollout import Aliases, Target
from llm_service.store.adapters import RecordedProbe
from llm_service.store.models import now
from llm_service.store.transactions import Transactions
from tests.llm_service.adapters.adapter_files import adapter_directory
from tests.llm_service.adapters.memory_replica import probe_of

TRAINER, PROPOSER, APPROVER, OPERATOR = ("t" * 64, "p" * 64, "a" * 64, "o" * 64)
GRACE_SECONDS = 30.0
Returned = TypeVar("Returned")


@dataclass
class Clock:
    """Time that passes when a test says so."""

    seconds: float = 0.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return now() + timedelta(seconds=self.seconds)

    def passes(self, seconds: float) -> None:
        self.seconds += seconds


@dataclass
class Stage:
    """One process's view: its own fleet, router and keeper over shared records and a shared volume."""

    database: Engine
    home: Path
    servers: Sequence[ModelServer]
    rule: Rule = field(default_factory=Rule)
    clock: Clock = field(default_factory=Clock)
    probe_for: Callable[[Path], RecordedProbe] = probe_of

    def __post_init__(self) -> None:
        self.transactions = Transactions(self.database)
        self.volume = SharedVolume(self.home / "volume")
        self.registry = Registry(self.transactions, self.volume, self.volume, Limits(), lambda text: True)
        self.fleet = Fleet(lambda: self.servers, self.registry, GRACE_SECONDS, self.clock.monotonic)
        self.router = AdapterRouter(self.transactions, self.fleet, b"a key for tests", self.clock.monotonic)
        self.promotions = Promotions(self.transactions, self.fleet, self.router, Patience(), self.clock.now)
        self.watch = Watch(self.transactions, self.router, self.rule, self.clock.now)
        self.published = self.home / "adapter-set.json"
        self.keeper = AdapterKeeper(
            self.transactions,
            self.registry,
            self.fleet,
            self.promotions,
            self.watch,
            PublishedSet(self.published),
            self.clock.monotonic,
        )

    async def run(self, work: Callable[[Session], Returned]) -> Returned:
        return await self.transactions.run(work)

    async def registered(self, seed: int) -> str:
        """A new version; the same seed is the same version."""
        directory = adapter_directory(self.home / f"trained-{seed}", seed)
        return await self.registry.register(directory, origin(), [self.probe_for(directory)], TRAINER)

    async def approved(self, seed: int) -> str:
        """A version that somebody proposed and somebody else approved."""
        name = await self.registered(seed)
        await self.approve(name)
        return name

    async def approve(self, name: str) -> None:
        proposal = await self.run(partial(adapters.propose, name=name, proposer=PROPOSER))
        await self.run(partial(adapters.approve, proposal_id=proposal.id, approver=APPROVER))

    async def promote(self, name: str, target: Target = "active", share: float | None = None) -> str:
        return await self.promotions.start(name, target, share, OPERATOR)

    async def serving(self, seed: int) -> str:
        """A version that is active on every replica."""
        name = await self.approved(seed)
        await self.promote(name)
        await self.step()
        assert (await self.aliases()).active == name
        return name

    async def step(self, seconds: float = 1.0) -> None:
        """What the loop does once, some time later."""
        self.clock.passes(seconds)
        await self.keeper.step()

    async def aliases(self) -> Aliases:
        return await self.run(adapter_rollout.aliases)

    async def roll_back(self, target: Target = "active", by: str = OPERATOR) -> Aliases:
        aliases = await self.run(partial(adapter_rollout.roll_back, target=target, by=by, reason="operator"))
        self.router.forget()
        return aliases

    async def state_of(self, promotion_id: str) -> tuple[str, str]:
        row = await self.run(partial(adapter_rollout.promotion, promotion_id=promotion_id))
        return row.state, row.reason


def origin(**changes: str) -> Origin:
    told = {
        "family": "bank-qa",
        "base_model": "haechi-tiny",
        "base_revision": "r1",
        "dataset_version": "bank-2026-11",
        "training_run_id": "run-1",
        "trained_by": TRAINER,
        **changes,
    }
    return Origin(**told)
