"""Lets nobody in without the service token, whatever the route: a new route is closed until it is named here."""

import hmac
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from llm_service.api.errors import error_response

# Probes carry no secrets, metrics are counts without text; a Prometheus that held the token could ask questions.
OPEN_PATHS: Final = frozenset({"/health/live", "/health/ready", "/metrics"})
SCHEME: Final = b"bearer "
# RFC 6455, section 7.4.1.
POLICY_VIOLATION: Final = 1008


class ServiceTokenRequired:
    """Pure ASGI, so that a refused request is answered before its body is read. Comparison takes constant time."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in OPEN_PATHS or self._presented(scope):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
            return
        refusal = error_response(401, "service_token_invalid", headers={"WWW-Authenticate": "Bearer"})
        await refusal(scope, receive, send)

    def _presented(self, scope: Scope) -> bool:
        presented = Headers(scope=scope).get("authorization", "").encode("latin-1")
        if presented[: len(SCHEME)].lower() != SCHEME:
            return False
        return hmac.compare_digest(presented[len(SCHEME) :], self._token)
