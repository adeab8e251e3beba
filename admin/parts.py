"""What the routes of the console work with; `admin.app` builds it, tests may build another."""

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import Request
from jinja2 import Environment

from admin.logins import Logins
from admin.oidc import Provider
from admin.settings import ConsoleSettings
from llm_service.client import LlmServiceClient
from llm_service.store.transactions import Transactions


@dataclass(frozen=True)
class Parts:
    settings: ConsoleSettings
    transactions: Transactions
    llm_service: LlmServiceClient
    logins: Logins
    provider: Provider | None
    templates: Environment
    assets: Mapping[str, str]


def parts_behind(request: Request) -> Parts:
    """The parts of the app that a request came to."""
    parts: Parts = request.app.state.parts
    return parts


async def parts_of(request: Request) -> Parts:
    """The same for routes. A coroutine although it waits for nothing: FastAPI calls plain functions on a thread."""
    return parts_behind(request)
