"""Finds the platform: the running one over HTTP, else the same services opened in this process on the data directory.

Both ways speak the same wire (httpx's ASGI transport stands where the network would be), so a command does not know which
one it has. Opened here, Rasa does not run: questions are routed by the gateway's fallback.
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from bot.gateway.client import GatewayClient
from haechi.secrets import ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from llm_service.client import LlmServiceClient

PROBE_TIMEOUT_SECONDS = 0.5


@dataclass(frozen=True)
class Platform:
    """The two services a command talks to; `is_running` is False when they were opened in this process."""

    gateway: GatewayClient
    llm_service: LlmServiceClient
    is_running: bool


@asynccontextmanager
async def platform(settings: PlatformSettings) -> AsyncIterator[Platform]:
    """The platform for the time of one command."""
    opened = _running(settings) if is_listening(settings.llm_service_port) else _opened_here(settings)
    async with opened as found:
        yield found


def is_listening(port: int) -> bool:
    """Whether something accepts connections on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(PROBE_TIMEOUT_SECONDS)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@asynccontextmanager
async def _running(settings: PlatformSettings) -> AsyncIterator[Platform]:
    token = read_secret(settings.home, "haechi_service_token")
    llm_service = LlmServiceClient(settings.llm_service_url, token)
    gateway = GatewayClient(settings.gateway_url, token)
    try:
        yield Platform(gateway, llm_service, is_running=True)
    finally:
        await gateway.close()
        await llm_service.close()
