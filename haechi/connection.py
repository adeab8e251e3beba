"""Finds the platform: the running one over HTTP, else the same services opened in this process on the data directory.

Both ways speak the same wire (httpx's ASGI transport stands where the network would be), so a command does not know
which one it has. Opened here there is no Rasa in front: questions go to the documents.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import httpx

from bot.gateway import app as gateway_app
from bot.gateway import settings as gateway_settings
from bot.gateway.client import GatewayClient
from haechi.secrets import ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from llm_service import app as llm_service_app
from llm_service import wiring
from llm_service.client import LlmServiceClient
from llm_service.logs import configure_logging
from llm_service.settings import load_settings
from llm_service.store.migrate import upgrade
from llm_service.store.session import open_database

PROBE_TIMEOUT_SECONDS = 0.5
IN_PROCESS_URL = "http://haechi"


@dataclass(frozen=True)
class Platform:
    """The two services a command talks to; `is_running` is False when they were opened in this process."""

    gateway: GatewayClient
    llm_service: LlmServiceClient
    is_running: bool


@asynccontextmanager
async def platform(settings: PlatformSettings) -> AsyncIterator[Platform]:
    """The platform for the time of one command."""
    opened = running_platform(settings) if is_listening(settings.llm_service_port) else _opened_here(settings)
    async with opened as found:
        yield found


def is_listening(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(PROBE_TIMEOUT_SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def running_platform(settings: PlatformSettings) -> AsyncIterator[Platform]:
    """Clients of the processes that run, or are about to run, on this machine."""
    token = read_secret(settings.home, "haechi_service_token")
    llm_service = LlmServiceClient(settings.llm_service_url, token)
    gateway = GatewayClient(settings.gateway_url, token)
    try:
        yield Platform(gateway, llm_service, is_running=True)
    finally:
        await gateway.close()
        await llm_service.close()


@asynccontextmanager
async def _opened_here(settings: PlatformSettings) -> AsyncIterator[Platform]:
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
