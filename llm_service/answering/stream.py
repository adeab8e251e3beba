"""The log of an answer's events: written once by whoever generates, read by any number of readers, also again.

Two logs, one contract (`tests/contracts/test_answer_log.py`): in this process, and Redis Streams for several replicas.
Neither knows what an answer is, only that `done` and `error` end it.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff, NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from llm_service.client import EventName, StreamEvent
from llm_service.errors import Unavailable

ENDING_EVENTS: Final[frozenset[str]] = frozenset({"done", "error"})
CONNECT_TIMEOUT_SECONDS: Final = 1.0
REPLY_TIMEOUT_SECONDS: Final = 2.0
# How much later than promised the end of a wait may arrive before Redis counts as hanging.
WAIT_MARGIN_SECONDS: Final = 5.0
RECONNECT_AFTER_SECONDS: Final = 0.1


class AnswerLog(Protocol):
    """Events of one turn, numbered from 1. All calls raise `Unavailable` when the log cannot be reached."""

    async def append(self, turn_id: str, event: EventName, data: Mapping[str, Any]) -> int | None:
        """The event's number, or None when the log has ended already: nothing is ever added after `done` or `error`."""
        ...

    async def read(self, turn_id: str, after: int, wait_seconds: float) -> list[StreamEvent]:
        """Events with greater numbers; while there are none, waits for one. Empty: the time is up or the log ended."""
        ...

    async def finished(self, turn_id: str) -> bool:
        """Whether `done` or `error` is in the log. False also for a log that was never begun or has expired."""
        ...

    async def ping(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class _Kept:
    expires_at: float
    events: list[StreamEvent] = field(default_factory=list)
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def ended(self) -> bool:
        return bool(self.events) and self.events[-1].event in ENDING_EVENTS


class MemoryAnswerLog:
    """Keeps events in this process: embedded, and gone when it stops (answers themselves are in the records)."""

    def __init__(self, kept_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_seconds = kept_seconds
        self._clock = clock
        self._logs: dict[str, _Kept] = {}
        self._sweep_at = clock() + kept_seconds

    async def append(self, turn_id: str, event: EventName, data: Mapping[str, Any]) -> int | None:
        log = self._log_of(turn_id)
        if log.ended:
            return None
        number = len(log.events) + 1
        log.events.append(StreamEvent(number, event, dict(data)))
        log.expires_at = self._clock() + self._kept_seconds
        log.grown.set()
        log.grown = asyncio.Event()
        return number

    async def read(self, turn_id: str, after: int, wait_seconds: float) -> list[StreamEvent]:
        log = self._log_of(turn_id)
        if len(log.events) <= after and not log.ended and wait_seconds > 0:
            try:
                async with asyncio.timeout(wait_seconds):
                    await log.grown.wait()
            except TimeoutError:
                return []
        return log.events[after:]

    async def finished(self, turn_id: str) -> bool:
        return self._log_of(turn_id).ended

    async def ping(self) -> None:
        return None

    async def close(self) -> None:
        self._logs.clear()

    def _log_of(self, turn_id: str) -> _Kept:
        now = self._clock()
        if now >= self._sweep_at:
            self._logs = {known: log for known, log in self._logs.items() if log.expires_at > now}
            self._sweep_at = now + self._kept_seconds
        log = self._logs.get(turn_id)
        if log is None or log.expires_at <= now:
            log = self._logs[turn_id] = _Kept(now + self._kept_seconds)
        return log


# One script, so that two writers cannot give one number twice nor write behind the end.
APPEND_SCRIPT: Final = """
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
local number = 1
if last[1] then
  local event = last[1][2][2]
  if event == 'done' or event == 'error' then return 0 end
  number = tonumber(string.match(last[1][1], '^(%d+)')) + 1
end
redis.call('XADD', KEYS[1], number .. '-0', 'event', ARGV[1], 'data', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return number
"""


class RedisAnswerLog:
    """Keeps events in one Redis stream a turn, which expires by itself; entry n has the id `n-0`.

    A waiting reader holds one connection in XREAD BLOCK (https://redis.io/docs/latest/commands/xread/), at most
    `longest_wait_seconds` at a time; everything else is answered within seconds or counts as unavailable.
    """

    def __init__(self, url: str, kept_seconds: int, longest_wait_seconds: float) -> None:
        # Nothing is sent twice: an append whose reply was lost may have been written.
        self._redis = _client(url, REPLY_TIMEOUT_SECONDS, Retry(NoBackoff(), 0))
        reconnects = Retry(ConstantBackoff(RECONNECT_AFTER_SECONDS), 1, supported_errors=(RedisConnectionError,))
        self._waiting = _client(url, longest_wait_seconds + WAIT_MARGIN_SECONDS, reconnects)
        self._kept_seconds = kept_seconds
        self._longest_wait_seconds = longest_wait_seconds
        self._append = self._redis.register_script(APPEND_SCRIPT)

    async def append(self, turn_id: str, event: EventName, data: Mapping[str, Any]) -> int | None:
        arguments: list[str | int] = [event, json.dumps(data, ensure_ascii=False), self._kept_seconds]
        return int(await _reached(self._append(keys=[_key(turn_id)], args=arguments))) or None

    async def read(self, turn_id: str, after: int, wait_seconds: float) -> list[StreamEvent]:
        stream: dict[Any, Any] = {_key(turn_id): f"{after}-0"}
        reply = await _reached(self._redis.xread(stream))
        if not reply and await self.finished(turn_id):
            # The end may have been written just now: behind it nothing comes, so it is read without waiting.
            reply = await _reached(self._redis.xread(stream))
        elif not reply:
            wait_milliseconds = max(1, round(min(wait_seconds, self._longest_wait_seconds) * 1000))
            reply = await _reached(self._waiting.xread(stream, block=wait_milliseconds))
        return [_event_of(*entry) for _name, entries in reply for entry in entries]

    async def finished(self, turn_id: str) -> bool:
        last = await _reached(self._redis.xrevrange(_key(turn_id), count=1))
        return bool(last) and last[0][1][b"event"].decode() in ENDING_EVENTS

    async def ping(self) -> None:
        await _reached(self._redis.echo("ping"))

    async def close(self) -> None:
        await self._redis.aclose()
        await self._waiting.aclose()


def _client(url: str, reply_timeout_seconds: float, retry: Retry) -> "Redis":
    return Redis.from_url(
        url, socket_connect_timeout=CONNECT_TIMEOUT_SECONDS, socket_timeout=reply_timeout_seconds, retry=retry
    )


def _key(turn_id: str) -> str:
    return f"haechi:answer:{turn_id}"


def _event_of(entry_id: bytes, fields: Mapping[bytes, bytes]) -> StreamEvent:
    number = int(entry_id.split(b"-")[0])
    return StreamEvent(number, fields[b"event"].decode(), json.loads(fields[b"data"]))  # type: ignore[arg-type]


async def _reached(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except RedisError as error:
        raise Unavailable("redis_unavailable", "Redis cannot be reached; see `haechi doctor`") from error
