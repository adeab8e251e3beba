"""Events go out as they come; while nothing happens a comment keeps proxies from closing the connection."""

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Message

from bot.gateway.event_stream import PING, EventStream, encoded

SCOPE = {"type": "http", "asgi": {"spec_version": "2.4"}}


async def _receive() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("nobody leaves")


async def test_a_silent_stream_is_pinged_and_goes_on() -> None:
    pinged, sent = asyncio.Event(), []

    async def events() -> AsyncIterator[bytes]:
        yield encoded(1, "token", '{"text": "한"}')
        await pinged.wait()
        yield encoded(2, "done", "{}")

    async def send(message: Message) -> None:
        sent.append(message.get("body", b""))
        if message.get("body") == PING:
            pinged.set()

    async with asyncio.timeout(5):
        await EventStream(events(), ping_seconds=0.01)(SCOPE, _receive, send)
    body = b"".join(piece for piece in sent if piece != PING)
    assert body == 'id: 1\nevent: token\ndata: {"text": "한"}\n\nid: 2\nevent: done\ndata: {}\n\n'.encode()
    assert PING in sent


async def test_nothing_is_sent_after_the_end() -> None:
    sent: list[Message] = []

    async def events() -> AsyncIterator[bytes]:
        yield encoded(1, "done", "{}")

    async def send(message: Message) -> None:
        sent.append(message)

    await EventStream(events(), ping_seconds=0.0)(SCOPE, _receive, send)
    count = len(sent)
    await asyncio.sleep(0)
    assert len(sent) == count
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}
