"""A loopback HTTP server that replies with the bytes it is told, in the pieces it is told, and counts what it saw."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Reply:
    """`status`, then `pieces` of the body one by one. `hangs`: stays open after them, `cuts`: breaks off."""

    status: int = 200
    pieces: Sequence[bytes] = ()
    hangs: bool = False
    cuts: bool = False
    content_type: str = "text/event-stream"


@dataclass
class Seen:
    """The address, the requests' heads and bodies, and an event that is set once a reader has left a hanging reply."""

    url: str
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def misbehaving(*replies: Reply) -> AsyncIterator[Seen]:
    """Gives the replies in turn, the last one for ever."""
    seen = Seen("")
    waiting = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            seen.heads.append(head)
            lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
            seen.bodies.append(await reader.readexactly(int(lengths[0]) if lengths else 0))
            await _reply(waiting.pop(0) if len(waiting) > 1 else waiting[0], reader, writer, seen)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield seen
    finally:
        server.close()


async def _reply(reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Seen) -> None:
    head = f"HTTP/1.1 {reply.status} Told\r\ncontent-type: {reply.content_type}\r\nconnection: close\r\n"
    writer.write(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
    for piece in reply.pieces:
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await writer.drain()
        # The reader gets to see this piece by itself.
        await asyncio.sleep(0)
    if reply.hangs:
        await reader.read()
        seen.left.set()
    elif not reply.cuts:
        writer.write(b"0\r\n\r\n")
        await writer.drain()
