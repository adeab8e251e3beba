"""HTTP connections for many streams at once: httpx's client, with as little work per connection and piece as can be.

httpx's own pool looks at every connection at the begin and end of every request, and its streams switch reading on and
off around every piece; with hundreds of answers streaming that is most of a core. Knows no route and no service.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import httpcore
import httpx

IDLE_SECONDS: Final = 4.0
"""How long a connection is kept unused: less than uvicorn keeps one, so that no request meets its end."""
PIECE_BYTES: Final = 65_536
SocketOption = tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]


class StreamingTransport(httpx.AsyncHTTPTransport):
    """A transport without an upper bound of connections: whoever uses it says how many answers run at once.

    Asks the named host itself, whatever proxies the environment names.
    """

    def __init__(self) -> None:
        super().__init__(trust_env=False)
        # httpx offers no other place for the connections below its own mapping of errors.
        self._pool = _Connections()  # type: ignore[assignment]


class _Connections:
    """Idle connections by origin, the last used first: one look finds one."""

    def __init__(self) -> None:
        self._idle: defaultdict[bytes, deque[httpcore.AsyncHTTPConnection]] = defaultdict(deque)
        self._network = _LoopNetwork()
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        connection = await self._connection_to(request.url.origin)
        try:
            response = await connection.handle_async_request(request)
        except BaseException:
            await connection.aclose()
            raise
        assert isinstance(response.stream, AsyncIterable)
        return httpcore.Response(
            response.status,
            headers=response.headers,
            content=_Body(response.stream, partial(self._take_back, request.url.origin, connection)),
            extensions=response.extensions,
        )

    async def __aenter__(self) -> "_Connections":
        return self

    async def __aexit__(self, *_raised: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is idle; what streams is closed by whoever reads it."""
        for connections in self._idle.values():
            while connections:
                await connections.pop().aclose()

    async def _connection_to(self, origin: httpcore.Origin) -> httpcore.AsyncHTTPConnection:
        idle = self._idle[_name_of(origin)]
        while idle:
            connection = idle.pop()
            if connection.is_available() and not connection.has_expired():
                return connection
            await connection.aclose()
        if origin.scheme == b"https" and self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return httpcore.AsyncHTTPConnection(
            origin, ssl_context=self._tls, keepalive_expiry=IDLE_SECONDS, network_backend=self._network
        )

    async def _take_back(self, origin: httpcore.Origin, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_idle():
            self._idle[_name_of(origin)].append(connection)
        else:
            await connection.aclose()


class _Body:
    """A response's pieces; closing it gives the connection back, or ends it where the response was not read whole."""

    def __init__(self, pieces: AsyncIterable[bytes], give_back: Callable[[], Awaitable[None]]) -> None:
        self._pieces = pieces
        self._give_back = give_back
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._pieces)

    async def aclose(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._pieces.aclose()  # type: ignore[attr-defined]
        await self._give_back()


class _LoopNetwork(httpcore.AsyncNetworkBackend):
    """Connections of asyncio's own streams."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        async with _failing_as(httpcore.ConnectTimeout, httpcore.ConnectError, timeout):
            reader, writer = await asyncio.open_connection(host, port, limit=PIECE_BYTES)
        return _LoopStream(reader, writer)


class _LoopStream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        async with _failing_as(httpcore.ReadTimeout, httpcore.ReadError, timeout):
            return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        async with _failing_as(httpcore.WriteTimeout, httpcore.WriteError, timeout):
            self._writer.write(buffer)
            await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()
        # The other end may have gone first; then there is nothing left to close.
        with suppress(OSError):
            await self._writer.wait_closed()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with _failing_as(httpcore.ConnectTimeout, httpcore.ConnectError, timeout):
                await self._writer.start_tls(ssl_context, server_hostname=server_hostname)
        except BaseException:
            self._writer.close()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            # Asked of idle connections: whatever can be read there is their end.
            return self._reader.at_eof()
        return self._writer.get_extra_info({"server_addr": "peername", "client_addr": "sockname"}.get(info, info))


@asynccontextmanager
async def _failing_as(
    timed_out: type[Exception],
    failed: type[Exception],
    seconds: float | None,
) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise timed_out(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error


def _name_of(origin: httpcore.Origin) -> bytes:
    return b"%b://%b:%d" % (origin.scheme, origin.host, origin.port)
