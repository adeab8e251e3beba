"""Builds the gateway from its settings and starts it. The only place of this package that chooses parts."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from bot.gateway import assets, handoff_web, health, web
from bot.gateway.conversation_queue import RETRY_AFTER_SECONDS, ConversationQueue
from bot.gateway.door import Door
from bot.gateway.errors import Declined
from bot.gateway.fallback import FallbackRouter
from bot.gateway.handoff import Handoffs
from bot.gateway.limits import Limits
from bot.gateway.metrics import Metrics
from bot.gateway.rasa import RasaClient
from bot.gateway.rate_limit import InProcessRateLimit, RateLimit, RedisRateLimit
from bot.gateway.routing import Router
from bot.gateway.sessions import Sessions
from bot.gateway.settings import GatewaySettings, load_settings
from bot.gateway.signed_tokens import SignedTokens
from bot.gateway.texts import error_body
from bot.gateway.times import spoken_waits
from bot.gateway.turn import ChatTurns
from llm_service.client import LlmServiceClient, ServiceError
from llm_service.handoff_client import PersonHandoffs
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind

CODE_BY_STATUS = {404: "route_not_found", 405: "method_not_allowed", 413: "body_too_large"}
_log = get_logger("gateway.app")


def create_app(settings: GatewaySettings, to_llm_service: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The gateway as an ASGI app. `to_llm_service` stands where the network would be, for services in one process."""
    token = settings.service_token.get_secret_value()
    llm_service = LlmServiceClient(settings.llm_service_url, token, to_llm_service)
    rasa = RasaClient(settings.rasa_url, settings.rasa_token.get_secret_value())
    metrics, sessions = Metrics(), _sessions(settings)
    limits = Limits(_rate_limit(settings, metrics), settings, sessions.pseudonym, metrics)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await llm_service.close()
        await rasa.close()
        await limits.close()

    # FastAPI's own telemetry would record validation failures, which quote what was sent; ours is `Metrics`.
    app = FastAPI(
        title="Haechi gateway",
        lifespan=lifespan,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    router = Router(rasa, FallbackRouter(), lambda reason: metrics.rasa_fallbacks.labels(reason).inc())
    people = PersonHandoffs(llm_service)
    handoffs = Handoffs(people, staff={})
    queue = ConversationQueue(settings.waiting_questions_per_conversation)
    turns = ChatTurns(llm_service, router, queue, metrics, handoffs)
    app.state.web = web.WebParts(settings, sessions, limits, turns, router, llm_service)
    app.state.health = health.HealthParts(health.Readiness(llm_service, rasa), metrics.registry)
    app.state.people_handoffs, app.state.handoffs = people, handoffs
    app.include_router(web.router)
    app.include_router(handoff_web.router)
    app.include_router(health.router)
    _serve_page(app, with_demonstration=settings.environment == "embedded")
    _speak_errors(app, metrics, settings.maximum_question_characters)
    _admit_origins(app, settings.widget_origins)
    app.add_middleware(
        Door,
        maximum_body_bytes=settings.maximum_body_bytes,
        count_declined=lambda code: metrics.declined.labels(code).inc(),
    )
    return app


def main() -> None:
    """Run the gateway until it is told to stop."""
    settings = load_settings()
    configure_logging("gateway", settings.log_level)
    leave_no_text_behind()
    uvicorn.run(
        create_app(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
    )


def _rate_limit(settings: GatewaySettings, metrics: Metrics) -> RateLimit:
    if url := settings.redis_url.get_secret_value():
        return RedisRateLimit(url, on_alone=metrics.limited_alone.inc)
    return InProcessRateLimit()


def _sessions(settings: GatewaySettings) -> Sessions:
    secret = settings.session_secret.get_secret_value()
    if not secret:
        secret = secrets.token_urlsafe(48)
        _log.warning("session_secret_made_up", consequence="a restart ends every guest session")
    signed_tokens = SignedTokens(settings.widget_token_key.get_secret_value(), settings.widget_token_algorithm)
    return Sessions(secret, settings.service_token.get_secret_value(), settings.session_seconds, signed_tokens)


def _serve_page(app: FastAPI, with_demonstration: bool) -> None:
    assets.check_assets()

    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(assets.DIRECTORY / "index.html")

    if with_demonstration:

        @app.get("/demo", include_in_schema=False)
        async def demonstration() -> FileResponse:
            return FileResponse(assets.DIRECTORY / "demo.html")

    app.mount("/widget", StaticFiles(directory=assets.DIRECTORY), name="widget")


def _admit_origins(app: FastAPI, listed: str) -> None:
    """Pages of the listed origins may call, with a token in the header; cookies mean nothing here (Fetch, "CORS")."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in listed.split(",") if origin.strip()],
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", "Last-Event-ID"],
        expose_headers=["Retry-After", "X-Request-Id"],
    )


def _speak_errors(app: FastAPI, metrics: Metrics, maximum_question_characters: int) -> None:
    """Every failure becomes {"error": {"code", "message", "message_ko"}}; none quotes what was sent."""

    def respond(code: str, status: int, retry_after_seconds: int | None = None) -> JSONResponse:
        metrics.declined.labels(code).inc()
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        if retry_after_seconds:
            headers["Retry-After"] = str(retry_after_seconds)
        body = error_body(code, maximum_question_characters, spoken_waits(retry_after_seconds))
        return JSONResponse({"error": body}, status_code=status, headers=headers)

    @app.exception_handler(Declined)
    async def declined(_request: Request, error: Declined) -> JSONResponse:
        return respond(error.code, error.status, error.retry_after_seconds)

    @app.exception_handler(ServiceError)
    async def service_failed(_request: Request, error: ServiceError) -> JSONResponse:
        _log.warning("llm_service_refused", code=error.code, status=error.status)
        # 401 would tell the person to sign in, but it is our own service token that was refused.
        return respond(
            error.code,
            502 if error.status == 401 else error.status,
            RETRY_AFTER_SECONDS if error.status in (429, 503) else None,
        )

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        malformed = any(problem["type"] == "json_invalid" for problem in error.errors())
        return respond("malformed_body", 400) if malformed else respond("invalid_request", 422)

    @app.exception_handler(HTTPException)
    async def refused(_request: Request, error: HTTPException) -> JSONResponse:
        fallback_code = "malformed_body" if error.status_code == 400 else "invalid_request"
        return respond(CODE_BY_STATUS.get(error.status_code, fallback_code), error.status_code)

    @app.exception_handler(Exception)
    async def broken(_request: Request, _error: Exception) -> JSONResponse:
        return respond("internal_error", 500)


if __name__ == "__main__":
    main()
