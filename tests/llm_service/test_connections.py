"""The transport under our clients: connections are used again, given up with their stream, and fail as httpx's do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from llm_service.connections import WORTH_WAKING, StreamingTransport

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
ENDING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
LARGE = b"x" * 3_000_000
ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n"


@dataclass
class _Server:
    """Answers every request with the same bytes, and counts who comes and who has left."""

    reply: bytes
    url: str = ""
    connections: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(self.reply)
                if self.reply == ENDING:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left.set()
        finally:
            writer.close()


@asynccontextmanager
async def _serving(reply: bytes) -> AsyncIterator[_Server]:
    answering = _Server(reply)
    server = await asyncio.start_server(answering.serve, "127.0.0.1", 0)
    answering.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield answering


@asynccontextmanager
async def _listening(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def _client(read_seconds: float = 5) -> AsyncIterator[httpx.AsyncClient]:
    timeout = httpx.Timeout(5, read=read_seconds)
    async with httpx.AsyncClient(transport=StreamingTransport(), trust_env=False, timeout=timeout) as http:
        yield http


async def test_a_connection_is_used_again() -> None:
    async with _serving(WHOLE) as server, _client() as http:
        texts = [(await http.get(server.url)).text for _ in range(3)]
    assert (texts, server.connections) == (["ok"] * 3, 1)


async def test_a_connection_that_the_server_ends_is_not_used_again() -> None:
    async with _serving(ENDING) as server, _client() as http:
        texts = [(await http.get(server.url)).text for _ in range(3)]
    assert (texts, server.connections) == (["ok"] * 3, 3)


async def test_requests_at_the_same_time_have_connections_of_their_own() -> None:
    async with _serving(WHOLE) as server, _client() as http:
        await asyncio.gather(*(http.get(server.url) for _ in range(5)))
    assert server.connections == 5


async def test_leaving_a_stream_ends_its_connection() -> None:
    async with _serving(ENDLESS) as server, _client() as http:
        async with http.stream("GET", server.url) as response:
            assert await anext(response.aiter_bytes()) == b"first"
        async with asyncio.timeout(5):
            await server.left.wait()


async def test_a_reader_is_woken_for_what_is_worth_it_and_gets_what_came_before_with_it() -> None:
    seen: list[bytes] = []
    asked, left = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ENDLESS)
        for piece in (b"again", b"whole"):
            await asked.wait()
            asked.clear()
            writer.write(b"5\r\n%b\r\n" % piece)
        await reader.read()
        writer.close()
        left.set()

    def is_worth_waking(piece: bytes) -> bool:
        seen.append(piece)
        asked.set()
        return piece == b"whole"

    async with _listening(serve) as url:
        async with _asked_for(url, is_worth_waking) as pieces:
            assert [await anext(pieces), await anext(pieces)] == [b"first", b"againwhole"]
        await left.wait()
    assert seen == [b"first", b"again", b"whole"]


async def test_what_wakes_nobody_is_handed_over_at_the_end() -> None:
    async with _serving(WHOLE) as server, _asked_for(server.url, lambda _piece: False) as pieces:
        assert b"".join([piece async for piece in pieces]) == b"ok"


async def test_what_wakes_nobody_is_handed_over_once_it_is_much() -> None:
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE)
        await reader.read()
        writer.close()
        left.set()

    async with _listening(serve) as url:
        async with _asked_for(url, lambda _piece: False) as pieces:
            assert b"".join([piece async for piece in pieces]) == LARGE
        await left.wait()


@asynccontextmanager
async def _asked_for(url: str, is_worth_waking: Callable[[bytes], bool]) -> AsyncIterator[AsyncIterator[bytes]]:
    async with StreamingTransport() as transport:
        request = httpx.Request("GET", url, extensions={WORTH_WAKING: is_worth_waking})
        response = await transport.handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        yield aiter(response.stream)
        await response.aclose()


async def _read_on(http: httpx.AsyncClient, url: str) -> None:
    async with http.stream("GET", url) as response:
        await response.aread()


async def test_silence_is_a_read_timeout() -> None:
    async with _serving(ENDLESS) as server, _client(read_seconds=0.05) as http:
        with pytest.raises(httpx.ReadTimeout):
            await _read_on(http, server.url)


async def _nobody_there() -> str:
    async with _serving(WHOLE) as server:
        return server.url


async def test_an_address_without_a_server_is_a_connect_error() -> None:
    url = await _nobody_there()
    async with _client() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(url)


async def test_a_response_that_ends_with_its_connection_is_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        writer.close()

    async with _listening(serve) as url, _client() as http:
        assert (await http.get(url)).text == "until the end"


@pytest.mark.parametrize(
    "reply",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", b"HTTP/1.1 200", b"no HTTP at all\r\n\r\n", b""],
    ids=["half a body", "half a head", "another protocol", "nothing"],
)
async def test_a_reply_that_is_not_whole_is_a_protocol_error(reply: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()

    async with _listening(serve) as url, _client() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(url)


async def test_a_large_body_goes_out_and_a_large_response_comes_in_whole() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        assert f"Content-Length: {len(LARGE)}".encode() in head
        body = await reader.readexactly(len(LARGE))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()

    async with _listening(serve) as url, _client() as http:
        assert (await http.post(url, content=LARGE)).content == LARGE


async def test_a_body_of_unknown_length_goes_out_in_chunks() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        seen.append(await reader.readuntil(b"0\r\n\r\n"))
        writer.write(WHOLE)
        writer.close()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"first"
        yield b"second"

    async with _listening(serve) as url, _client() as http:
        assert (await http.post(url, content=pieces())).text == "ok"
    assert seen == [b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n\r\n"]


async def test_a_header_cannot_begin_another_line() -> None:
    async with _serving(WHOLE) as server, _client() as http:
        with pytest.raises(httpx.LocalProtocolError):
            await http.get(server.url, headers={"X-Name": "value\r\nX-Other: value"})


async def test_what_comes_before_the_response_is_left_out() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n" + WHOLE
    async with _serving(early) as server, _client() as http:
        response = await http.get(server.url)
    assert (response.text, "link" in response.headers) == ("ok", False)
