"""The one place where errors become HTTP: a status, a stable code, a sentence in two languages, and never the input."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request, status
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from llm_service.errors import HaechiError, Kind
from llm_service.logs import get_logger
from llm_service.texts import has_sentence, sentence

STATUS_OF_KIND: Final[Mapping[Kind, int]] = {
    "invalid": status.HTTP_422_UNPROCESSABLE_CONTENT,
    "forbidden": status.HTTP_403_FORBIDDEN,
    "not_found": status.HTTP_404_NOT_FOUND,
    "conflict": status.HTTP_409_CONFLICT,
    "too_large": status.HTTP_413_CONTENT_TOO_LARGE,
    "busy": status.HTTP_429_TOO_MANY_REQUESTS,
    "unavailable": status.HTTP_503_SERVICE_UNAVAILABLE,
    "misconfigured": status.HTTP_500_INTERNAL_SERVER_ERROR,
}
CODE_OF_STATUS: Final[Mapping[int, str]] = {
    status.HTTP_400_BAD_REQUEST: "malformed_body",
    status.HTTP_404_NOT_FOUND: "route_not_found",
    status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
    status.HTTP_413_CONTENT_TOO_LARGE: "body_too_large",
}
RETRY_AFTER_SECONDS: Final = "2"
LOG = get_logger(__name__)


def error_response(
    http_status: int,
    code: str,
    details: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The body of every error: {"error": {"code", "message", "message_ko", "details"?}}."""
    spoken = code if has_sentence(code) else "internal_error"
    error: dict[str, Any] = {
        "code": code,
        "message": sentence(spoken, "en"),
        "message_ko": sentence(spoken, "ko"),
    }
    if details:
        error["details"] = details
    return JSONResponse({"error": error}, http_status, headers)


def install_error_handlers(app: FastAPI) -> None:
    """Every exception that leaves a route of this application is answered by one of these handlers."""
    app.add_exception_handler(HaechiError, _domain_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _protocol_error)
    app.add_exception_handler(Exception, _fault)


async def _domain_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HaechiError)
    http_status = STATUS_OF_KIND[error.kind]
    _count(request, error.code)
    if http_status >= status.HTTP_500_INTERNAL_SERVER_ERROR:
        LOG.warning("request failed", route=_route_of(request), code=error.code, exc_info=error)
    else:
        LOG.info("request declined", route=_route_of(request), code=error.code)
    headers = {"Retry-After": RETRY_AFTER_SECONDS} if error.kind in {"unavailable", "busy"} else None
    return error_response(http_status, error.code, headers=headers)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    """Says which field is wrong in what way. FastAPI's own handler would send the input back, and so into logs."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    kinds = {str(problem["type"]) for problem in problems}
    if "json_invalid" in kinds:
        code, http_status = "malformed_body", status.HTTP_400_BAD_REQUEST
    elif "string_unicode" in kinds:
        code, http_status = "text_unreadable", status.HTTP_422_UNPROCESSABLE_CONTENT
    else:
        code, http_status = "invalid_request", status.HTTP_422_UNPROCESSABLE_CONTENT
    _count(request, code)
    LOG.info("request declined", route=_route_of(request), code=code, kinds=sorted(kinds))
    details = [{"field": _field_of(problem), "kind": str(problem["type"])} for problem in problems]
    return error_response(http_status, code, details if code == "invalid_request" else None)


async def _protocol_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = CODE_OF_STATUS.get(error.status_code, "invalid_request")
    _count(request, code)
    LOG.info("request declined", route=_route_of(request), code=code)
    return error_response(error.status_code, code, headers=error.headers)


async def _fault(request: Request, error: Exception) -> JSONResponse:
    LOG.error("request ended by a fault", route=_route_of(request), exc_info=error)
    return error_response(status.HTTP_500_INTERNAL_SERVER_ERROR, "internal_error")


def _field_of(problem: Mapping[str, Any]) -> str:
    """Where the problem is, in names of ours: what an unknown field is called was written by the caller."""
    place = problem["loc"][1:]
    known = place[:-1] if problem["type"] == "extra_forbidden" else place
    return ".".join(str(part) for part in known)


def _count(request: Request, code: str) -> None:
    request.app.state.parts.metrics.declined(code)


def _route_of(request: Request) -> str:
    """The route's pattern, not the path: a path is written by the caller."""
    route = request.scope.get("route")
    return f"{request.method} {getattr(route, 'path', '-')}"
