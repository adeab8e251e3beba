"""The answering service as an HTTP application, and the command that serves it: `python -m llm_service.app`.

Knows which routes there are and in what order things start and stop; what the parts are is `wiring.py`'s knowledge.
"""

import gc
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import uvicorn
from fastapi import FastAPI

from llm_service import wiring
from llm_service.answering.parts import Parts
from llm_service.api import (
    adapters,
    datasets,
    documents,
    evaluations,
    events,
    examples,
    feedback,
    handoffs,
    health,
    operations,
    privacy,
    review,
    revisions,
    search,
    training,
    turns,
)
from llm_service.api.authentication import ServiceTokenRequired
from llm_service.api.errors import install_error_handlers
from llm_service.api.limits import BodyLimit
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind
from llm_service.settings import Settings, load_settings

ROUTERS: Final = (
    turns.router,
    events.router,
    feedback.router,
    handoffs.router,
    documents.router,
    revisions.router,
    search.router,
    privacy.router,
    review.router,
    examples.router,
    datasets.router,
    training.router,
    evaluations.router,
    adapters.router,
    operations.router,
    health.router,
)
SWITCH_SECONDS: Final = 0.001
"""How long a thread that computes keeps the event loop waiting: Python's 5 ms would add up over an answer."""
FORM_BYTES: Final = 16_384
"""What the multipart form may add to a document: boundaries, headers, path and audience."""
MAXIMUM_CURATED_BYTES: Final = 524_288
LOG = get_logger(__name__)
OpenParts = Callable[[], AbstractAsyncContextManager[Parts]]


def create_app(settings: Settings, open_parts: OpenParts) -> FastAPI:
    """The application. Its parts are opened when it starts and closed when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as opened:
            try:
                app.state.parts = await opened.enter_async_context(open_parts())
            except Exception:
                # The server's own line is a finished text, so it is not shown; ours says class, code and place.
                LOG.exception("start_failed")
                raise
            yield

    app = FastAPI(
        title="haechi llm_service",
        lifespan=lifespan,
        # Neither pages that load scripts from elsewhere nor traces that could carry bodies.
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
        redirect_slashes=False,
    )
    install_error_handlers(app)
    app.add_middleware(
        BodyLimit,
        default=settings.maximum_body_bytes,
        limits={
            "/v1/documents": settings.maximum_document_bytes + FORM_BYTES,
            "/v1/examples/preview": MAXIMUM_CURATED_BYTES + FORM_BYTES,
            "/v1/examples/import": 2 * MAXIMUM_CURATED_BYTES,
        },
    )
    # Added last, so it is asked first: without the token nothing of a request is read.
    app.add_middleware(ServiceTokenRequired, token=wiring.service_token(settings))
    for router in ROUTERS:
        app.include_router(router)
    return app


@asynccontextmanager
async def _open_for_good(settings: Settings) -> AsyncIterator[Parts]:
    """The parts of a process that serves until it ends: what they are made of is not looked at for garbage again.

    A full collection would walk a million objects while every stream waits.
    """
    async with wiring.open_parts(settings) as parts:
        gc.collect()
        gc.freeze()
        yield parts


def main() -> None:
    """Serve until told to stop; running answers may finish first."""
    settings = load_settings()
    configure_logging("llm_service", settings.log_level)
    leave_no_text_behind()
    sys.setswitchinterval(SWITCH_SECONDS)
    uvicorn.run(
        create_app(settings, partial(_open_for_good, settings)),
        host=settings.llm_service_host,
        port=settings.llm_service_port,
        workers=1,
        loop="uvloop",
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(settings.shutdown_grace_seconds)),
    )


if __name__ == "__main__":
    main()
