"""Two real model servers under load while versions come and go: no failed request, no answer from a wrong adapter."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from uuid import uuid4

import pytest
from sqlalchemy import Engine

from llm_service.adapters import probes
from llm_service.adapters.probes import answer_sha256
from llm_service.engines.model_server import Prompt, Sampling
from llm_service.engines.openai import DIALECTS, OpenAiServer
from llm_service.engines.pool import Pool, PoolLimits
from llm_service.errors import HaechiError
from llm_service.store.adapters import RecordedProbe
from tests.devservers import RunningDevserver, run_devserver, write_adapter
from tests.llm_service.adapters.stage import TRAINER, Clock, Stage, origin
from tests.ports import free_port

QUESTION = "해치 예금 금리 알려 주세요"
PROMPT = Prompt(f"[INST] {QUESTION} [/INST]", (("user", QUESTION),))
TOKENS = 6
READERS = 3
PATIENCE_SECONDS = 120
LONG = Sampling(maximum_tokens=1500)


class RealClock(Clock):
    """Time as it is: the loop runs by itself here."""

    def monotonic(self) -> float:
        return monotonic()


@dataclass
class Replicas:
    """Two development servers that can be stopped, killed and started again where they were."""

    base: Path
    ports: list[int] = field(default_factory=lambda: [free_port(), free_port()])
    running: dict[int, RunningDevserver] = field(default_factory=dict)
    stacks: dict[int, ExitStack] = field(default_factory=dict)

    def start(self, place: int) -> None:
        stack = ExitStack()
        self.running[place] = stack.enter_context(run_devserver("--base", str(self.base), port=self.ports[place]))
        self.stacks[place] = stack

    def stop(self, place: int) -> None:
        self.stacks[place].close()


@contextmanager
def two_replicas(base: Path) -> Iterator[Replicas]:
    replicas = Replicas(base)
    try:
        with ThreadPoolExecutor() as threads:
            list(threads.map(replicas.start, range(2)))
        yield replicas
    finally:
        for stack in replicas.stacks.values():
            stack.close()


@dataclass
class Load:
    """Readers who ask one question after another, each in a new conversation; what they got, and what failed."""

    stage: Stage
    pool: Pool
    answered: list[tuple[str | None, str]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    async def read(self) -> None:
        while True:
            adapter = await self.stage.router.adapter_for(uuid4().hex)
            try:
                said = await self._said(adapter)
            except HaechiError as error:
                self.failed.append(error.code)
                continue
            self.answered.append((adapter, answer_sha256(said)))

    async def _said(self, adapter: str | None) -> str:
        sampling = Sampling(maximum_tokens=TOKENS)
        async with aclosing(self.pool.stream(PROMPT, adapter, sampling)) as events:
            return "".join([event async for event in events if isinstance(event, str)])

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # noqa: ASYNC110  what is waited for happens in other processes
                await asyncio.sleep(0.02)

    async def some_more(self, answers: int = 6) -> set[str | None]:
        """The adapters of the next answers; those under way now are not counted."""
        begun = len(self.answered) + READERS
        await self.until(lambda: len(self.answered) >= begun + answers)
        return {adapter for adapter, _ in self.answered[begun:]}


@asynccontextmanager
async def under_load(stage: Stage, pool: Pool) -> AsyncIterator[Load]:
    load = Load(stage, pool)
    tasks = [asyncio.create_task(load.read()) for _ in range(READERS)]
    tasks.append(asyncio.create_task(stage.keeper.keep()))
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def approved(stage: Stage, server: OpenAiServer, base: Path, seed: int) -> tuple[str, RecordedProbe]:
    """A version whose probe was recorded as an evaluation does: by asking a server that holds it."""
    directory = write_adapter(stage.home / f"trained-{seed}", base, seed)
    await server.activate(f"evaluated-{seed}", str(directory))
    [probe] = await probes.record(server, f"evaluated-{seed}", [PROMPT], TOKENS)
    await server.deactivate(f"evaluated-{seed}")
    name = await stage.registry.register(directory, origin(), [probe], TRAINER)
    await stage.approve(name)
    return name, probe


async def finished(stage: Stage, load: Load, promotion: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await stage.state_of(promotion))[0] == "loading":  # noqa: ASYNC110  the state is a row
            await asyncio.sleep(0.05)
    assert await stage.state_of(promotion) == ("serving", "")


@pytest.mark.timeout(600)
async def test_versions_come_and_go_under_load_and_nobody_notices(
    database: Engine, tmp_path: Path, tiny_base: Path
) -> None:
    with two_replicas(tiny_base) as replicas:
        servers = [OpenAiServer(one.url, DIALECTS["devserver"]) for _, one in sorted(replicas.running.items())]
        stage = Stage(database, tmp_path, servers, clock=RealClock())
        pool = Pool(servers, PoolLimits())
        pool.follow(stage.fleet.carries, stage.fleet.suspect)
        first, probe = await approved(stage, servers[0], tiny_base, 1)
        second, other_probe = await approved(stage, servers[0], tiny_base, 2)
        expected = {
            None: probe.base_answer_sha256,
            first: probe.answer_sha256,
            second: other_probe.answer_sha256,
        }
        assert len(set(expected.values())) == 3
        async with under_load(stage, pool) as load:
            assert await load.some_more() == {None}
            await finished(stage, load, await stage.promote(first))
            assert await load.some_more() == {first}
            await finished(stage, load, await stage.promote(second, "canary", 0.5))
            assert await load.some_more(24) == {first, second}
            await stage.roll_back("canary")
            assert await load.some_more() == {first}
            await stage.approve(second)
            await finished(stage, load, await stage.promote(second))
            assert await load.some_more() == {second}
            await stage.roll_back()
            assert await load.some_more() == {first}
            await _restart(replicas, 1, stage, load, first)
            assert await load.some_more() == {first}
            assert load.failed == []
            await _lose_in_the_middle(replicas, servers[0], first)
            assert await load.some_more() == {first}
            assert set(load.failed) <= {"engine_stream_cut"}, "only answers that had begun on the lost replica"
            assert len(load.failed) <= READERS
        assert [(adapter, said) for adapter, said in load.answered if expected[adapter] != said] == []
        for server in servers:
            await server.close()


async def _restart(replicas: Replicas, place: int, stage: Stage, load: Load, name: str) -> None:
    """A replica stops as a roll-out stops it, and comes back with nothing loaded."""
    await asyncio.to_thread(replicas.stop, place)
    address = f"http://127.0.0.1:{replicas.ports[place]}"
    await load.until(lambda: not stage.fleet.carries(address, name))
    await asyncio.to_thread(replicas.start, place)
    await load.until(lambda: stage.fleet.carries(address, name))


async def _lose_in_the_middle(replicas: Replicas, server: OpenAiServer, name: str) -> None:
    """Its process is gone from one moment to the next; a stream that had begun says so."""
    async with aclosing(server.stream(PROMPT, name, LONG)) as deltas:
        await anext(deltas)
        replicas.running[0].process.kill()
        with pytest.raises(HaechiError, match="engine_stream_cut"):
            async for _ in deltas:
                pass
