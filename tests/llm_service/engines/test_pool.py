"""Which model server is asked, what is tried again, who waits where, and when nobody is asked any more."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from llm_service.engines.base import Measured, Queued
from llm_service.engines.model_server import Capabilities, Delta, Health, Prompt, Sampling, Usage
from llm_service.engines.pool import Pool, PoolLimits
from llm_service.errors import Busy, HaechiError, InvalidInput, NotFound, Unavailable

PROMPT = Prompt("[INST] 질문 [/INST]", (("user", "질문"),))
QUICK = PoolLimits(running_per_server=1, waiting=2, waiting_seconds=5, retry_seconds=0, failures=2, open_seconds=10)
USAGE = Usage(7, 2, "stop")
CAPABILITIES = Capabilities(False, False, False)


@dataclass
class Replica:
    """A model server that says its address; `failures` are raised first, each after so many pieces of text."""

    address: str
    failures: list[tuple[int, HaechiError]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    asked: list[str | None] = field(default_factory=list)
    closed: int = 0
    name: str = "scripted"
    capabilities: Capabilities = CAPABILITIES

    async def stream(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncIterator[Delta]:
        self.asked.append(adapter)
        pieces, failure = self.failures.pop(0) if self.failures else (2, None)
        try:
            for _ in range(pieces):
                yield Delta(self.address)
            if self.gate is not None:
                await self.gate.wait()
            if failure is not None:
                raise failure
            yield Delta("", USAGE)
        finally:
            self.closed += 1

    async def adapters(self) -> frozenset[str]:
        return frozenset()

    async def activate(self, adapter: str, directory: str) -> None: ...

    async def deactivate(self, adapter: str) -> None: ...

    async def health(self) -> Health:
        return Health(True)

    async def close(self) -> None: ...


def gone(code: str = "engine_unreachable") -> Unavailable:
    return Unavailable(code, "gone")


def broken(times: int, pieces: int = 0, code: str = "engine_unreachable") -> list[tuple[int, HaechiError]]:
    return [(pieces, gone(code))] * times


async def text_of(pool: Pool, adapter: str | None = None) -> str:
    return "".join([event async for event in _events(pool, adapter) if isinstance(event, str)])


def _events(pool: Pool, adapter: str | None = None) -> AsyncGenerator[Queued | str | Measured, None]:
    return pool.stream(PROMPT, adapter, Sampling())


async def begun(pool: Pool) -> AsyncGenerator[Queued | str | Measured, None]:
    """An answer that a server has begun and not ended."""
    events = _events(pool)
    assert await anext(events) is not None
    return events


async def test_the_least_busy_server_is_asked() -> None:
    first, second = Replica("a", gate=asyncio.Event()), Replica("b", gate=asyncio.Event())
    pool = Pool([first, second], PoolLimits())
    running = [await begun(pool) for _ in range(4)]
    assert (len(first.asked), len(second.asked), pool.running) == (2, 2, 4)
    for events in running:
        await events.aclose()
    assert (pool.running, first.closed, second.closed) == (0, 2, 2)


async def test_the_end_tells_what_the_answer_cost() -> None:
    now = [100.0]
    pool = Pool([Replica("a")], QUICK, clock=lambda: now[0])
    events = _events(pool, "bank-v1")
    assert await anext(events) == "a"
    now[0] += 2.0
    *_, measured = [event async for event in events]
    assert measured == Measured("bank-v1", 7, 2, 0.0, 0.0, 2.0)
    assert isinstance(measured, Measured)
    assert measured.tokens_per_second == 0.5


@pytest.mark.parametrize(
    "code", ["engine_unreachable", "engine_overloaded", "engine_failed", "engine_stream_cut", "adapter_unknown"]
)
async def test_a_failure_before_the_first_token_is_tried_elsewhere(code: str) -> None:
    failure = NotFound(code, "gone") if code == "adapter_unknown" else gone(code)
    first, second = Replica("a", [(0, failure)]), Replica("b")
    pool = Pool([first, second], QUICK)
    assert await text_of(pool) == "bb"
    assert (len(first.asked), len(second.asked)) == (1, 1)


async def test_a_single_server_is_tried_again_after_a_moment() -> None:
    only = Replica("a", broken(2))
    limits = PoolLimits(retry_seconds=0, failures=5)
    assert await text_of(Pool([only], limits)) == "aa"
    assert len(only.asked) == 3


async def test_attempts_end() -> None:
    only = Replica("a", broken(9))
    with pytest.raises(Unavailable, match="engine_unreachable"):
        await text_of(Pool([only], PoolLimits(retry_seconds=0, failures=9, attempts=3)))
    assert len(only.asked) == 3


async def test_nothing_is_tried_again_after_the_first_token() -> None:
    first, second = Replica("a", broken(1, pieces=1, code="engine_stream_cut")), Replica("b")
    pool = Pool([first, second], QUICK)
    events = _events(pool)
    assert await anext(events) == "a"
    with pytest.raises(Unavailable, match="engine_stream_cut"):
        await anext(events)
    assert second.asked == []


@pytest.mark.parametrize(
    "failure", [InvalidInput("engine_refused_request", "no"), gone("engine_timeout")], ids=["refused", "timed out"]
)
async def test_what_another_server_would_do_no_better_is_not_tried_again(failure: HaechiError) -> None:
    second = Replica("b")
    with pytest.raises(HaechiError, match=failure.code):
        await text_of(Pool([Replica("a", [(0, failure)]), second], QUICK))
    assert second.asked == []


async def test_a_server_that_fails_again_and_again_is_left_alone_for_a_while_then_tried_by_one() -> None:
    now = [0.0]
    ill, well = Replica("a", broken(2)), Replica("b")
    pool = Pool([ill, well], QUICK, clock=lambda: now[0])
    for _ in range(5):
        assert await text_of(pool) == "bb"
    assert len(ill.asked) == 2
    now[0] += QUICK.open_seconds
    ill.gate = asyncio.Event()
    trial = await begun(pool)
    assert len(ill.asked) == 3
    assert await text_of(pool) == "bb"
    ill.gate.set()
    assert [event async for event in trial][-1] == Measured(None, 7, 2, 0.0, 0.0, 0.0)
    assert await text_of(pool) == "aa"


async def test_without_a_server_that_is_well_nobody_waits() -> None:
    pool = Pool([Replica("a", broken(9))], PoolLimits(retry_seconds=0, failures=2, attempts=2))
    for _ in range(2):
        with pytest.raises(Unavailable, match="engine_unreachable"):
            await text_of(pool)
    assert not pool.is_well()


async def test_those_who_wait_are_told_their_position_and_served_in_order() -> None:
    only = Replica("a", gate=asyncio.Event())
    pool = Pool([only], QUICK)
    running = await begun(pool)
    first, second = _events(pool), _events(pool)
    assert (await anext(first), await anext(second)) == (Queued(1), Queued(2))
    moved = asyncio.create_task(anext(second))
    served = asyncio.create_task(anext(first))
    await running.aclose()
    assert await served == "a"
    assert await moved == Queued(1)
    await first.aclose()
    assert await anext(second) == "a"
    await second.aclose()
    assert (pool.waiting, pool.running) == (0, 0)


async def test_past_the_bound_nobody_waits_and_is_told_so_at_once() -> None:
    pool = Pool([Replica("a", gate=asyncio.Event())], QUICK)
    running = await begun(pool)
    waiting = [_events(pool), _events(pool)]
    for events in waiting:
        assert isinstance(await anext(events), Queued)
    with pytest.raises(Busy, match="engine_busy"):
        pool.admit()
    with pytest.raises(Busy, match="engine_busy"):
        await text_of(pool)
    for events in (running, *waiting):
        await events.aclose()
    pool.admit()


async def test_waiting_has_an_end() -> None:
    pool = Pool([Replica("a", gate=asyncio.Event())], PoolLimits(running_per_server=1, waiting_seconds=0.01))
    async with aclosing(await begun(pool)):
        with pytest.raises(Busy, match="engine_busy"):
            await text_of(pool)
    assert pool.waiting == 0


async def test_only_servers_that_carry_the_adapter_are_asked() -> None:
    first, second = Replica("a"), Replica("b")
    pool = Pool([first, second], QUICK)
    pool.follow(lambda address, adapter: adapter is None or address == "b", lambda _address: None)
    assert [await text_of(pool, "bank-v1") for _ in range(3)] == ["bb"] * 3
    assert first.asked == []


async def test_an_adapter_that_nobody_carries_is_an_error_and_no_answer_of_the_base() -> None:
    only = Replica("a")
    pool = Pool([only], QUICK)
    pool.follow(lambda _address, adapter: adapter is None, lambda _address: None)
    with pytest.raises(NotFound, match="adapter_unknown"):
        await text_of(pool, "bank-v1")
    assert only.asked == []


async def test_a_server_that_failed_is_told_of() -> None:
    suspected: list[str] = []
    pool = Pool([Replica("a", broken(1)), Replica("b", broken(1, code="engine_overloaded"))], QUICK)
    pool.follow(lambda _address, _adapter: True, suspected.append)
    await text_of(pool)
    assert suspected == ["a"]


async def test_a_reader_who_leaves_the_line_holds_no_place() -> None:
    only = Replica("a", gate=asyncio.Event())
    pool = Pool([only], QUICK)
    running = await begun(pool)
    leaving, staying = _events(pool), _events(pool)
    assert (await anext(leaving), await anext(staying)) == (Queued(1), Queued(2))
    await leaving.aclose()
    assert await anext(staying) == Queued(1)
    await running.aclose()
    assert await anext(staying) == "a"
    await staying.aclose()
