"""What each model server carries, as proved and not as claimed: loads what is wanted, examines it, unloads what is not.

Knows replicas one by one, each by its own address. Which versions are wanted, and why, is decided elsewhere.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from llm_service.adapters.probes import examine
from llm_service.adapters.registry import Registry, Version
from llm_service.engines.model_server import ModelServer
from llm_service.errors import Conflict, HaechiError, InvalidInput, Unavailable
from llm_service.logs import get_logger

HEALTH_SECONDS: Final = 5.0
FIRST_RETRY_SECONDS: Final = 0.5
LONGEST_RETRY_SECONDS: Final = 5.0
PROVEN_SECONDS: Final = 60.0
"""How long a proof holds on a server that does not list its adapters; one that lists them is asked at every look."""
ATTEMPTS_UNTIL_REFUSED: Final = 3
REFUSALS: Final = frozenset(
    {"adapter_files_changed", "adapter_location_unsupported", "engine_refused_request", "probe_answered_otherwise"}
)
"""What does not get better by waiting."""
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Lack:
    """Why a replica does not carry a version yet. `is_final`: it will not without somebody doing something."""

    reason: str
    attempts: int
    is_final: bool


@dataclass(frozen=True)
class ReplicaView:
    """One replica as it was seen last."""

    address: str
    dialect: str
    is_ready: bool
    carries: tuple[str, ...]
    lacks: Mapping[str, str]


@dataclass
class _Replica:
    """What is known of one replica: when versions were proved, why others lack, since when nobody wants the rest."""

    dialect: str
    is_ready: bool = False
    proven: dict[str, float] = field(default_factory=dict)
    lacks: dict[str, Lack] = field(default_factory=dict)
    retry_at: dict[str, float] = field(default_factory=dict)
    idle: dict[str, float] = field(default_factory=dict)

    def not_ready(self, wanted: Collection[str]) -> None:
        # It may come back empty, or with other adapters: whatever was proved is proved no longer.
        self.is_ready = False
        self.proven.clear()
        self.retry_at.clear()
        self.lacks = {name: Lack("replica_not_ready", 0, is_final=False) for name in wanted}


class Fleet:
    """The replicas of one deployment. `replicas` is asked at every look, since a deployment grows and shrinks."""

    def __init__(
        self,
        replicas: Callable[[], Sequence[ModelServer]],
        registry: Registry,
        unload_after_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = replicas
        self._registry = registry
        self._unload_after_seconds = unload_after_seconds
        self._clock = clock
        self._replicas: dict[str, _Replica] = {}
        self._looking = asyncio.Lock()
        self._looked_at = float("-inf")
        self._looked_for: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        return not self._servers()

    def carries(self, address: str, adapter: str | None) -> bool:
        """Whether requests for a version may be sent to a replica; the base model is everywhere."""
        if adapter is None:
            return True
        known = self._replicas.get(address)
        return known is not None and known.is_ready and adapter in known.proven

    def is_carried(self, adapter: str | None) -> bool:
        """Whether any replica answers with this version."""
        return any(self.carries(server.address, adapter) for server in self._servers())

    def suspect(self, address: str) -> None:
        """A request to this replica failed: until it was looked at again it carries nothing."""
        known = self._replicas.get(address)
        if known is not None:
            known.not_ready(tuple(known.proven))
            # Whoever needs one of its adapters next looks at once.
            self._looked_at = float("-inf")

    def lacking(self, adapter: str) -> dict[str, Lack]:
        """The replicas that do not carry a version, by address, and why; empty when all do."""
        return {
            server.address: self._lack(server.address, adapter)
            for server in self._servers()
            if not self.carries(server.address, adapter)
        }

    def waits_for_rollout(self) -> bool:
        """Whether a replica cannot load at run time, so that somebody has to restart it with the published set."""
        return any(not server.capabilities.loads_adapters for server in self._servers())

    def views(self) -> list[ReplicaView]:
        """Every replica as it was seen last."""
        return [self._view(server) for server in self._servers()]

    async def look(self, wanted: Collection[str], known: Collection[str], not_before: float | None = None) -> None:
        """Look at every replica once: load and examine what is wanted, unload what nobody wanted for a while.

        `known` are all registered versions: what else a server holds is not ours. Looks do not overlap; who asks while
        one is running waits for it and is content with it, if it began after `not_before` and for the same versions.
        """
        async with self._looking:
            if not_before is not None and self._looked_at >= not_before and self._looked_for >= set(wanted):
                return
            self._looked_at, self._looked_for = self._clock(), frozenset(wanted)
            servers = self._servers()
            present = {server.address for server in servers}
            self._replicas = {address: seen for address, seen in self._replicas.items() if address in present}
            await asyncio.gather(*(self._look_at(server, wanted, known) for server in servers))

    async def _look_at(self, server: ModelServer, wanted: Collection[str], known: Collection[str]) -> None:
        replica = self._replicas.setdefault(server.address, _Replica(server.name))
        if not await _is_ready(server):
            replica.not_ready(wanted)
            return
        replica.is_ready = True
        listed: frozenset[str] | None = None
        if server.capabilities.lists_adapters:
            try:
                listed = await server.adapters()
            except HaechiError:
                replica.not_ready(wanted)
                return
            replica.proven = {name: since for name, since in replica.proven.items() if name in listed}
        replica.lacks = {name: lack for name, lack in replica.lacks.items() if name in wanted}
        for name in wanted:
            await self._bring(server, replica, name, listed)
        if server.capabilities.loads_adapters:
            held = listed if listed is not None else frozenset(replica.proven)
            await self._unload(server, replica, (held & set(known)) - set(wanted))

    async def _bring(self, server: ModelServer, replica: _Replica, name: str, listed: frozenset[str] | None) -> None:
        moment = self._clock()
        proven = replica.proven.get(name)
        if proven is not None and (listed is not None or moment - proven < PROVEN_SECONDS):
            return
        if moment < replica.retry_at.get(name, moment):
            return
        try:
            version = await self._registry.version(name)
            await self._load(server, version, listed)
            await _prove(server, version)
        except HaechiError as error:
            attempts = replica.lacks[name].attempts + 1 if name in replica.lacks else 1
            is_final = error.code in REFUSALS and attempts >= ATTEMPTS_UNTIL_REFUSED
            replica.proven.pop(name, None)
            replica.lacks[name] = Lack(error.code, attempts, is_final)
            wait = min(FIRST_RETRY_SECONDS * 2 ** (attempts - 1), LONGEST_RETRY_SECONDS)
            replica.retry_at[name] = self._clock() + wait
            LOG.warning("replica lacks an adapter", address=server.address, adapter=name, code=error.code)
            return
        replica.proven[name] = self._clock()
        replica.lacks.pop(name, None)
        replica.retry_at.pop(name, None)
        LOG.info("replica carries an adapter", address=server.address, adapter=name)

    async def _load(self, server: ModelServer, version: Version, listed: frozenset[str] | None) -> None:
        if listed is not None and version.name in listed:
            return
        if not server.capabilities.loads_adapters:
            if listed is not None:
                raise Unavailable("adapter_not_listed", "the replica was started without this adapter")
            return
        directory = await self._registry.verified_directory(version)
        try:
            await server.activate(version.name, directory)
        except InvalidInput:
            # It may be loaded already, by another process of ours; where no list says so, the proof will.
            if listed is not None and version.name not in await server.adapters():
                raise
        if listed is not None and version.name not in await server.adapters():
            raise Unavailable("adapter_not_listed", "the replica took the adapter and does not list it")

    async def _unload(self, server: ModelServer, replica: _Replica, unwanted: frozenset[str]) -> None:
        moment = self._clock()
        replica.idle = {name: replica.idle.get(name, moment) for name in unwanted}
        for name, since in replica.idle.items():
            if moment - since < self._unload_after_seconds:
                continue
            replica.proven.pop(name, None)
            try:
                await server.deactivate(name)
            except HaechiError as error:
                LOG.warning("adapter was not unloaded", address=server.address, adapter=name, code=error.code)
            else:
                LOG.info("adapter unloaded", address=server.address, adapter=name)

    def _lack(self, address: str, adapter: str) -> Lack:
        known = self._replicas.get(address)
        waiting = Lack("not_looked_at", 0, is_final=False)
        return known.lacks.get(adapter, waiting) if known is not None else waiting

    def _view(self, server: ModelServer) -> ReplicaView:
        known = self._replicas.get(server.address, _Replica(server.name))
        lacks = {name: lack.reason for name, lack in known.lacks.items()}
        return ReplicaView(server.address, server.name, known.is_ready, tuple(sorted(known.proven)), lacks)


async def _is_ready(server: ModelServer) -> bool:
    try:
        async with asyncio.timeout(HEALTH_SECONDS):
            return (await server.health()).ready
    except (TimeoutError, HaechiError):
        return False


async def _prove(server: ModelServer, version: Version) -> None:
    result = await examine(server, version.name, version.probes)
    if result.verdict == "answers_as_base":
        raise Unavailable("probe_answered_as_base", "the replica answers as the base model: it has not the adapter")
    if result.verdict == "answers_otherwise":
        raise Conflict("probe_answered_otherwise", "the replica answers neither as the adapter nor as the base did")
