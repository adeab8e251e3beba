"""What a model server's failures mean in our words, the same for every server: see `ModelServer` for the codes.

Knows no client library. No message carries what a server said: servers repeat what they were sent.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
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


async def in_time(deltas: AsyncIterator[Delta], patience: Patience, seconds: float) -> AsyncGenerator[Delta, None]:
    """The same deltas; raises `Unavailable` (engine_timeout) where one, or all of them together, take too long.

    What the reader does between two deltas counts for the whole, not for the server's next token.
    """
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    allowed, what = patience.first_token_seconds, "to begin its answer"
    async with aclosing(deltas):  # type: ignore[type-var]
        while True:
            try:
                async with asyncio.timeout(min(allowed, until - clock())):
                    delta = await anext(deltas, None)
            except TimeoutError as error:
                raise timed_out(what if clock() < until else "to finish its answer") from error
            if delta is None:
                return
            if delta.text:
                allowed, what = patience.next_token_seconds, "to go on with its answer"
            yield delta
