"""HTTP/1.1 connections for many streams at once: httpx's requests and responses over asyncio, read by llhttp.

httpx's own pool looks at every connection at the begin and end of every request, and its parser is Python: with
hundreds of answers streaming that is most of a core. Knows no route and no service.
"""

import asyncio
import ssl
from collections import defaultdict, deque
from collections.abc import AsyncIterable, Callable
from typing import Final, cast

import httptools
import httpx

IDLE_SECONDS: Final = 4.0
"""How long a connection is kept unused: less than uvicorn keeps one, so that no request meets its end."""
MAXIMUM_HELD_BYTES: Final = 262_144
"""What a response may be ahead of its reader before the sender is made to wait."""
WORTH_WAKING: Final = "worth_waking"
"""Extension of a request: asked of each piece of the body, says whether a reader who waits is to be woken for it.

What was not worth it is handed over with the next piece that is; the end, a failure and a full store always wake. For
readers who set no time-out of reading: it would run from one waking to the next.
"""
NO_BODY: Final = frozenset({204, 304})
_Timeouts = dict[str, float | None]


class StreamingTransport(httpx.AsyncBaseTransport):
    """A transport without an upper bound of connections: whoever uses it says how many answers run at once.

    Asks the named host itself, whatever proxies the environment names. Raises httpx's errors. Used without a client it
    hands out what was sent as it is: nobody follows redirects, keeps cookies or unpacks.
    """

    def __init__(self) -> None:
        self._idle: defaultdict[tuple[bytes, bytes, int], deque[_Connection]] = defaultdict(deque)
        self._tls: ssl.SSLContext | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeouts: _Timeouts = request.extensions.get("timeout", {})
        connection = self._idle_connection_to(request.url) or await self._connect(request, timeouts.get("connect"))
        try:
            await connection.send(request, timeouts.get("write"))
            await connection.head(timeouts.get("read"))
        except BaseException as error:
            connection.close()
            if isinstance(error, httpx.RequestError):
                error.request = request
            raise
        return httpx.Response(connection.status, headers=connection.headers, stream=_Body(connection, self, request))

    async def aclose(self) -> None:
        """Close what is idle; what streams is closed by whoever reads it."""
        for connections in self._idle.values():
            while connections:
                connections.pop().close()

    def take_back(self, connection: "_Connection", url: httpx.URL) -> None:
        """Keep a connection whose response was read whole for the next request; end any other."""
        if not connection.is_reusable:
            connection.close()
            return
        connection.rest()
        self._idle[_origin(url)].append(connection)

    def _idle_connection_to(self, url: httpx.URL) -> "_Connection | None":
        """The one used last: one look finds it, and the others may expire."""
        idle = self._idle[_origin(url)]
        while idle:
            connection = idle.pop()
            if not connection.is_closed and asyncio.get_running_loop().time() < connection.idle_until:
                return connection
            connection.close()
        return None

    async def _connect(self, request: httpx.Request, seconds: float | None) -> "_Connection":
        scheme, host, port = _origin(request.url)
        tls = self._context() if scheme == b"https" else None
        try:
            async with asyncio.timeout(seconds):
                _transport, connection = await asyncio.get_running_loop().create_connection(
                    _Connection, host.decode("ascii"), port, ssl=tls
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time", request=request) from error
        except OSError as error:
            raise httpx.ConnectError("no connection", request=request) from error
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = httpx.create_ssl_context(trust_env=False)
        return self._tls


class _Body(httpx.AsyncByteStream):
    """A response's pieces; closing it gives the connection back, or ends it where the response was not read whole."""

    def __init__(self, connection: "_Connection", owner: StreamingTransport, request: httpx.Request) -> None:
        self._connection = connection
        self._owner = owner
        self._request = request
        self._seconds: float | None = request.extensions.get("timeout", {}).get("read")
        self._is_closed = False

    def __aiter__(self) -> "_Body":
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = self._connection.held() or await self._connection.piece(self._seconds)
        except httpx.RequestError as error:
            error.request = self._request
            raise
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._owner.take_back(self._connection, self._request.url)


class _Connection(asyncio.Protocol):
    """One connection, one request at a time; HEAD is none of them."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.is_closed = False
        self.idle_until = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._has_head = self._is_whole = self._is_length_known = False
        self._keeps_alive = False
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._failure: Exception | None = None
        self._is_worth_waking: Callable[[bytes], bool] | None = None
        self._has_news = False
        self._waiter: asyncio.Future[None] | None = None
        self._wait_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._can_write = asyncio.Event()
        self._can_write.set()

    @property
    def is_reusable(self) -> bool:
        return self._is_whole and self._keeps_alive and not self.is_closed

    async def send(self, request: httpx.Request, seconds: float | None) -> None:
        """Write a request, as fast as the other end takes it."""
        assert self._transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._pieces, self._held_bytes = [], [], 0
        self._has_head = self._is_whole = self._is_length_known = False
        self._is_worth_waking = request.extensions.get(WORTH_WAKING)
        head = _head(request)
        chunked = request.headers.get("transfer-encoding", "").lower() == "chunked"
        assert isinstance(request.stream, AsyncIterable)
        async for piece in request.stream:
            self._transport.write(head + (b"%x\r\n%b\r\n" % (len(piece), piece) if chunked and piece else piece))
            head = b""
            if self.is_closed:
                # Refused before it was sent whole: the reply may have come, and says why.
                return
            if not self._can_write.is_set():
                await self._drained(seconds)
        if rest := head + (b"0\r\n\r\n" if chunked else b""):
            self._transport.write(rest)

    async def head(self, seconds: float | None) -> None:
        """Wait for status and headers."""
        while not self._has_head:
            self._raise_failure()
            await self._wait(seconds)

    def held(self) -> bytes:
        """What has come and was not read yet."""
        pieces = self._pieces
        if not pieces:
            return b""
        held = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._held_bytes > MAXIMUM_HELD_BYTES and self._transport is not None:
            self._transport.resume_reading()
        self._held_bytes = 0
        return held

    async def piece(self, seconds: float | None) -> bytes:
        """Whatever comes next; empty at the end of the response."""
        while not self._pieces:
            if self._is_whole:
                return b""
            self._raise_failure()
            await self._wait(seconds)
        return self.held()

    def rest(self) -> None:
        """Nothing is asked until the next request."""
        self.idle_until = self._loop.time() + IDLE_SECONDS
        self._forget_timer()

    def close(self) -> None:
        self._forget_timer()
        self.is_closed = True
        if self._transport is not None:
            self._transport.close()

    async def _drained(self, seconds: float | None) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._can_write.wait()
        except TimeoutError as error:
            raise httpx.WriteTimeout("the request was not taken in time") from error
        self._raise_failure()

    async def _wait(self, seconds: float | None) -> None:
        self._waiter = self._loop.create_future()
        if seconds is not None:
            self._wait_until = self._loop.time() + seconds
            # One timer for many waits: it looks at its time when it is due, and not at every piece.
            if self._timer is None or self._wait_until < self._timer.when():
                self._forget_timer()
                self._timer = self._loop.call_at(self._wait_until, self._look)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._wait_until:
            self._waiter.set_exception(httpx.ReadTimeout("nothing came in time"))
        else:
            self._timer = self._loop.call_at(self._wait_until, self._look)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # asyncio.Protocol
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._is_whole:
            # Nothing was asked: whatever this is, it is no answer to the next request.
            self.close()
            return
        self._has_news = False
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._failure = httpx.RemoteProtocolError("the reply is not HTTP/1.1")
            self.close()
            self._has_news = True
        if self._has_news:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        self._can_write.set()
        if self._has_head and not self._is_length_known:
            self._is_whole = True
        elif not self._is_whole and self._failure is None:
            lost = exc is not None
            self._failure = httpx.ReadError("the connection broke") if lost else httpx.RemoteProtocolError("cut off")
        self._wake()

    def pause_writing(self) -> None:
        self._can_write.clear()

    def resume_writing(self) -> None:
        self._can_write.set()

    # httptools.HttpResponseParser
    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._is_length_known = True

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers = []
            return
        self._has_head = self._has_news = True
        self._is_length_known = self._is_length_known or self.status in NO_BODY

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        before, self._held_bytes = self._held_bytes, self._held_bytes + len(body)
        if before <= MAXIMUM_HELD_BYTES < self._held_bytes and self._transport is not None:
            self._transport.pause_reading()
            self._has_news = True
        if self._is_worth_waking is None or self._is_worth_waking(body):
            self._has_news = True

    def on_message_complete(self) -> None:
        self._has_news = True
        if self._has_head:
            assert self._parser is not None
            self._is_whole, self._keeps_alive = True, self._parser.should_keep_alive()


def _head(request: httpx.Request) -> bytes:
    """The request's first bytes. Raises httpx's `LocalProtocolError` for a header that would begin another line."""
    target = request.url.raw_path
    lines = [b"%b %b HTTP/1.1" % (request.method.encode("ascii"), target)]
    lines += [b"%b: %b" % header for header in request.headers.raw]
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise httpx.LocalProtocolError("a line end in a header", request=request)
    return head + b"\r\n\r\n"


def _origin(url: httpx.URL) -> tuple[bytes, bytes, int]:
    return url.raw_scheme, url.raw_host, url.port or (443 if url.raw_scheme == b"https" else 80)
