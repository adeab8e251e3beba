"""Every route of the application against the service token; the table is its own, so none is forgotten."""

import re
from collections.abc import AsyncIterator, Iterator, MutableMapping
from functools import cache
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from llm_service import wiring
from llm_service.api.authentication import OPEN_PATHS
from llm_service.app import ROUTERS, create_app
from llm_service.errors import Misconfigured
from llm_service.settings import Settings

TOKEN = "test-service-token-of-more-than-32-characters"


def routes() -> Iterator[tuple[str, str]]:
    """(method, path) of every route the application describes, parameters filled in."""
    for path, methods in _application().openapi()["paths"].items():
        filled = path.replace("{document_id}", "1")
        filled = re.sub(r"\{\w+\}", "0" * 32, filled)
        yield from ((method.upper(), filled) for method in methods)


@cache
def _application() -> FastAPI:
    """Never opened, so one serves every test."""
    settings = Settings(service_token=TOKEN)  # type: ignore[arg-type]
    return create_app(settings, lambda: wiring.open_parts(settings))


CLOSED = [route for route in routes() if route[1] not in OPEN_PATHS]
OPEN = [route for route in routes() if route[1] in OPEN_PATHS]


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    """The application before its parts are opened: whoever has not the token must not even need them."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(_application()), base_url="http://service") as client:
        yield client


def test_no_route_is_hidden_from_the_table() -> None:
    assert all(getattr(route, "include_in_schema", False) for router in ROUTERS for route in router.routes)
    assert len(_application().routes) == len(ROUTERS)
    assert {path for _, path in OPEN} == OPEN_PATHS == {"/health/live", "/health/ready", "/metrics"}


@pytest.mark.parametrize(("method", "path"), [*CLOSED, ("GET", "/no/such/route"), ("GET", "/openapi.json")])
@pytest.mark.parametrize(
    "authorisation",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}X",
        f"Bearer  {TOKEN}",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
async def test_whoever_has_not_the_token_is_refused(
    http: httpx.AsyncClient, method: str, path: str, authorisation: str | None
) -> None:
    headers = {} if authorisation is None else {"Authorization": authorisation}
    reply = await http.request(method, path, headers=headers, content=b"{" if method == "POST" else None)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "service_token_invalid")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


async def test_a_websocket_is_closed_to_whoever_has_not_the_token() -> None:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    await _application()({"type": "websocket", "path": "/v1/turns", "headers": []}, receive, send)
    assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_whoever_has_the_token_is_let_in_everywhere(service) -> None:
    async with httpx.AsyncClient(base_url=service.url, headers={"Authorization": f"bearer {TOKEN}"}) as http:
        statuses = {(method, path): (await http.request(method, path)).status_code for method, path in CLOSED}
    assert not {route for route, status in statuses.items() if status in (401, 403, 405) or status >= 500}


async def test_probes_and_metrics_need_no_token(service) -> None:
    async with httpx.AsyncClient(base_url=service.url) as http:
        assert {(await http.request(method, path)).status_code for method, path in OPEN} == {200}


def test_a_service_without_a_token_does_not_start() -> None:
    settings = Settings(service_token="")  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match="service_token_missing"):
        create_app(settings, lambda: wiring.open_parts(settings))
