"""Takes messages out of the Teams inbox and has each one handled once, whatever becomes of this process.

A message leaves the inbox when its answer stands in Teams. What a lost worker left behind is taken up by the next.
Knows nothing of what a message asks for.
"""

import asyncio
from contextlib import suppress
from typing import Final, Protocol

from redis.exceptions import RedisError

from bot.gateway.teams.connector import NotSent
from bot.teams_door.errors import Unsealable
from bot.teams_door.inbox import Entry, InboxWorker
from bot.teams_door.message import TeamsMessage
from llm_service.logs import get_logger

BUSY_SECONDS: Final = 20.0
REDIS_PAUSE_SECONDS: Final = 1.0
STOP_SECONDS: Final = 20.0
MAXIMUM_TRIES: Final = 3
_log = get_logger("gateway.teams.worker")


class Handler(Protocol):
    """What is done with a message."""

    async def handle(self, message: TeamsMessage, *, is_second_try: bool = False) -> None: ...

    async def give_up(self, message: TeamsMessage) -> None: ...


class Worker:
    """Handles up to `at_once` messages at the same time, for people whose tenant is served."""

    def __init__(self, inbox: InboxWorker, handler: Handler, tenants: frozenset[str], at_once: int) -> None:
        self._inbox = inbox
        self._handler = handler
        self._tenants = tenants
        self._room = asyncio.Semaphore(at_once)
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; what is being written then has a moment to end, the rest stays in the inbox."""
        while not stop.is_set():
            try:
                await self._inbox.prepare()
                while not stop.is_set():
                    await self._take_one()
            except RedisError as error:
                _log.error("inbox_unavailable", kind=type(error).__name__)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), REDIS_PAUSE_SECONDS)
        if self._running:
            await asyncio.wait(self._running, timeout=STOP_SECONDS)
        left = list(self._running)
        for task in left:
            task.cancel()
        # Until they have let go of everything: whoever stops this worker closes its connections next.
        await asyncio.gather(*left, return_exceptions=True)

    async def _take_one(self) -> None:
        await self._room.acquire()
        taken = None
        try:
            taken = await self._inbox.take()
        finally:
            if taken is None:
                self._room.release()
        if taken is None:
            return
        try:
            entry = self._inbox.open(taken)
        except Unsealable as error:
            self._room.release()
            _log.error("message_not_opened", advice=str(error))
            await self._inbox.done(taken[0])
            return
        task = asyncio.create_task(self._work(entry))
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def _work(self, entry: Entry) -> None:
        busy = asyncio.create_task(self._keep_busy(entry.id))
        try:
            if await self._handled(entry):
                await self._inbox.done(entry.id)
        finally:
            busy.cancel()

    async def _handled(self, entry: Entry) -> bool:
        """Whether the entry is done with; False leaves it for another try."""
        if entry.message.tenant_id not in self._tenants:
            # The door refuses these: somebody else has written into the inbox.
            _log.error("tenant_refused_inside", kind=entry.message.kind)
            return True
        try:
            if entry.handed_out_before >= MAXIMUM_TRIES:
                _log.error("message_given_up", kind=entry.message.kind, tries=entry.handed_out_before)
                await self._handler.give_up(entry.message)
                return True
            await self._handler.handle(entry.message, is_second_try=entry.handed_out_before > 0)
        except NotSent as error:
            is_over = error.code in ("refused", "host_refused") or entry.handed_out_before >= MAXIMUM_TRIES
            _log.error("answer_not_delivered", code=error.code, status=error.status, given_up=is_over)
            return is_over
        return True

    async def _keep_busy(self, entry_id: str) -> None:
        while True:
            await asyncio.sleep(BUSY_SECONDS)
            with suppress(RedisError):
                await self._inbox.still_busy(entry_id)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("message_left_in_inbox", exc_info=error)
