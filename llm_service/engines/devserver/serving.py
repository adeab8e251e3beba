"""What every route of the development server shares: the writer, the counts, and giving up when the reader leaves.

Knows no dialect; how errors and answers look is written where the routes are.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final

from fastapi import Request
from prometheus_client import CollectorRegistry, Counter, Gauge

from llm_service.engines.devserver.orders import Order, Piece, Writer
from llm_service.logs import get_logger

LOG = get_logger(__name__)
# The names under which TGI and vLLM tell the same two numbers.
RUNNING_GAUGES: Final = ("tgi_batch_current_size", "vllm:num_requests_running")
WAITING_GAUGES: Final = ("tgi_queue_size", "vllm:num_requests_waiting")


class Serving:
    """One writer behind routes. `is_silent_base` imitates TGI: the base model answers for an unknown adapter."""

    def __init__(self, writer: Writer, is_silent_base: bool) -> None:
        self.writer = writer
        self.is_silent_base = is_silent_base
        self.registry = CollectorRegistry()
        for name in RUNNING_GAUGES:
            self._gauge(name, "Orders being written").set_function(lambda: writer.load_now().running)
        for name in WAITING_GAUGES:
            self._gauge(name, "Orders waiting").set_function(lambda: writer.load_now().waiting)
        gone = self._gauge("devserver_cancelled", "Orders given up because their reader left")
        gone.set_function(lambda: writer.load_now().cancelled)
        self._tokens = Counter("devserver_tokens", "Tokens by direction and adapter", ["direction", "adapter"],
                               registry=self.registry)  # fmt: skip

    def adapter(self, asked: str | None, base_names: frozenset[str]) -> str | None:
        """The adapter that answers for a name; None is the base, which also answers unknown names if it is silent."""
        if not asked or asked in base_names:
            return None
        return None if self.is_silent_base and asked not in self.writer.adapters() else asked

    async def pieces(self, request: Request, order: Order) -> AsyncGenerator[Piece, None]:
        """The pieces of an order; they end early, and the work with them, once the reader has left."""
        started = time.perf_counter()
        last: Piece | None = None
        async with aclosing(self.writer.write(order)) as pieces, _leaving(request) as left:
            while True:
                coming = asyncio.ensure_future(anext(pieces, None))
                try:
                    await asyncio.wait((coming, left), return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        break
                    piece = coming.result()
                finally:
                    await _cancelled(coming)
                if piece is None:
                    break
                last = piece
                yield piece
        self._note(order, last, time.perf_counter() - started)

    def _note(self, order: Order, last: Piece | None, seconds: float) -> None:
        ending = last.ending if last is not None else None
        adapter = order.adapter or "base"
        if ending is None:
            LOG.info("given up, the reader left", adapter=adapter, seconds=round(seconds, 3))
            return
        self._tokens.labels("in", adapter).inc(ending.prompt_tokens)
        self._tokens.labels("out", adapter).inc(ending.answer_tokens)
        LOG.info(
            "written",
            adapter=adapter,
            prompt_tokens=ending.prompt_tokens,
            answer_tokens=ending.answer_tokens,
            reason=ending.reason,
            seconds=round(seconds, 3),
        )

    def _gauge(self, name: str, told: str) -> Gauge:
        return Gauge(name, told, registry=self.registry)


async def _cancelled(task: "asyncio.Future[Any]") -> None:
    """Cancel a task and wait until it has ended; nothing happens to one that is done."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))


@asynccontextmanager
async def _leaving(request: Request) -> AsyncGenerator["asyncio.Task[None]", None]:
    """A task that ends when the reader has left."""

    async def left() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(left())
    try:
        yield task
    finally:
        await _cancelled(task)
