"""Whether the console lives, and whether it can work. Open to probes: nothing here has text."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response

from admin.parts import Parts, parts_of
from llm_service.client import ServiceError
from llm_service.errors import Unavailable

router = APIRouter()


@router.get("/health/live", name="live")
async def live() -> dict[str, bool]:
    """The process answers; nothing more is promised."""
    return {"live": True}


@router.get("/health/ready", name="ready")
async def ready(parts: Annotated[Parts, Depends(parts_of)], response: Response) -> dict[str, Any]:
    """The records and llm_service can be reached: 200, or 503 with the state of each."""
    states = {"database": await _database(parts), "llm_service": await _llm_service(parts)}
    is_ready = all(state == "ready" for state in states.values())
    response.status_code = 200 if is_ready else 503
    return {"ready": is_ready, "parts": states}


async def _database(parts: Parts) -> str:
    try:
        await parts.transactions.ping()
    except Unavailable:
        return "unreachable"
    return "ready"


async def _llm_service(parts: Parts) -> str:
    try:
        await parts.llm_service.ready()
    except ServiceError as error:
        return error.code
    return "ready"
