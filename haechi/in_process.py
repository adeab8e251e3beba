"""Opens both services in the process of a command: httpx's ASGI transport stands where the network would be.

There is no Rasa in front: questions go to the documents. Importing this takes seconds; `connection.py` does it when no
platform runs.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import httpx

from bot.gateway import app as gateway_app
from bot.gateway import settings as gateway_settings
from bot.gateway.client import GatewayClient
from haechi.connection import Platform
from haechi.secrets import ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from llm_service import app as llm_service_app
from llm_service import wiring
from llm_service.client import LlmServiceClient
from llm_service.logs import configure_logging
from llm_service.settings import load_settings
from llm_service.store.migrate import upgrade
from llm_service.store.session import open_database

IN_PROCESS_URL = "http://haechi"


@asynccontextmanager
async def opened_here(settings: PlatformSettings) -> AsyncIterator[Platform]:
    """Both services on the data directory of these settings, brought up to date, for the time of one command."""
    configure_logging("haechi", "ERROR")
    ensure_secrets(settings.home)
    token = read_secret(settings.home, "haechi_service_token")
    of_service = load_settings()
    _bring_schema_up_to_date(of_service.resolved_database_url)
    service = llm_service_app.create_app(of_service, partial(wiring.open_parts, of_service))
    async with service.router.lifespan_context(service):
        to_service = httpx.ASGITransport(service)
        of_gateway = gateway_settings.load_settings().model_copy(update={"rasa_url": ""})
        door = gateway_app.create_app(of_gateway, to_service)
        async with door.router.lifespan_context(door):
            llm_service = LlmServiceClient(IN_PROCESS_URL, token, to_service)
            gateway = GatewayClient(IN_PROCESS_URL, token, httpx.ASGITransport(door))
            yield Platform(gateway, llm_service, is_running=False)
            await gateway.close()
            await llm_service.close()


def _bring_schema_up_to_date(url: str) -> None:
    database = open_database(url)
    try:
        upgrade(database)
    finally:
        database.dispose()
