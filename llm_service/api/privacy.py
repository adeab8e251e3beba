"""What people's data may be asked and told: restored for its owner, purged, erased, re-encrypted, and who did so.

All of it is closed to everybody without the service token; owners are checked below, in the desks.
"""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from llm_service.answering.erasing import ChannelUser, MentionedValue
from llm_service.api.dependencies import ServiceParts
from llm_service.masked import RawText

router = APIRouter(prefix="/v1", tags=["privacy"])

MAXIMUM_PLACEHOLDERS = 64
MAXIMUM_AUDIT_EVENTS = 1000
Placeholder = Annotated[str, Field(pattern=r"^<[A-Z][A-Z_]{0,23}_[1-9][0-9]{0,4}>$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class RestoreRequest(_Body):
    """Whose values are wanted: `owner` is the person's id as the channel knows it."""

    owner: Annotated[str, Field(min_length=1, max_length=512)]
    placeholders: Annotated[list[Placeholder], Field(max_length=MAXIMUM_PLACEHOLDERS)]


class ChannelUserBody(_Body):
    """A person as a channel names them."""

    channel: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,15}$")]
    user: Annotated[str, Field(min_length=1, max_length=512)]

    def as_person(self) -> ChannelUser:
        return ChannelUser(self.channel, self.user)


class MentionedValueBody(_Body):
    """A value that points at one person."""

    type: Annotated[str, Field(pattern=r"^[A-Z][A-Z_]{0,23}$")]
    value: Annotated[str, Field(min_length=1, max_length=512)]

    def as_person(self) -> MentionedValue:
        return MentionedValue(self.type, RawText(self.value))


class ErasureRequest(_Body):
    """Who is to be erased, and why, as a code."""

    person: ChannelUserBody | MentionedValueBody
    reason: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    dry_run: bool = False


class AuditSearch(_Body):
    """Which audit rows, the newest first; `before_id` continues an earlier search, `actors` are names of one person."""

    action: Annotated[str, Field(pattern=r"^[a-z_]{1,32}\.[a-z_]{1,31}$")] | None = None
    before_id: int | None = None
    actors: Annotated[list[Annotated[str, Field(min_length=1, max_length=64)]], Field(max_length=2)] = []
    limit: Annotated[int, Field(ge=1, le=MAXIMUM_AUDIT_EVENTS)] = 100


class AuditExport(_Body):
    """Which audit rows, the oldest first: those behind a position of the chain."""

    after_position: Annotated[int, Field(ge=-1)] = -1
    limit: Annotated[int, Field(ge=1, le=MAXIMUM_AUDIT_EVENTS)] = MAXIMUM_AUDIT_EVENTS


@router.post("/conversations/{conversation_id}/restore")
async def restore(
    conversation_id: str, request: RestoreRequest, parts: ServiceParts, response: Response
) -> dict[str, Any]:
    """The values behind placeholders of the owner's web conversation; 200 with nothing for everybody else."""
    response.headers["Cache-Control"] = "no-store"
    values = await parts.restoring.restore(conversation_id, request.owner, request.placeholders)
    return {"values": {placeholder: value.reveal() for placeholder, value in values.items()}}


@router.post("/retention/purge")
async def purge(parts: ServiceParts) -> dict[str, int]:
    """Delete what has outlived its time, and say how many rows that were."""
    return asdict(await parts.retention.purge())


@router.post("/vault/rotate")
async def rotate(parts: ServiceParts) -> dict[str, Any]:
    """Read the vault's keys again and go on re-encrypting; ask again until it is finished."""
    return asdict(await parts.rotation.rotate())


@router.post("/erasures")
async def erase(request: ErasureRequest, parts: ServiceParts) -> dict[str, Any]:
    """Delete every conversation of a person, or count what would go. The person travels in the body, never in a URL."""
    erased = await parts.erasing.erase(request.person.as_person(), request.reason, dry_run=request.dry_run)
    return erased.as_object()


@router.post("/audit/search")
async def search_audit(request: AuditSearch, parts: ServiceParts) -> dict[str, Any]:
    """Who did what when: kinds, counts and pseudonymous ids."""
    found = await parts.audit.events(request.action, request.before_id, request.limit, request.actors)
    return {"events": [asdict(event) for event in found]}


@router.post("/audit/verify")
async def verify_audit(parts: ServiceParts) -> dict[str, Any]:
    """Whether the chain of audit rows holds, and where it was broken first."""
    return asdict(await parts.audit.verify())


@router.post("/audit/export")
async def export_audit(request: AuditExport, parts: ServiceParts) -> dict[str, Any]:
    """Rows in the order of the chain with their hashes, for an archive that proves itself."""
    found = await parts.audit.export(request.after_position, request.limit)
    return {"events": [asdict(event) for event in found]}
