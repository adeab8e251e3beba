"""The Teams door: the one process that Microsoft's servers reach, in the DMZ. It checks, leaves a message, says 200.

It waits for nothing but Redis: no database, no service of the bank, no answer. What a message comes to is told by the
worker inside the bank (`bot/gateway/teams`), which posts to Teams by itself.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.teams_door.activity import FETCH_TASK, Activity, activity_of, check_tenant, message_of, reaction_of
from bot.teams_door.dialogs import dialog
from bot.teams_door.errors import InboxUnavailable, Refused
from bot.teams_door.inbox import InboxDoor
from bot.teams_door.message import TeamsMessage
from bot.teams_door.service_urls import check_service_host
from bot.teams_door.settings import TeamsDoorSettings, load_settings
from bot.teams_door.signing_keys import FETCH_TIMEOUT_SECONDS, SigningKeys
from bot.teams_door.tokens import TokenCheck, check_service_url
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind

MAXIMUM_BODY_BYTES: Final = 256 * 1024
BODY_TIMEOUT_SECONDS: Final = 5.0
RETRY_AFTER_SECONDS: Final = 5
_log = get_logger("teams_door.app")


class TeamsDoor:
    """Judges one request at a time. `https_only` is for everything but a developer's machine."""

    def __init__(self, settings: TeamsDoorSettings, tokens: TokenCheck, inbox: InboxDoor) -> None:
        self._settings = settings
        self._tokens = tokens
        self._inbox = inbox
        self._https_only = settings.environment == "production"

    async def take(self, authorization: str, body: bytes) -> dict[str, Any]:
        """What to answer a request that may come in; its message has been left. Raises `Refused`."""
        claims = None
        if not self._settings.teams_allow_unauthenticated:
            claims = await self._tokens.claims_of(authorization)
        activity = activity_of(body)
        if claims is not None:
            check_service_url(claims, activity.service_url)
        check_service_host(activity.service_url, self._settings.service_hosts, https_only=self._https_only)
        check_tenant(activity, self._settings.tenants)
        message = message_of(activity)
        if message is not None:
            await self._leave(message)
        return _answer_to(activity)

    async def _leave(self, message: TeamsMessage) -> None:
        try:
            taken = await self._inbox.put(message)
        except InboxUnavailable as error:
            _log.error("inbox_unavailable", kind=str(error))
            raise Refused("inbox_unavailable", 503, RETRY_AFTER_SECONDS) from None
        if taken == "full":
            raise Refused("inbox_full", 503, RETRY_AFTER_SECONDS)
        _log.info("message_taken", kind=message.kind, taken=taken, characters=len(message.text))


def create_app(settings: TeamsDoorSettings, http: httpx.AsyncClient | None = None) -> Starlette:
    """The door as an ASGI app: `POST /api/messages`, two health routes, and nothing else."""
    client = http or httpx.AsyncClient(
        timeout=FETCH_TIMEOUT_SECONDS, trust_env=False, proxy=settings.teams_proxy or None, follow_redirects=False
    )
    keys = SigningKeys(settings.teams_keys_url, client)
    inbox = InboxDoor(
        settings.teams_redis_url.get_secret_value(), settings.teams_inbox_public_key, settings.teams_inbox_messages
    )
    door = TeamsDoor(settings, TokenCheck(keys, settings.teams_app_id, settings.teams_token_issuer), inbox)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await keys.warm()
        fresh = asyncio.create_task(keys.keep_fresh())
        yield
        fresh.cancel()
        with suppress(asyncio.CancelledError):
            await fresh
        await inbox.close()
        await client.aclose()

    async def messages(request: Request) -> Response:
        try:
            body = await _body_of(request)
            return JSONResponse(await door.take(request.headers.get("authorization", ""), body))
        except Refused as refused:
            _log.warning("request_refused", code=refused.code, status=refused.status)
            return _refusal(refused)

    async def live(_request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(_request: Request) -> Response:
        parts = {"signing_keys": keys.are_known, "inbox": await inbox.is_reachable()}
        is_ready = all(parts.values())
        return JSONResponse({"ready": is_ready, "parts": parts}, status_code=200 if is_ready else 503)

    routes = [
        Route("/api/messages", messages, methods=["POST"]),
        Route("/health/live", live),
        Route("/health/ready", ready),
    ]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={Exception: _broken})


def main() -> None:
    """Serve until told to stop; a door that is not enabled does not open."""
    settings = load_settings()
    configure_logging("teams_door", settings.log_level)
    leave_no_text_behind()
    if not settings.teams_enabled:
        raise SystemExit("the Teams door is closed: set HAECHI_TEAMS_ENABLED, see docs/teams.md")
    uvicorn.run(
        create_app(settings),
        host=settings.teams_door_host,
        port=settings.teams_door_port,
        access_log=False,
        log_config=None,
        server_header=False,
        h11_max_incomplete_event_size=16 * 1024,
    )


async def _body_of(request: Request) -> bytes:
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAXIMUM_BODY_BYTES:
        raise Refused("body_too_large", 413)
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAXIMUM_BODY_BYTES:
                    raise Refused("body_too_large", 413)
    except TimeoutError:
        raise Refused("body_too_slow", 408) from None
    except ClientDisconnect:
        raise Refused("body_cut_off", 400) from None
    return bytes(body)


def _answer_to(activity: Activity) -> dict[str, Any]:
    if activity.type == "invoke" and activity.name == FETCH_TASK:
        return dialog(reaction_of(activity), activity.language or "ko")
    return {}


def _refusal(refused: Refused) -> Response:
    headers: dict[str, str] = {"WWW-Authenticate": "Bearer"} if refused.status == 401 else {}
    if refused.retry_after_seconds:
        headers["Retry-After"] = str(refused.retry_after_seconds)
    return JSONResponse({"error": {"code": refused.code}}, status_code=refused.status, headers=headers)


async def _broken(_request: Request, error: Exception) -> Response:
    _log.error("request_failed", kind=type(error).__name__)
    return _refusal(Refused("internal_error", 500))


if __name__ == "__main__":
    main()
