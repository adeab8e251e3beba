"""What a model server's failures mean in our words, the same for every server: see `ModelServer` for the codes.

Knows no client library. No message carries what a server said: servers repeat what they were sent.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from llm_service.engines.model_server import Delta
from llm_service.errors import HaechiError, InvalidInput, NotFound, Unavailable


@dataclass(frozen=True)
class Patience:
    """How long a server may take, in seconds: to accept a connection, until its first token, between two tokens."""

    connect_seconds: float = 3.0
    first_token_seconds: float = 30.0
    next_token_seconds: float = 15.0


def failure_of(status: int, adapter: str | None) -> HaechiError:
    """The error for an HTTP status (TGI and OpenAI-compatible servers agree on these)."""
    if status == 404 and adapter is not None:
        return NotFound("adapter_unknown", "the model server has no adapter of this name; load it on every replica")
    if status in {400, 413, 422}:
        return InvalidInput("engine_refused_request", f"the model server refused the request (HTTP {status})")
    if status in {429, 503}:
        return Unavailable("engine_overloaded", f"the model server is overloaded (HTTP {status}); ask again later")
    if status in {408, 504}:
        return Unavailable("engine_timeout", f"the model server gave up (HTTP {status})")
    return Unavailable("engine_failed", f"the model server failed (HTTP {status}); see its own log")


def unreachable(address: str) -> Unavailable:
    return Unavailable("engine_unreachable", f"no model server answers at {address}; see HAECHI_ENGINE_URLS")


def stream_cut() -> Unavailable:
    return Unavailable("engine_stream_cut", "the model server ended its answer in the middle")


def timed_out(what: str) -> Unavailable:
    return Unavailable("engine_timeout", f"the model server took too long {what}")


async def in_time(
    deltas: AsyncIterator[Delta], patience: Patience, seconds: float, heard_at: Callable[[], float] = lambda: 0.0
) -> AsyncGenerator[Delta, None]:
    """The same deltas; raises `Unavailable` (engine_timeout) where one, or all of them together, take too long.

    What the reader does between two deltas counts for the whole, not for the server's next token. `heard_at`, by the
    loop's clock, is when a token came last, where several are handed over as one.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    allowed, what = patience.first_token_seconds, "to begin its answer"
    alarm = _Alarm(heard_at)
    try:
        async with aclosing(deltas):  # type: ignore[type-var]
            while True:
                alarm.set(allowed, until)
                try:
                    delta = await anext(deltas, None)
                except asyncio.CancelledError as error:
                    if not alarm.has_rung():
                        raise
                    raise timed_out(what if clock() < until else "to finish its answer") from error
                finally:
                    alarm.pause()
                if delta is None:
                    return
                if delta.text:
                    allowed, what = patience.next_token_seconds, "to go on with its answer"
                yield delta
    finally:
        alarm.stop()


class _Alarm:
    """Cancels the task that set it, as `asyncio.timeout` does, but with one timer for many waits.

    A token every few milliseconds would otherwise cost more in timers than in reading.
    """

    def __init__(self, heard_at: Callable[[], float]) -> None:
        self._loop = asyncio.get_running_loop()
        self._heard_at = heard_at
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._allowed = self._last = self._until = 0.0
        self._rang = False

    def set(self, allowed: float, last: float) -> None:
        """From here on the current task may wait `allowed` seconds for each token, and not past `last`."""
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._allowed, self._last = allowed, last
        self._until = min(self._loop.time() + allowed, last)
        if self._timer is None or self._until < self._timer.when():
            self.stop()
            self._timer = self._loop.call_at(self._until, self._look)

    def pause(self) -> None:
        """Nobody waits."""
        self._task = None

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def has_rung(self) -> bool:
        """Whether the cancellation that has just arrived was this alarm's alone."""
        task = asyncio.current_task()
        return self._rang and task is not None and task.uncancel() <= self._cancelling

    def _look(self) -> None:
        self._timer = None
        if self._task is None:
            return
        until = max(self._until, min(self._heard_at() + self._allowed, self._last))
        if self._loop.time() < until:
            self._timer = self._loop.call_at(until, self._look)
            return
        self._rang = True
        self._task.cancel()
