"""How often a subject may do a thing within a minute: counted in this process, or in Redis for all replicas together.

Subjects are pseudonyms; this module never sees a user or an address.
"""

import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

import redis.asyncio as redis
from redis.exceptions import RedisError

from llm_service.logs import get_logger

WINDOW_SECONDS = 60
_log = get_logger("gateway.rate_limit")


class RateLimit(Protocol):
    """Counts in windows that begin on the full minute."""

    async def seconds_to_wait(self, subject: str, per_minute: int) -> int:
        """Count one more for the subject; 0 if it is within the limit, else the seconds until the next window."""
        ...

    async def close(self) -> None: ...


class InProcessRateLimit:
    """Counts of this process only; they are forgotten at the end of their window."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._window = 0
        self._counts: Counter[str] = Counter()

    async def seconds_to_wait(self, subject: str, per_minute: int) -> int:
        now = self._clock()
        if (window := int(now // WINDOW_SECONDS)) != self._window:
            self._window = window
            self._counts.clear()
        self._counts[subject] += 1
        return _seconds_left(now) if self._counts[subject] > per_minute else 0

    async def close(self) -> None:
        """Nothing to close."""


class RedisRateLimit:
    """Counts shared by all replicas. While Redis is away each replica counts for itself: limited, if less exactly."""

    def __init__(self, url: str, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
        self._clock = clock
        self._meanwhile = InProcessRateLimit(clock)

    async def seconds_to_wait(self, subject: str, per_minute: int) -> int:
        now = self._clock()
        key = f"haechi:limit:{subject}:{int(now // WINDOW_SECONDS)}"
        try:
            async with self._redis.pipeline(transaction=True) as pipeline:
                pipeline.incr(key)
                pipeline.expire(key, 2 * WINDOW_SECONDS)
                count, _ = await pipeline.execute()
        except RedisError as error:
            _log.warning("rate_limit_redis_unavailable", kind=type(error).__name__)
            return await self._meanwhile.seconds_to_wait(subject, per_minute)
        return _seconds_left(now) if count > per_minute else 0

    async def close(self) -> None:
        await self._redis.aclose()


def _seconds_left(now: float) -> int:
    return WINDOW_SECONDS - int(now) % WINDOW_SECONDS
