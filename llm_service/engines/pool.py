"""One deployment's model servers as one: the least busy that is well is asked, others wait in a line that is bounded.

A failure before the first token is tried again elsewhere; after it nobody is asked to say half an answer twice. Knows
no passages and no prompt.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

from llm_service.engines.base import Measured, Queued
from llm_service.engines.model_server import ModelServer, Prompt, Sampling, Usage
from llm_service.errors import Busy, HaechiError, NotFound, Unavailable
from llm_service.logs import get_logger

# What another replica may do better. A time-out is not among them: the reader has waited once already.
RETRIED: Final = frozenset(
    {"engine_unreachable", "engine_overloaded", "engine_failed", "engine_stream_cut", "adapter_unknown"}
)
# An overloaded replica is well, and one without an adapter answers for others.
UNWELL: Final = frozenset({"engine_unreachable", "engine_failed", "engine_stream_cut", "engine_timeout"})
Carries = Callable[[str, str | None], bool]
LOG = get_logger(__name__)


@dataclass(frozen=True)
class PoolLimits:
    """How many answers each server writes at once, how many wait for how long, and when a server counts as gone.

    `failures` in a row open a replica's breaker for `open_seconds`; then one answer tries it, and only that one.
    """

    running_per_server: int = 32
    waiting: int = 100
    waiting_seconds: float = 20.0
    attempts: int = 3
    retry_seconds: float = 0.25
    failures: int = 3
    open_seconds: float = 5.0


@dataclass(frozen=True)
class ReplicaState:
    """One replica as the pool sees it now; `failures` and `openings` of its breaker count since the process began."""

    address: str
    is_well: bool
    running: int
    failures: int
    openings: int


@dataclass(eq=False)
class _Replica:
    server: ModelServer
    running: int = 0
    failures: int = 0
    open_until: float = 0.0
    all_failures: int = 0
    openings: int = 0

    def is_open(self, moment: float, limits: PoolLimits) -> bool:
        """Whether the breaker keeps answers away; when its time is up, one is let through to try."""
        if self.failures < limits.failures:
            return False
        return moment < self.open_until or self.running > 0


@dataclass(eq=False)
class _Waiter:
    adapter: str | None
    moved: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Attempt:
    """What one answer has been through; times are of the pool's clock."""

    began: float
    granted: float = 0.0
    first_token: float = 0.0
    retries: int = 0
    tried: set[str] = field(default_factory=set)


class Pool:
    """Until it is told otherwise (`follow`), every replica is taken to carry every adapter.

    `stream` raises `Busy` (engine_busy), and what `ModelServer` raises once attempts are used up.
    """

    def __init__(
        self,
        servers: Sequence[ModelServer],
        limits: PoolLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._replicas = [_Replica(server) for server in servers]
        self._limits = limits
        self._carries: Carries = lambda _address, _adapter: True
        self._suspect: Callable[[str], None] = lambda _address: None
        self._clock = clock
        self._waiting: list[_Waiter] = []
        self.queued = 0
        """How many answers have had to wait in line."""

    @property
    def servers(self) -> tuple[ModelServer, ...]:
        return tuple(replica.server for replica in self._replicas)

    @property
    def running(self) -> int:
        return sum(replica.running for replica in self._replicas)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def replicas(self) -> tuple[ReplicaState, ...]:
        """How each replica stands."""
        moment = self._clock()
        return tuple(
            ReplicaState(
                replica.server.address,
                not replica.is_open(moment, self._limits),
                replica.running,
                replica.all_failures,
                replica.openings,
            )
            for replica in self._replicas
        )

    def follow(self, carries: Carries, suspect: Callable[[str], None]) -> None:
        """From here on ask only replicas that carry the adapter, and tell of those that fail."""
        self._carries, self._suspect = carries, suspect

    def admit(self) -> None:
        """Raises `Busy` if an answer asked for now could not even wait."""
        if len(self._waiting) >= self._limits.waiting:
            raise Busy("engine_busy", "as many answers wait for a model server as may; ask again in a moment")

    def is_well(self) -> bool:
        """Whether any replica would be asked now."""
        return any(not replica.is_open(self._clock(), self._limits) for replica in self._replicas)

    async def stream(
        self, prompt: Prompt, adapter: str | None, sampling: Sampling
    ) -> AsyncGenerator[Queued | str | Measured, None]:
        """Where the answer stands in line, its text, and at its end what it cost."""
        attempt = _Attempt(self._clock())
        while True:
            waiter = _Waiter(adapter)
            async with aclosing(self._wait(waiter, attempt)) as line:
                async for queued in line:
                    yield queued
            replica = self._take(attempt, adapter)
            try:
                async with aclosing(self._ask(replica, prompt, adapter, sampling, attempt)) as said:
                    async for event in said:
                        yield event
            except HaechiError as error:
                self._note_failure(replica, error, attempt)
                if attempt.first_token or error.code not in RETRIED or attempt.retries + 1 >= self._limits.attempts:
                    raise
                attempt.retries += 1
            else:
                return
            finally:
                replica.running -= 1
                self._move()
            if not self._free(adapter, attempt):
                # Whoever is left was tried already: a moment later it may be back.
                attempt.tried.clear()
                await asyncio.sleep(self._limits.retry_seconds)

    async def _wait(self, waiter: _Waiter, attempt: _Attempt) -> AsyncGenerator[Queued, None]:
        """Until a replica is free for this answer, and it is this answer's turn."""
        if not self._ahead_of(None, waiter.adapter) and self._free(waiter.adapter, attempt):
            return
        self._refuse_if_hopeless(waiter.adapter)
        self.admit()
        self._waiting.append(waiter)
        self.queued += 1
        until, told = self._clock() + self._limits.waiting_seconds, 0
        try:
            while self._ahead_of(waiter, waiter.adapter) or not self._free(waiter.adapter, attempt):
                # Before anything else: what moves while the reader looks at the position must not be missed.
                waiter.moved.clear()
                self._refuse_if_hopeless(waiter.adapter)
                position = self._waiting.index(waiter) + 1
                if position != told:
                    told = position
                    yield Queued(position)
                try:
                    async with asyncio.timeout(until - self._clock()):
                        await waiter.moved.wait()
                except TimeoutError as error:
                    raise Busy("engine_busy", "no model server became free in time; ask again in a moment") from error
        finally:
            self._waiting.remove(waiter)
            self._move()

    async def _ask(
        self, replica: _Replica, prompt: Prompt, adapter: str | None, sampling: Sampling, attempt: _Attempt
    ) -> AsyncGenerator[str | Measured, None]:
        usage: Usage | None = None
        pieces = 0
        async with aclosing(replica.server.stream(prompt, adapter, sampling)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                usage = delta.usage or usage
                if delta.text:
                    pieces += delta.pieces
                    attempt.first_token = attempt.first_token or self._clock()
                    yield delta.text
        replica.failures = 0
        yield self._measured(adapter, usage or Usage(0, pieces, "stop"), attempt)

    def _measured(self, adapter: str | None, usage: Usage, attempt: _Attempt) -> Measured:
        now = self._clock()
        return Measured(
            adapter=adapter,
            prompt_tokens=usage.prompt_tokens,
            answer_tokens=usage.answer_tokens,
            queue_seconds=attempt.granted - attempt.began,
            first_token_seconds=(attempt.first_token or now) - attempt.began,
            total_seconds=now - attempt.began,
            retries=attempt.retries,
        )

    def _free(self, adapter: str | None, attempt: _Attempt) -> list[_Replica]:
        """The replicas that may be asked now, the least busy one first."""
        moment = self._clock()
        free = [
            replica
            for replica in self._replicas
            if replica.running < self._limits.running_per_server
            and not replica.is_open(moment, self._limits)
            and replica.server.address not in attempt.tried
            and self._carries(replica.server.address, adapter)
        ]
        return sorted(free, key=lambda replica: replica.running)

    def _take(self, attempt: _Attempt, adapter: str | None) -> _Replica:
        replica = self._free(adapter, attempt)[0]
        replica.running += 1
        attempt.tried.add(replica.server.address)
        attempt.granted = self._clock()
        return replica

    def _ahead_of(self, waiter: _Waiter | None, adapter: str | None) -> bool:
        """Whether somebody who waits for the same adapter came earlier; None has not begun to wait."""
        for other in self._waiting:
            if other is waiter:
                return False
            if other.adapter == adapter:
                return True
        return False

    def _refuse_if_hopeless(self, adapter: str | None) -> None:
        """Nobody waits for replicas that are gone, or for an adapter that none of those left holds."""
        moment = self._clock()
        well = [replica for replica in self._replicas if not replica.is_open(moment, self._limits)]
        if not well:
            raise Unavailable("engine_unreachable", "no model server is well; see `haechi doctor`")
        if not any(self._carries(replica.server.address, adapter) for replica in well):
            raise NotFound("adapter_unknown", "no model server carries the adapter that is asked for")

    def _note_failure(self, replica: _Replica, error: HaechiError, attempt: _Attempt) -> None:
        address = replica.server.address
        LOG.warning("model server failed", address=address, code=error.code, retries=attempt.retries)
        if error.code == "adapter_unknown" or error.code in UNWELL:
            self._suspect(address)
        replica.all_failures += 1
        if error.code in UNWELL:
            replica.failures += 1
            # Once a row of failures: the tries of an open breaker are no openings of their own.
            replica.openings += replica.failures == self._limits.failures
            replica.open_until = self._clock() + self._limits.open_seconds

    def _move(self) -> None:
        for waiter in self._waiting:
            waiter.moved.set()
