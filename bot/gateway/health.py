"""Whether the gateway lives, whether it can do its work, and what it has counted."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bot.gateway.rasa import RasaClient
from bot.gateway.web import Service
from llm_service.client import LlmServiceClient, ServiceError

READINESS_KEPT_SECONDS: Final = 1.0
router = APIRouter()


class Readiness:
    """Whether questions can be answered; asked anew at most once a second.

    Anybody may ask, and every answer costs two calls to other services: without this, one cheap request would be two.
    """

    def __init__(
        self, llm_service: LlmServiceClient, rasa: RasaClient, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._llm_service = llm_service
        self._rasa = rasa
        self._clock = clock
        self._asking = asyncio.Lock()
        self._known: dict[str, Any] = {}
        self._known_until = 0.0

    async def state(self) -> dict[str, Any]:
        """{"ready", "degraded", "parts"}. Without Rasa the gateway is ready, but degraded."""
        async with self._asking:
            if not self._known or self._clock() >= self._known_until:
                self._known = await self._ask()
                self._known_until = self._clock() + READINESS_KEPT_SECONDS
            return self._known

    async def _ask(self) -> dict[str, Any]:
        rasa_ready = await self._rasa.is_ready()
        answering = await _llm_service_state(self._llm_service)
        return {
            "ready": answering == "ready",
            "degraded": not rasa_ready,
            "parts": {"llm_service": answering, "rasa": "ready" if rasa_ready else "fallback"},
        }


@dataclass(frozen=True)
class HealthParts:
    """What knows the state, and the registry that is printed."""

    readiness: Readiness
    registry: CollectorRegistry


@router.get("/health/live")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """200 while questions can be answered, 503 otherwise."""
    parts: HealthParts = request.app.state.health
    state = await parts.readiness.state()
    return JSONResponse(state, status_code=200 if state["ready"] else 503)


@router.get("/metrics")
async def metrics(request: Request, _service: Service) -> Response:
    """For services only: how many people ask what, and how often it fails, is not for everybody to know."""
    parts: HealthParts = request.app.state.health
    return Response(generate_latest(parts.registry), media_type=CONTENT_TYPE_LATEST)


async def _llm_service_state(llm_service: LlmServiceClient) -> str:
    try:
        answer = await llm_service.ready()
    except ServiceError as error:
        return error.code
    return "ready" if answer.get("ready") else "not_ready"
