"""Builds the console from its settings and starts it: `python -m admin.app`. The only place that chooses its parts.

The console keeps its own accounts and logins; everything else it asks of llm_service, naming who acts.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from admin import assets
from admin.access import person_of
from admin.door import Door
from admin.errors import Declined, LoginRequired, StageMissing
from admin.logins import Logins
from admin.oidc import Provider
from admin.pages import curated
from admin.pages.login import STAGE_PATHS, to_login
from admin.pages.table import ROUTERS
from admin.parts import Parts
from admin.rendering import back, check_policies, environment, error_page
from admin.settings import ConsoleSettings, load_settings
from llm_service.client import LlmServiceClient, Locale, ServiceError
from llm_service.errors import Conflict, HaechiError, InvalidInput, NotFound
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions

UPLOAD_PATH: Final = "/documents"
FORM_BYTES: Final = 16_384
CODE_BY_STATUS: Final = {404: "page_not_found", 405: "page_not_found"}
LOG = get_logger(__name__)


def create_app(settings: ConsoleSettings, to_llm_service: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """The console as an ASGI app. `to_llm_service` stands where the network would be, for services in one process.

    Raises `Misconfigured` for changed assets, and for routes that the table of roles does not name.
    """
    served_assets = assets.checked_assets()
    database = open_database(settings.resolved_database_url)
    transactions = Transactions(database)
    llm_service = LlmServiceClient(settings.llm_service_url, settings.service_token.get_secret_value(), to_llm_service)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await llm_service.close()
        database.dispose()

    # FastAPI's own telemetry would record validation failures, which quote what was sent.
    app = FastAPI(
        title="Haechi console",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    app.state.parts = Parts(
        settings=settings,
        transactions=transactions,
        llm_service=llm_service,
        logins=Logins(transactions, settings),
        provider=Provider(settings, transactions) if settings.oidc_issuer else None,
        templates=environment(),
        assets=served_assets,
    )
    for router in ROUTERS:
        app.include_router(router)
    check_policies(named_routes())
    app.mount("/static", assets.Assets(directory=assets.DIRECTORY), name="static")
    _speak_errors(app)
    app.add_middleware(
        Door,
        maximum_body_bytes=settings.console_maximum_body_bytes,
        limits={
            UPLOAD_PATH: settings.maximum_document_bytes + FORM_BYTES,
            "/curated/preview": curated.MAXIMUM_FILE_BYTES + FORM_BYTES,
            "/curated/import": 2 * curated.MAXIMUM_FILE_BYTES + FORM_BYTES,
        },
        is_behind_tls=settings.is_behind_tls,
    )
    return app


def named_routes() -> dict[str, str]:
    """The path of every route by its name."""
    return {route.name: route.path for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)}


def main() -> None:
    """Serve until told to stop."""
    settings = load_settings()
    configure_logging("console", settings.log_level)
    leave_no_text_behind()
    uvicorn.run(
        create_app(settings),
        host=settings.console_host,
        port=settings.console_port,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
    )


def _speak_errors(app: FastAPI) -> None:
    """Every failure becomes a page that says what to do; none quotes what was sent."""

    @app.exception_handler(LoginRequired)
    async def login_required(request: Request, error: LoginRequired) -> Response:
        return to_login(error.where)

    @app.exception_handler(StageMissing)
    async def stage_missing(_request: Request, error: StageMissing) -> Response:
        return back(STAGE_PATHS[error.stage])

    @app.exception_handler(Declined)
    async def declined(request: Request, error: Declined) -> Response:
        return error_page(request, error.code, error.status, await person_of(request))

    @app.exception_handler(ServiceError)
    async def service_failed(request: Request, error: ServiceError) -> Response:
        LOG.warning("llm_service_refused", code=error.code, status=error.status)
        # 401 would tell the person to log in, but it is our own service token that was refused.
        status = 502 if error.status == 401 else error.status
        told: dict[Locale, str] = {"ko": error.message_ko, "en": error.message}
        return error_page(request, error.code, status, await person_of(request), told)

    @app.exception_handler(HaechiError)
    async def domain_error(request: Request, error: HaechiError) -> Response:
        statuses: dict[type[HaechiError], int] = {NotFound: 404, Conflict: 409, InvalidInput: 422}
        return error_page(request, error.code, statuses.get(type(error), 503), await person_of(request))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, _error: RequestValidationError) -> Response:
        return error_page(request, "invalid_request", 422, await person_of(request))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        code = CODE_BY_STATUS.get(error.status_code, "invalid_request")
        return error_page(request, code, error.status_code, await person_of(request))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        LOG.error("request ended by a fault", exc_info=error)
        return error_page(request, "internal_error", 500)


if __name__ == "__main__":
    main()
