"""What happens to every request before anything reads it: a request id, a body limit, strict headers for browsers.

Pure ASGI, so that streams pass through untouched. Knows no route beyond the page's own paths.
"""

import asyncio
import json
import re
from collections.abc import Callable, MutableMapping
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bot.gateway.errors import Declined
from bot.gateway.texts import error_body

BODY_TIMEOUT_SECONDS: Final = 10.0
# Of callers' ids only random ones are taken over: anything else could be a telephone number, and would be logged.
REQUEST_ID: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

PAGE_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types lit-html",
    )
)
STRICT_HEADERS: Final = {
    "Content-Security-Policy": PAGE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Door:
    """Wraps the app. A body over `maximum_body_bytes` or one that trickles in is refused before it is parsed."""

    def __init__(
        self,
        app: ASGIApp,
        maximum_body_bytes: int,
        count_declined: Callable[[str], None],
        body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
    ) -> None:
        self._app = app
        self._maximum_body_bytes = maximum_body_bytes
        self._count_declined = count_declined
        self._body_timeout_seconds = body_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request_id)
        strict_send = _with_headers(send, scope["path"], request_id)
        try:
            body = await self._read_body(scope, receive)
        except Declined as declined:
            self._count_declined(declined.code)
            await _refuse(strict_send, declined)
            return
        await self._app(scope, _replay(body, receive), strict_send)

    async def _read_body(self, scope: Scope, receive: Receive) -> bytes:
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdecimal() or int(declared) > self._maximum_body_bytes:
            raise Declined("body_too_large", 413)
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout_seconds):
                while (message := await receive())["type"] == "http.request":
                    body += message.get("body", b"")
                    if len(body) > self._maximum_body_bytes:
                        raise Declined("body_too_large", 413)
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            raise Declined("body_too_slow", 408) from None
        return bytes(body)


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else uuid4().hex


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


def _with_headers(send: Send, path: str, request_id: str) -> Send:
    async def send_with_headers(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.update({**STRICT_HEADERS, "X-Request-Id": request_id})
            # The page and its assets are revalidated by ETag; everything else is somebody's conversation.
            asset = path in ("/", "/demo") or path.startswith("/widget/")
            headers["Cache-Control"] = "no-cache" if asset else "no-store"
        await send(message)

    return send_with_headers


async def _refuse(send: Send, declined: Declined) -> None:
    content = json.dumps({"error": error_body(declined.code)}, ensure_ascii=False).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": declined.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
