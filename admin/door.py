"""What happens to every request before anything reads it: a request id, a body limit, a fresh nonce, strict headers.

Pure ASGI, so that streams pass through untouched. Knows no route beyond the upload's own limit.
"""

import asyncio
import secrets
from collections.abc import Mapping, MutableMapping
from typing import Any, Final
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NONCE_BYTES: Final = 18
BODY_TIMEOUT_SECONDS: Final = 60.0
STRICT_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
TRANSPORT_SECURITY: Final = "max-age=31536000; includeSubDomains"


def content_policy(nonce: str) -> str:
    """Scripts by this response's nonce only, no inline style, nothing from elsewhere; only htmx may write HTML."""
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}' 'strict-dynamic'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types htmx",
        )
    )


class Door:
    """Wraps the app. A body over its limit, or one that trickles in, is refused before it is parsed.

    `limits` holds the limits of single paths; the nonce stands in the request's state for the templates.
    """

    def __init__(
        self,
        app: ASGIApp,
        maximum_body_bytes: int,
        limits: Mapping[str, int],
        *,
        is_behind_tls: bool,
        body_timeout_seconds: float = BODY_TIMEOUT_SECONDS,
    ) -> None:
        self._app = app
        self._maximum_body_bytes = maximum_body_bytes
        self._limits = limits
        self._is_behind_tls = is_behind_tls
        self._body_timeout_seconds = body_timeout_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=uuid4().hex)
        nonce = secrets.token_urlsafe(NONCE_BYTES)
        scope.setdefault("state", {})["nonce"] = nonce
        strict_send = self._with_headers(send, nonce, is_asset=scope["path"].startswith("/static/"))
        body = await self._body(scope, receive)
        if isinstance(body, PlainTextResponse):
            await body(scope, receive, strict_send)
        else:
            await self._app(scope, _replay(body, receive), strict_send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | PlainTextResponse:
        limit = self._limits.get(scope["path"], self._maximum_body_bytes)
        declared = Headers(scope=scope).get("content-length", "0")
        too_large = PlainTextResponse("요청이 너무 큽니다. The request is too large.", 413)
        if not declared.isdecimal() or int(declared) > limit:
            return too_large
        body = bytearray()
        try:
            async with asyncio.timeout(self._body_timeout_seconds):
                while (message := await receive())["type"] == "http.request":
                    body += message.get("body", b"")
                    if len(body) > limit:
                        return too_large
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            return PlainTextResponse("요청이 너무 느립니다. The request came too slowly.", 408)
        return bytes(body)

    def _with_headers(self, send: Send, nonce: str, *, is_asset: bool) -> Send:
        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(STRICT_HEADERS)
                headers["Content-Security-Policy"] = content_policy(nonce)
                if self._is_behind_tls:
                    headers["Strict-Transport-Security"] = TRANSPORT_SECURITY
                if not is_asset:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        return send_with_headers


def _replay(body: bytes, receive: Receive) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
