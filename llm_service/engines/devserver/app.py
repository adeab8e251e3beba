"""The development server as an HTTP application: TGI's routes and vLLM's over one writer.

A stand-in, and it says so in `/info`, in `/v1/models` and at its start.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from llm_service.engines.devserver import openai_routes, tgi_routes
from llm_service.engines.devserver.orders import Writer
from llm_service.engines.devserver.serving import Serving
from llm_service.errors import HaechiError


def create_app(writer: Writer, is_silent_base: bool = False) -> FastAPI:
    """Routes over a writer, which is closed with the application."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        writer.close()

    app = FastAPI(
        title="haechi devserver",
        lifespan=lifespan,
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
    )
    app.state.serving = Serving(writer, is_silent_base)
    app.include_router(tgi_routes.router)
    app.include_router(openai_routes.router)
    app.add_exception_handler(HaechiError, _failed)
    app.add_exception_handler(RequestValidationError, _refused)
    return app


async def _failed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HaechiError)
    if request.url.path.startswith("/v1"):
        return await openai_routes.error_reply(request, error)
    return tgi_routes.error_reply(error)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    """Which fields were wrong and how; never what stood in them."""
    assert isinstance(error, RequestValidationError)
    told = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['type']}" for fault in error.errors())
    if request.url.path.startswith("/v1"):
        return JSONResponse({"error": {"message": told, "type": "BadRequestError", "param": None, "code": 400}}, 400)
    return JSONResponse({"error": f"Input validation error: {told}", "error_type": "validation"}, 422)
