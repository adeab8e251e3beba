"""Documents: handed in one file at a time with who may see it, listed, and taken out of the answers."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, cast

from fastapi import APIRouter, File, Form, UploadFile, status

from llm_service.api.dependencies import ServiceParts
from llm_service.client import Audience
from llm_service.retrieval.manifest import Declaration

router = APIRouter(prefix="/v1/documents", tags=["documents"])

ROLES_PATTERN = r"^(staff|customer)(,(staff|customer))?$"


@router.post("")
async def take_in(
    parts: ServiceParts,
    file: Annotated[UploadFile, File()],
    path: Annotated[str, Form(min_length=1, max_length=512)],
    audience: Annotated[str, Form(pattern=ROLES_PATTERN)],
    title: Annotated[str | None, Form(min_length=1, max_length=512)] = None,
    in_force_from: Annotated[date | None, Form()] = None,
) -> dict[str, Any]:
    """What became of the file: ready, unchanged, failed or quarantined. `audience` is `staff`, `customer` or both."""
    roles = tuple(dict.fromkeys(cast("list[Audience]", audience.split(","))))
    report = await parts.documents.take_in(path, await file.read(), Declaration(roles, title, in_force_from))
    return asdict(report)


@router.get("")
async def listed(parts: ServiceParts) -> dict[str, Any]:
    """Every edition with its state, by path and first day."""
    return {"documents": await parts.documents.listed()}


@router.delete("/{document_id}", status_code=status.HTTP_204_NO_CONTENT)
async def withdraw(document_id: int, parts: ServiceParts) -> None:
    """Take one edition out of every answer."""
    await parts.documents.withdraw(document_id)
