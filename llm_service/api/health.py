"""Whether the process lives, whether it can answer, and what it has counted. Open to probes: nothing here has text."""

from typing import Any

from fastapi import APIRouter, Response, status
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from llm_service.answering.readiness import DEGRADED, READY
from llm_service.api.dependencies import ServiceParts

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, bool]:
    """The process answers; nothing more is promised."""
    return {"live": True}


@router.get("/health/ready")
async def ready(parts: ServiceParts, response: Response) -> dict[str, Any]:
    """Every part does its work, or something stands in for it: 200; else 503 with the state of each."""
    states = await parts.readiness.states()
    is_ready = all(state in {READY, DEGRADED} for state in states.values())
    if not is_ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return {"ready": is_ready, "parts": states}


@router.get("/metrics")
async def metrics(parts: ServiceParts) -> Response:
    """Counts in Prometheus' text format."""
    return Response(generate_latest(parts.metrics.registry), media_type=CONTENT_TYPE_LATEST)
