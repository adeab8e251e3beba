"""What every answer log promises, run on the log in memory and on Redis Streams in a real server."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from llm_service.answering.stream import AnswerLog, MemoryAnswerLog, RedisAnswerLog
from llm_service.client import StreamEvent

KEPT_SECONDS = 60
SOON_SECONDS = 0.05
LONG_SECONDS = 20.0


@pytest.fixture(params=["memory", "redis"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[AnswerLog]:
    made: AnswerLog
    if request.param == "memory":
        made = MemoryAnswerLog(KEPT_SECONDS)
    else:
        made = RedisAnswerLog(request.getfixturevalue("redis_url"), KEPT_SECONDS, LONG_SECONDS)
    yield made
    await made.close()


async def test_events_are_numbered_from_one_and_read_back_as_they_were(log: AnswerLog) -> None:
    numbers = [
        await log.append("turn", "sources", {"sources": []}),
        await log.append("turn", "token", {"text": "예금자 보호\n한도 😀"}),
        await log.append("turn", "done", {"state": "answered", "refused": False}),
    ]
    assert numbers == [1, 2, 3]
    assert await log.read("turn", after=0, wait_seconds=LONG_SECONDS) == [
        StreamEvent(1, "sources", {"sources": []}),
        StreamEvent(2, "token", {"text": "예금자 보호\n한도 😀"}),
        StreamEvent(3, "done", {"state": "answered", "refused": False}),
    ]


async def test_a_reader_who_comes_back_gets_only_what_is_new(log: AnswerLog) -> None:
    for text in "abc":
        await log.append("turn", "token", {"text": text})
    assert [event.id for event in await log.read("turn", after=2, wait_seconds=LONG_SECONDS)] == [3]


async def test_a_waiting_reader_is_woken_by_the_next_event(log: AnswerLog) -> None:
    reading = asyncio.create_task(log.read("turn", after=0, wait_seconds=LONG_SECONDS))
    await asyncio.sleep(0)
    await log.append("turn", "token", {"text": "a"})
    assert [event.id for event in await reading] == [1]


async def test_a_reader_waits_no_longer_than_it_said(log: AnswerLog) -> None:
    assert await log.read("turn", after=0, wait_seconds=SOON_SECONDS) == []


async def test_many_readers_get_the_same_events(log: AnswerLog) -> None:
    readers = [asyncio.create_task(log.read("turn", after=0, wait_seconds=LONG_SECONDS)) for _ in range(20)]
    await asyncio.sleep(0)
    await log.append("turn", "done", {})
    assert {tuple(event.id for event in await reader) for reader in readers} == {(1,)}


@pytest.mark.parametrize("ending", ["done", "error"])
async def test_nothing_is_added_behind_the_end(log: AnswerLog, ending: str) -> None:
    await log.append("turn", "token", {"text": "a"})
    await log.append("turn", ending, {})  # type: ignore[arg-type]
    assert await log.append("turn", "token", {"text": "b"}) is None
    assert await log.append("turn", "done", {}) is None
    assert [event.event for event in await log.read("turn", 0, LONG_SECONDS)] == ["token", ending]


async def test_a_reader_behind_the_end_does_not_wait(log: AnswerLog) -> None:
    await log.append("turn", "done", {})
    assert await log.read("turn", after=1, wait_seconds=LONG_SECONDS) == []


async def test_a_log_is_finished_only_by_its_own_end(log: AnswerLog) -> None:
    assert not await log.finished("turn")
    await log.append("turn", "token", {"text": "a"})
    await log.append("other", "done", {})
    assert not await log.finished("turn")
    await log.append("turn", "error", {"code": "answer_failed"})
    assert await log.finished("turn")


async def test_writers_at_the_same_time_never_share_a_number(log: AnswerLog) -> None:
    numbers = await asyncio.gather(*(log.append("turn", "token", {"text": str(n)}) for n in range(50)))
    assert sorted(number for number in numbers if number) == list(range(1, 51))


async def test_a_log_that_answers_can_be_pinged(log: AnswerLog) -> None:
    await log.ping()


async def test_the_log_in_memory_forgets_after_its_time() -> None:
    now = 0.0
    log = MemoryAnswerLog(KEPT_SECONDS, clock=lambda: now)
    await log.append("turn", "done", {})
    now = KEPT_SECONDS + 1.0
    assert not await log.finished("turn")
    assert await log.read("turn", 0, SOON_SECONDS) == []


async def test_the_log_in_redis_expires_by_itself(redis_url: str) -> None:
    log = RedisAnswerLog(redis_url, KEPT_SECONDS, LONG_SECONDS)
    await log.append("turn", "token", {"text": "a"})
    async with Redis.from_url(redis_url) as redis:
        keys = await redis.keys("*")
        assert [0 < await redis.ttl(key) <= KEPT_SECONDS for key in keys] == [True]
    await log.close()
