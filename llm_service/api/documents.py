"""Documents: handed in one file at a time with who may see it, listed, and taken out of the answers."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any, cast

from fastapi import APIRouter, File, Form, Query, UploadFile, status
from pydantic import BaseModel, Field

from llm_service.api.acting import MayRelease, MayTakeIn, MayWithdraw
from llm_service.api.dependencies import ServiceParts
from llm_service.client import GROUP_PATTERN, MAXIMUM_GROUPS, Audience
from llm_service.retrieval.manifest import Declaration

router = APIRouter(prefix="/v1/documents", tags=["documents"])

ROLES_PATTERN = r"^(staff|customer)(,(staff|customer))?$"
_GROUP = GROUP_PATTERN.strip("^$")
GROUPS_PATTERN = rf"^{_GROUP}(,{_GROUP}){{0,{MAXIMUM_GROUPS - 1}}}$"


class Release(BaseModel):
    """Why a quarantined document may be answered from, as a code: `reviewed`, `training_material`, ..."""

    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


@router.post("")
async def take_in(
    parts: ServiceParts,
    person: MayTakeIn,
    file: Annotated[UploadFile, File()],
    path: Annotated[str, Form(min_length=1, max_length=512)],
    audience: Annotated[str, Form(pattern=ROLES_PATTERN)],
    title: Annotated[str | None, Form(min_length=1, max_length=512)] = None,
    in_force_from: Annotated[date | None, Form()] = None,
    groups: Annotated[str | None, Form(pattern=GROUPS_PATTERN)] = None,
    mask_names: Annotated[bool, Form()] = False,
) -> dict[str, Any]:
    """What became of the file: ready, unchanged, failed or quarantined.

    `audience` is `staff`, `customer` or both; `groups`, separated by commas, narrows it to their members. With
    `mask_names` person names are masked too.
    """
    roles = tuple(dict.fromkeys(cast("list[Audience]", audience.split(","))))
    members_of = tuple(sorted(set(groups.split(",")))) if groups else ()
    declared = Declaration(roles, title, in_force_from, members_of, mask_names)
    return asdict(await parts.documents.take_in(person.key, path, await file.read(), declared))


@router.get("")
async def listed(parts: ServiceParts) -> dict[str, Any]:
    """Every edition with its state, by path and first day."""
    return {"documents": await parts.documents.listed()}


@router.get("/{document_id}/flagged")
async def flagged(document_id: int, parts: ServiceParts) -> dict[str, Any]:
    """The passages for which a document was quarantined, masked, with the families of orders found in each."""
    return {"passages": [asdict(passage) for passage in await parts.documents.flagged(document_id)]}


@router.post("/{document_id}/release")
async def release(document_id: int, body: Release, parts: ServiceParts, person: MayRelease) -> dict[str, int]:
    """Let a quarantined document into the answers."""
    await parts.documents.release(person.key, document_id, body.reason)
    return {"document_id": document_id}


@router.delete("/{document_id}", status_code=status.HTTP_204_NO_CONTENT)
async def withdraw(
    document_id: int,
    parts: ServiceParts,
    person: MayWithdraw,
    reason: Annotated[str, Query(pattern=r"^[a-z][a-z0-9_]{0,31}$")] = "operator",
) -> None:
    """Take one edition out of every answer; `reason`, a code, is audited."""
    await parts.documents.withdraw(person.key, document_id, reason)
