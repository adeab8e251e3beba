"""The HTTP side of the Slack process: a guard before Bolt for requests that are not Slack's, and health.

Slack signs every request (docs.slack.dev, verifying requests from Slack): HMAC-SHA256 over version, timestamp and body,
at most five minutes old. Bolt reads the timestamp unguarded and would answer 500; here it is 401.
"""

import hashlib
import hmac
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from slack_bolt.adapter.starlette.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from llm_service.logs import get_logger

MAXIMUM_AGE_SECONDS: Final = 300
MAXIMUM_BODY_BYTES: Final = 1024 * 1024
MAXIMUM_TIMESTAMP_DIGITS: Final = 12
SIGNATURE_VERSION: Final = "v0"
_log = get_logger("gateway.slack.http")


class Served(Protocol):
    """What answers behind the guard."""

    @property
    def bolt(self) -> AsyncApp | None: ...

    @property
    def is_connected(self) -> bool: ...


def slack_http(
    served: Served,
    signing_secret: str,
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[None]],
    clock: Callable[[], float] = time.time,
) -> Starlette:
    """Routes of the process; without a signing secret Slack's requests have none."""

    async def events(request: Request) -> Response:
        body = await _body(request)
        if body is None or not is_signed(signing_secret, dict(request.headers), body, clock()):
            _log.warning("slack_request_refused", body_bytes=len(body) if body is not None else MAXIMUM_BODY_BYTES)
            return Response(status_code=401)
        if served.bolt is None:
            return Response(status_code=503)
        return await AsyncSlackRequestHandler(served.bolt).handle(request)

    async def live(_request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        return JSONResponse({"ready": served.is_connected}, status_code=200 if served.is_connected else 503)

    routes = [Route("/health/live", live), Route("/health/ready", ready)]
    if signing_secret:
        routes.append(Route("/slack/events", events, methods=["POST"]))
    return Starlette(routes=routes, lifespan=lifespan)


def is_signed(secret: str, headers: dict[str, str], body: bytes, now: float) -> bool:
    """Whether Slack signed this body within the last five minutes. Never raises, whatever the headers hold."""
    timestamp, signature = headers.get("x-slack-request-timestamp", ""), headers.get("x-slack-signature", "")
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= MAXIMUM_TIMESTAMP_DIGITS):
        return False
    if abs(now - int(timestamp)) > MAXIMUM_AGE_SECONDS or not signature.isascii():
        return False
    signed = f"{SIGNATURE_VERSION}:{timestamp}:".encode() + body
    expected = f"{SIGNATURE_VERSION}={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
    return hmac.compare_digest(expected, signature)


async def _body(request: Request) -> bytes | None:
    """The body, kept for Bolt to read again; None if it is too large or no text."""
    declared: Any = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAXIMUM_BODY_BYTES:
        return None
    body = await request.body()
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return body if len(body) <= MAXIMUM_BODY_BYTES else None
