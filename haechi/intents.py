"""Classifies texts with Rasa: through the running gateway, else through a Rasa process started for one command.

Either way a text is masked before Rasa sees it.
"""

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from bot.gateway.client import GatewayError
from bot.gateway.rasa import RasaClient, RasaUnusable
from haechi.batch import CommandFailed
from haechi.connection import is_listening, running_platform
from haechi.later import later
from haechi.secrets import ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from haechi.start import Plan, find_rasa_python, plan_start, prepare, running
from llm_service.masked import RawText

masking = later("llm_service.masking.masker")
POLL_SECONDS = 0.1
RASA_START_SECONDS = 60.0

Classify = Callable[[str], Awaitable[dict[str, Any]]]


@asynccontextmanager
async def intents(settings: PlatformSettings) -> AsyncIterator[Classify]:
    """A function text → {"intent", "confidence"} for the time of one command. Raises `CommandFailed` without Rasa."""
    opened = _through_gateway(settings) if is_listening(settings.gateway_port) else _through_own_rasa(settings)
    async with opened as classify:
        yield classify


@asynccontextmanager
async def _through_gateway(settings: PlatformSettings) -> AsyncIterator[Classify]:
    async with running_platform(settings) as found:

        async def classify(text: str) -> dict[str, Any]:
            try:
                routed = await found.gateway.route(text)
            except GatewayError as error:
                raise CommandFailed(error.code, error.message_ko or error.message) from None
            return {"intent": routed.intent, "confidence": routed.confidence}

        yield classify


@asynccontextmanager
async def _through_own_rasa(settings: PlatformSettings) -> AsyncIterator[Classify]:
    if find_rasa_python(settings) is None:
        raise CommandFailed("rasa_missing", "Rasa needs Python 3.10; see `haechi doctor`")
    ensure_secrets(settings.home)
    own = settings.model_copy(update={"rasa_port": _free_port()})
    plan = _rasa_alone(plan_start(own))
    prepare(plan, lambda _step: None)
    masker = masking.build_masker()
    rasa = RasaClient(f"http://127.0.0.1:{own.rasa_port}", read_secret(settings.home, "haechi_rasa_token"))

    async def classify(text: str) -> dict[str, Any]:
        try:
            intent = await rasa.parse(masker.mask(RawText(text)).text)
        except RasaUnusable as error:
            raise CommandFailed("rasa_unusable", f"Rasa gave no usable reply ({error.reason})") from None
        return {"intent": intent.name, "confidence": intent.confidence}

    # Under the supervisor: it ends with this process, however this process ends, and Rasa with it.
    with running(plan) as supervisor:
        try:
            await _wait_until_ready(rasa, supervisor)
            yield classify
        finally:
            await rasa.close()


def _rasa_alone(plan: Plan) -> Plan:
    """Rasa without the other processes, with a log of its own; without Redis its conversations stay in memory."""
    environment = {**plan.environment, "HAECHI_RASA_TRACKER_URL": ""}
    return replace(plan, processes=("rasa",), environment=environment, log=plan.log.with_name("route.log"))


async def _wait_until_ready(rasa: RasaClient, supervisor: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + RASA_START_SECONDS
    while not await rasa.is_ready():
        if supervisor.poll() is not None or time.monotonic() > deadline:
            raise CommandFailed("rasa_not_ready", "Rasa did not start; see the log in the data directory")
        await asyncio.sleep(POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
