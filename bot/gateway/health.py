"""Whether the gateway lives, whether it can do its work, and what it has counted."""

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from bot.gateway.rasa import RasaClient
from llm_service.client import LlmServiceClient, ServiceError

router = APIRouter()


@dataclass(frozen=True)
class HealthParts:
    """What is asked for its state, and the registry that is printed."""

    llm_service: LlmServiceClient
    rasa: RasaClient
    registry: CollectorRegistry


@router.get("/health/live")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get("/health/ready")
async def ready(request: Request) -> JSONResponse:
    """200 while questions can be answered, 503 otherwise. Without Rasa the gateway is ready, but degraded."""
    parts: HealthParts = request.app.state.health
    rasa_ready = await parts.rasa.is_ready()
    answering = await _llm_service_state(parts.llm_service)
    is_ready = answering == "ready"
    body: dict[str, Any] = {
        "ready": is_ready,
        "degraded": not rasa_ready,
        "parts": {"llm_service": answering, "rasa": "ready" if rasa_ready else "fallback"},
    }
    return JSONResponse(body, status_code=200 if is_ready else 503)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    parts: HealthParts = request.app.state.health
    return Response(generate_latest(parts.registry), media_type=CONTENT_TYPE_LATEST)


async def _llm_service_state(llm_service: LlmServiceClient) -> str:
    try:
        answer = await llm_service.ready()
    except ServiceError as error:
        return error.code
    return "ready" if answer.get("ready") else "not_ready"
