"""The events of an answer as server-sent events (WHATWG HTML): numbered, resumable, with heartbeats."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from llm_service.api.dependencies import ConversationId, ServiceParts
from llm_service.client import StreamEvent
from llm_service.metrics import Metrics

router = APIRouter(prefix="/v1/turns", tags=["turns"])

HEARTBEAT: Final = ": waiting\n\n"
# Proxies must neither keep nor gather the stream (nginx reads X-Accel-Buffering).
STREAM_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
LastEventId = Annotated[int, Header(alias="Last-Event-ID", ge=0)]


@router.get("/{turn_id}/events")
async def events(
    turn_id: str, parts: ServiceParts, conversation_id: ConversationId, last_event_id: LastEventId = 0
) -> StreamingResponse:
    """Events after `Last-Event-ID` until `done` or `error`; 503 if they cannot be had. Leaving stops nothing."""
    followed = await parts.reader.open(turn_id, conversation_id, last_event_id)
    return StreamingResponse(_encoded(followed, parts.metrics), media_type="text/event-stream", headers=STREAM_HEADERS)


async def _encoded(followed: AsyncGenerator[StreamEvent | None, None], metrics: Metrics) -> AsyncIterator[str]:
    with metrics.open_streams.track_inprogress():
        async with aclosing(followed):
            async for event in followed:
                yield HEARTBEAT if event is None else encode_event(event)


def encode_event(event: StreamEvent) -> str:
    """One event as its block of lines; JSON keeps line ends out of `data`."""
    return f"id: {event.id}\nevent: {event.event}\ndata: {json.dumps(event.data, ensure_ascii=False)}\n\n"
