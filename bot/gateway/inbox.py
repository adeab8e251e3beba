"""Where messengers' deliveries wait after they were acknowledged: bounded, each taken once, none lost with a process.

With Redis the deliveries of all replicas are one queue, sealed with a key of the gateway's, since they hold what people
wrote; what a process took and did not finish is taken by another. Without Redis, or while it is away, they wait in this
process. Knows no messenger and not what is done with a delivery.
"""

import asyncio
import base64
import hashlib
import json
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

import redis.asyncio as redis
from cryptography.fernet import Fernet, InvalidToken
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from llm_service.logs import get_logger

SEEN_SECONDS: Final = 3600
LEASE_SECONDS: Final = 15.0
MAXIMUM_DELIVERIES: Final = 3
PUT_TIMEOUT_SECONDS: Final = 0.5
PUTS_AT_ONCE: Final = 8
POLL_SECONDS: Final = 0.5
MAXIMUM_REMEMBERED: Final = 20_000
GROUP: Final = "workers"

Put = Literal["queued", "known", "full"]
_log = get_logger("gateway.inbox")

# One round trip: known is known, full is full, and what is new is marked and queued together or not at all.
_PUT = """
if redis.call('EXISTS', KEYS[1]) == 1 then return 'known' end
if redis.call('XLEN', KEYS[2]) >= tonumber(ARGV[1]) then return 'full' end
redis.call('SET', KEYS[1], '1', 'EX', ARGV[2])
redis.call('XADD', KEYS[2], '*', 'sealed', ARGV[3])
return 'queued'
"""


@dataclass(frozen=True)
class Delivery:
    """One thing a messenger delivered. `key` is the same each time it delivers it; `body` holds what people wrote."""

    key: str
    kind: str
    body: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Taken:
    """A delivery that is this process's to work on until it is finished. `again`: another process began on it."""

    delivery: Delivery
    name: str
    again: bool = False


class InProcessInbox:
    """Deliveries of this process only; they end with it."""

    def __init__(self, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._capacity = capacity
        self._clock = clock
        self._waiting: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self._unfinished = 0
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._notes: OrderedDict[str, str] = OrderedDict()

    async def put(self, delivery: Delivery) -> Put:
        """Queue a delivery, once within SEEN_SECONDS."""
        if self.has_seen(delivery.key):
            return "known"
        if self._unfinished >= self._capacity:
            return "full"
        self._seen[delivery.key] = self._clock()
        self._unfinished += 1
        self._waiting.append(delivery)
        self._arrived.set()
        return "queued"

    def has_seen(self, key: str) -> bool:
        """Whether a delivery was queued here within SEEN_SECONDS."""
        self._forget_old()
        return key in self._seen

    async def take(self) -> Taken | None:
        """The next delivery; waits for one."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        return Taken(self._waiting.popleft(), name="")

    async def finish(self, taken: Taken) -> None:
        """Nobody needs to work on this delivery again."""
        self._unfinished -= 1

    async def remember(self, key: str, value: str) -> None:
        """Keep a note among the MAXIMUM_REMEMBERED latest, for whoever works on its matter later."""
        self._notes[key] = value
        while len(self._notes) > MAXIMUM_REMEMBERED:
            self._notes.popitem(last=False)

    async def remembered(self, key: str) -> str | None:
        return self._notes.get(key)

    def _forget_old(self) -> None:
        while self._seen and (
            len(self._seen) > MAXIMUM_REMEMBERED or next(iter(self._seen.values())) < self._clock() - SEEN_SECONDS
        ):
            self._seen.popitem(last=False)


class RedisInbox:
    """One queue of all replicas of a channel: a Redis stream with a consumer group, entries sealed with `secret`.

    Raises `RedisError` where Redis does not answer; `ChannelInbox` keeps that from people.
    """

    def __init__(
        self, url: str, channel: str, secret: str, capacity: int, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        # Two clients: what acknowledges waits a moment at most, what takes waits for an entry to come.
        self._quick = redis.from_url(
            url,
            socket_timeout=PUT_TIMEOUT_SECONDS,
            socket_connect_timeout=PUT_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis = redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0))
        self._prefix = f"haechi:{{inbox-{channel}}}"
        self._stream = f"{self._prefix}:waiting"
        # A burst waits its turn on few connections; each opening one of its own would be slower than all of them.
        self._turn = asyncio.Semaphore(PUTS_AT_ONCE)
        self._seal = Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"haechi.inbox.{secret}".encode()).digest()))
        self._capacity = capacity
        self._lease_seconds = lease_seconds
        self._consumer = uuid4().hex
        self._held: set[int | bytes | str | memoryview] = set()
        self._reclaimed_at = 0.0
        self._has_group = False

    async def put(self, delivery: Delivery) -> Put:
        body = json.dumps({"key": delivery.key, "kind": delivery.kind, "body": delivery.body}, ensure_ascii=False)
        sealed = self._seal.encrypt(body.encode())
        keys = (f"{self._prefix}:seen:{delivery.key}", self._stream)
        async with self._turn:
            said = await self._quick.eval(_PUT, 2, *keys, self._capacity, SEEN_SECONDS, sealed)  # type: ignore[misc]
        answer: Put = said.decode()
        return answer

    async def take(self) -> Taken | None:
        """The next delivery; None if none came within POLL_SECONDS."""
        await self._make_group()
        if (taken := await self._next()) is not None:
            self._held.add(taken.name)
        return taken

    async def finish(self, taken: Taken) -> None:
        self._held.discard(taken.name)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(self._stream, GROUP, taken.name)
            pipeline.xdel(self._stream, taken.name)
            await pipeline.execute()

    async def keep(self) -> None:
        """Say that what this process took is still being worked on; called well within each lease."""
        if self._held:
            await self._redis.xclaim(self._stream, GROUP, self._consumer, 0, list(self._held), justid=True)

    @property
    def lease_seconds(self) -> float:
        return self._lease_seconds

    async def remember(self, key: str, value: str, seconds: int = SEEN_SECONDS) -> None:
        async with self._turn:
            await self._quick.set(f"{self._prefix}:note:{key}", value, ex=seconds)

    async def remembered(self, key: str) -> str | None:
        async with self._turn:
            found = await self._quick.get(f"{self._prefix}:note:{key}")
        return found.decode() if found is not None else None

    async def close(self) -> None:
        await self._quick.aclose()
        await self._redis.aclose()

    async def _next(self) -> Taken | None:
        if time.monotonic() - self._reclaimed_at > self._lease_seconds / 3:
            self._reclaimed_at = time.monotonic()
            if (left_behind := await self._reclaim()) is not None:
                self._reclaimed_at = 0.0
                return left_behind
        came = await self._redis.xreadgroup(
            GROUP, self._consumer, {self._stream: ">"}, count=1, block=int(POLL_SECONDS * 1000)
        )
        for _stream, entries in came or ():
            for name, fields in entries:
                return await self._opened(name.decode(), fields, again=False)
        return None

    async def _reclaim(self) -> Taken | None:
        """A delivery whose process has not been heard of for a lease, if there is one."""
        claimed = await self._redis.xautoclaim(
            self._stream, GROUP, self._consumer, int(self._lease_seconds * 1000), count=1
        )
        for name, fields in claimed[1]:
            told = await self._redis.xpending_range(self._stream, GROUP, name, name, 1)
            if told and told[0]["times_delivered"] > MAXIMUM_DELIVERIES:
                _log.error("delivery_given_up", deliveries=told[0]["times_delivered"])
                await self.finish(Taken(Delivery("", "", {}), name.decode()))
                return None
            return await self._opened(name.decode(), fields, again=True)
        return None

    async def _opened(self, name: str, fields: dict[bytes, bytes], *, again: bool) -> Taken | None:
        try:
            body = json.loads(self._seal.decrypt(fields[b"sealed"]))
        except (InvalidToken, KeyError):
            _log.error("delivery_unreadable", consequence="dropped; HAECHI_SESSION_SECRET may have changed")
            await self.finish(Taken(Delivery("", "", {}), name))
            return None
        return Taken(Delivery(body["key"], body["kind"], body["body"]), name, again)

    async def _make_group(self) -> None:
        if self._has_group:
            return
        try:
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        self._has_group = True


class ChannelInbox:
    """A channel's inbox: Redis where it answers in time, else this process; and the workers that empty both.

    What was acknowledged is not lost for want of Redis, only less safe from the end of this process.
    """

    def __init__(self, own: InProcessInbox, shared: RedisInbox | None = None) -> None:
        self._own = own
        self._shared = shared
        self._working: set[asyncio.Task[None]] = set()
        self._own_taker: asyncio.Task[None] | None = None
        self._shared_takers: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()

    async def put(self, delivery: Delivery) -> Put:
        """Queue a delivery; one that Redis does not take in half a second waits in this process."""
        if self._shared is not None and not self._own.has_seen(delivery.key):
            # Twice: a reply that came too late left the delivery queued, and then the second try finds it known.
            for _ in range(2):
                try:
                    return await self._shared.put(delivery)
                except RedisError as error:
                    _log.warning("inbox_redis_unavailable", kind=type(error).__name__)
        return await self._own.put(delivery)

    async def remember(self, key: str, value: str, seconds: int = SEEN_SECONDS) -> None:
        """Keep a note, for all replicas where Redis is there."""
        await self._own.remember(key, value)
        if self._shared is not None:
            try:
                await self._shared.remember(key, value, seconds)
            except RedisError as error:
                _log.warning("inbox_redis_unavailable", kind=type(error).__name__)

    async def remembered(self, key: str) -> str | None:
        """The note of that key, if there is one."""
        if self._shared is not None:
            try:
                if (found := await self._shared.remembered(key)) is not None:
                    return found
            except RedisError as error:
                _log.warning("inbox_redis_unavailable", kind=type(error).__name__)
        return await self._own.remembered(key)

    def start(self, handle: Callable[[Taken], Awaitable[None]], workers: int) -> None:
        """Let up to `workers` deliveries of each queue be handled at a time. `handle` tells people of failures."""
        self._own_taker = asyncio.create_task(self._empty(self._own, handle, workers))
        if self._shared is not None:
            self._shared_takers = [
                asyncio.create_task(self._empty(self._shared, handle, workers)),
                asyncio.create_task(self._keep(self._shared)),
            ]

    async def stop(self, grace_seconds: float) -> None:
        """Take no more, finish what is begun within the grace, leave the rest to other replicas."""
        self._stopping.set()
        if self._own_taker is not None:
            self._own_taker.cancel()
        if self._working:
            await asyncio.wait(self._working, timeout=grace_seconds)
        left = [task for task in (*self._working, self._own_taker) if task is not None]
        for task in left:
            task.cancel()
        # Never cancelled: redis-py may lose a cancelled reply. They see that we stop within POLL_SECONDS.
        if waited := [*left, *self._shared_takers]:
            await asyncio.wait(waited)
        if self._shared is not None:
            await self._shared.close()

    async def _empty(
        self, inbox: InProcessInbox | RedisInbox, handle: Callable[[Taken], Awaitable[None]], workers: int
    ) -> None:
        free = asyncio.Semaphore(workers)
        while not self._stopping.is_set():
            await free.acquire()
            try:
                taken = await inbox.take()
            except RedisError as error:
                _log.warning("inbox_redis_unavailable", kind=type(error).__name__)
                await asyncio.sleep(POLL_SECONDS)
                taken = None
            if taken is None or self._stopping.is_set():
                # What was taken while we stop is another replica's after its lease.
                free.release()
                continue
            task = asyncio.create_task(self._work(inbox, taken, handle))
            self._working.add(task)
            task.add_done_callback(self._working.discard)
            task.add_done_callback(lambda _done: free.release())

    async def _work(
        self, inbox: InProcessInbox | RedisInbox, taken: Taken, handle: Callable[[Taken], Awaitable[None]]
    ) -> None:
        handling = asyncio.ensure_future(handle(taken))
        try:
            await asyncio.wait({handling})
        finally:
            handling.cancel()
        if (error := handling.exception()) is not None:
            _log.error("delivery_failed", kind=type(error).__name__, exc_info=error)
        try:
            await inbox.finish(taken)
        except RedisError as unfinished:
            # It is delivered again after its lease; whoever takes it finds the turn answered.
            _log.warning("delivery_not_finished", kind=type(unfinished).__name__)

    async def _keep(self, shared: RedisInbox) -> None:
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(shared.lease_seconds / 4):
                    await self._stopping.wait()
            try:
                await shared.keep()
            except RedisError as error:
                _log.warning("inbox_redis_unavailable", kind=type(error).__name__)
