"""Server-sent events as a response (WHATWG HTML, "Server-sent events"): events at once, a comment in long silences.

FastAPI's own passes every event through two queues, which costs more than all else that is done with it. Knows no turn.
"""

import asyncio
from collections.abc import AsyncIterable
from typing import Final

from starlette.responses import StreamingResponse
from starlette.types import Send

PING_SECONDS: Final = 15.0
"""Proxies close what is silent for longer; many do after 60 seconds."""
PING: Final = b": ping\n\n"
# Proxies must neither keep nor gather the stream (nginx reads X-Accel-Buffering).
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class EventStream(StreamingResponse):
    """The response for events that are encoded already, as `encoded` does."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterable[bytes], ping_seconds: float = PING_SECONDS) -> None:
        super().__init__(events, headers=HEADERS)
        self._ping_seconds = ping_seconds

    async def stream_response(self, send: Send) -> None:
        pinging = asyncio.create_task(self._ping(send), name="ping")
        try:
            await super().stream_response(send)
        finally:
            pinging.cancel()

    async def _ping(self, send: Send) -> None:
        while True:
            await asyncio.sleep(self._ping_seconds)
            await send({"type": "http.response.body", "body": PING, "more_body": True})


def encoded(id_: int, event: str, data: str) -> bytes:
    """One event as its block of lines. `data` is one line: JSON escapes line ends."""
    return f"id: {id_}\nevent: {event}\ndata: {data}\n\n".encode()
