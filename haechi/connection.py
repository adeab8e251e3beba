"""Finds the platform: the running one over HTTP, else the same services opened in this process on the data directory.

Both ways speak the same wire, so a command does not know which one it has; how services are opened in this process is
known by `in_process.py`.
"""

import importlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.gateway.client import GatewayClient
from haechi.secrets import read_secret
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
    if is_listening(settings.llm_service_port):
        opened = running_platform(settings)
    else:
        # Loaded when it is needed: the services take seconds, and most commands only ask them.
        opened = importlib.import_module("haechi.in_process").opened_here(settings)
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
