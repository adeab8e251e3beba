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


def parts_of(request: Request) -> Parts:
    parts: Parts = request.app.state.parts
    return parts
