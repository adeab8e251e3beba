"""How often a subject may do a thing: counted in this process, or in Redis for all replicas together.

Two kinds of rules: a pace (GCRA, ITU-T I.371: so many at once, then evenly) and a day's ration, which ends at midnight
in Seoul. Subjects are pseudonyms; this module never sees a user or an address.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import redis.asyncio as redis
from redis.exceptions import RedisError

from llm_service.logs import get_logger

MICROSECONDS: Final = 1_000_000
DAY_SECONDS: Final = 86_400
SEOUL_OFFSET_SECONDS: Final = 9 * 3600
"""Korea has kept UTC+9 without summer time since 1988, so a day's end needs no calendar."""
SWEEP_SECONDS: Final = 60
REDIS_TIMEOUT_SECONDS: Final = 1.0
_log = get_logger("gateway.rate_limit")

# All rules are looked at before any counts: what one refuses uses up nothing of the others. Doubles hold microseconds
# of our time exactly, and %.0f writes them as whole numbers, which Lua's own conversion does not.
TAKE: Final = """
local now, worst, which, kept = tonumber(ARGV[1]), 0, 0, {}
for i, key in ipairs(KEYS) do
  local kind, a, b = ARGV[3 * i - 1], tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local held = tonumber(redis.call('GET', key) or '0')
  local wait, value, life = 0, 0, 0
  if kind == 'pace' then
    local due = math.min(math.max(held, now), now + a + b)
    wait, value = math.max(0, due - b - now), due + a
    life = value - now
  else
    if held >= a then wait = b end
    value, life = held + 1, b
  end
  if wait > worst then worst, which = wait, i end
  kept[i] = {key, string.format('%.0f', value), string.format('%.0f', math.ceil(life / 1000) + 1000)}
end
if worst == 0 then
  for _, one in ipairs(kept) do redis.call('SET', one[1], one[2], 'PX', one[3]) end
end
return {string.format('%.0f', worst), which}
"""


@dataclass(frozen=True)
class Pace:
    """`per_minute` evenly, `at_once` of them without waiting after a pause. Both are 1 or more."""

    per_minute: int
    at_once: int

    @property
    def interval(self) -> int:
        """Microseconds that one takes."""
        return 60 * MICROSECONDS // self.per_minute

    @property
    def tolerance(self) -> int:
        """How many microseconds ahead of the even pace somebody may be."""
        return self.interval * (self.at_once - 1)


@dataclass(frozen=True)
class Ration:
    """`per_day` from midnight to midnight in Seoul."""

    per_day: int


@dataclass(frozen=True)
class Limited:
    """A subject, under what rule, and the code of the sentence for whoever is over it."""

    subject: str
    rule: Pace | Ration
    code: str


@dataclass(frozen=True)
class Refused:
    """The rule that makes somebody wait longest, and how many seconds."""

    code: str
    seconds: int


class RateLimit(Protocol):
    """Counts for every subject or, where one is over its rule, for none."""

    async def take(self, limits: Sequence[Limited]) -> Refused | None: ...

    async def close(self) -> None: ...


class InProcessRateLimit:
    """Counts of this process only."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[int, int]] = {}
        self._swept_at = 0

    async def take(self, limits: Sequence[Limited]) -> Refused | None:
        now = _microseconds(self._clock())
        self._sweep(now)
        found = [_looked_at(self._held(_key(one, now), now), one.rule, now) for one in limits]
        refused = _refused(limits, [wait for wait, _, _ in found])
        if refused is None:
            for one, (_, value, until) in zip(limits, found, strict=True):
                self._kept[_key(one, now)] = (value, until)
        return refused

    async def close(self) -> None:
        """Nothing to close."""

    def _held(self, key: str, now: int) -> int:
        value, until = self._kept.get(key, (0, 0))
        return value if until > now else 0

    def _sweep(self, now: int) -> None:
        if now - self._swept_at > SWEEP_SECONDS * MICROSECONDS:
            self._kept = {key: kept for key, kept in self._kept.items() if kept[1] > now}
            self._swept_at = now


class RedisRateLimit:
    """Counts shared by all replicas, each decision one script, so that no two replicas give away the same place.

    While Redis is away each replica counts for itself: people are still limited, if less exactly, and still answered.
    Turning everybody away would make an outage of a counter an outage of the bank; `on_alone` hears of it every time.
    """

    def __init__(
        self,
        url: str,
        clock: Callable[[], float] = time.time,
        on_alone: Callable[[], None] = lambda: None,
    ) -> None:
        self._redis = redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._script = self._redis.register_script(TAKE)
        self._clock = clock
        self._on_alone = on_alone
        self._meanwhile = InProcessRateLimit(clock)

    async def take(self, limits: Sequence[Limited]) -> Refused | None:
        now = _microseconds(self._clock())
        keys = [f"haechi:limit:{_key(one, now)}" for one in limits]
        arguments: list[str | int] = [now]
        for one in limits:
            arguments += _arguments(one.rule, now)
        try:
            wait, which = await self._script(keys=keys, args=arguments)
        except RedisError as error:
            _log.warning("rate_limit_redis_unavailable", kind=type(error).__name__)
            self._on_alone()
            return await self._meanwhile.take(limits)
        return Refused(limits[int(which) - 1].code, _seconds(int(wait))) if int(which) else None

    async def close(self) -> None:
        await self._redis.aclose()


def _looked_at(held: int, rule: Pace | Ration, now: int) -> tuple[int, int, int]:
    """(wait, value to keep if all agree, when it may be forgotten), in microseconds; `held` is 0 where nothing is."""
    match rule:
        case Pace():
            # A clock that ran ahead on some replica must not lock anybody out for longer than the rule itself does.
            due = min(max(held, now), now + rule.interval + rule.tolerance)
            return max(0, due - rule.tolerance - now), due + rule.interval, due + rule.interval
        case Ration(per_day):
            left = _left_of_day(now)
            return (left if held >= per_day else 0), held + 1, now + left


def _refused(limits: Sequence[Limited], waits: Sequence[int]) -> Refused | None:
    worst = max(waits, default=0)
    return Refused(limits[waits.index(worst)].code, _seconds(worst)) if worst else None


def _arguments(rule: Pace | Ration, now: int) -> list[str | int]:
    match rule:
        case Pace():
            return ["pace", rule.interval, rule.tolerance]
        case Ration(per_day):
            return ["ration", per_day, _left_of_day(now)]


def _key(one: Limited, now: int) -> str:
    return one.subject if isinstance(one.rule, Pace) else f"{one.subject}:{_day(now)}"


def _day(now: int) -> int:
    return (now // MICROSECONDS + SEOUL_OFFSET_SECONDS) // DAY_SECONDS


def _left_of_day(now: int) -> int:
    return ((_day(now) + 1) * DAY_SECONDS - SEOUL_OFFSET_SECONDS) * MICROSECONDS - now


def _microseconds(seconds: float) -> int:
    return int(seconds * MICROSECONDS)


def _seconds(microseconds: int) -> int:
    return math.ceil(microseconds / MICROSECONDS)
