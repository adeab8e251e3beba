"""Adapters: listed, registered, proposed, approved by somebody else, promoted, watched, rolled back."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict, Field

from llm_service.adapters.desk import Submission
from llm_service.api.acting import (
    CHANNEL,
    MayApproveAdapters,
    MayPromoteAdapters,
    MayProposeAdapters,
    MayReadAdapters,
    MayRegisterAdapters,
    MayRollBackAdapters,
)
from llm_service.api.dependencies import ServiceParts

router = APIRouter(prefix="/v1/adapters", tags=["adapters"])

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Label = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,128}$")]
Share = Annotated[float, Field(gt=0, le=1)]
Reason = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
Target = Literal["active", "canary"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class RegisterRequest(_Body):
    """A directory of the volume's `incoming` and where it comes from. `trained_by`: who, if no run of ours did.

    With `source` the files are fetched from there into the directory, which must not exist.
    """

    directory: Name
    source: Annotated[str, Field(pattern=r"^(?:(?:s3|oci)://[\x21-\x7e]{1,800})?$")] = ""
    family: Name
    base_model: Label
    base_revision: Label
    dataset_version: Label
    training_run_id: Label
    trained_by: Label
    evaluation_id: Annotated[str, Field(pattern=r"^[\x21-\x7e]{0,128}$")] = ""
    evaluation: dict[str, Any] = {}
    recipe: dict[str, Any] = {}


class ApproveRequest(_Body):
    proposal_id: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class PromoteRequest(_Body):
    """`share` of the conversations for a canary; an active version gets them all. `purpose`: why it is wanted."""

    target: Target = "active"
    share: Share | None = None
    purpose: Reason | None = None


class RejectRequest(_Body):
    reason: Reason


class ShareRequest(_Body):
    share: Share


class RollBackRequest(_Body):
    target: Target = "active"
    reason: Reason = "operator"


@router.get("")
async def listed(parts: ServiceParts, person: MayReadAdapters) -> dict[str, Any]:
    """Every version, the newest first."""
    return {"adapters": [asdict(one) for one in await parts.adapters.listed()]}


@router.get("/status")
async def adapter_status(parts: ServiceParts, person: MayReadAdapters) -> dict[str, Any]:
    """Who serves, what each replica carries, what is under way, what the watch sees."""
    return asdict(await parts.adapters.status())


@router.get("/{name}")
async def details(name: str, parts: ServiceParts, person: MayReadAdapters) -> dict[str, Any]:
    """One version with files, recipe, evaluation and proposals."""
    return asdict(await parts.adapters.details(name))


@router.post("", status_code=status.HTTP_201_CREATED)
async def register(body: RegisterRequest, parts: ServiceParts, person: MayRegisterAdapters) -> dict[str, str]:
    """Check a directory and take it in; the same files are the same version."""
    told = body.model_dump() | {"trained_by": parts.identities.user_key(CHANNEL, body.trained_by)}
    return {"name": await parts.adapters.register(Submission(**told), person.key)}


@router.post("/canary-share")
async def canary_share(body: ShareRequest, parts: ServiceParts, person: MayPromoteAdapters) -> dict[str, Any]:
    """Another share of the conversations for the canary."""
    return asdict(await parts.adapters.set_share(body.share, person.key))


@router.post("/rollback")
async def roll_back(body: RollBackRequest, parts: ServiceParts, person: MayRollBackAdapters) -> dict[str, Any]:
    """The previous version is active again, or the canary is out, before this returns."""
    return asdict(await parts.adapters.roll_back(body.target, body.reason, person.key))


@router.post("/{name}/propose")
async def propose(name: str, parts: ServiceParts, person: MayProposeAdapters) -> dict[str, str]:
    """Ask for a version to be promoted."""
    return {"proposal_id": await parts.adapters.propose(name, person.key)}


@router.post("/{name}/approve")
async def approve(name: str, body: ApproveRequest, parts: ServiceParts, person: MayApproveAdapters) -> dict[str, str]:
    """Agree to a proposal of somebody else, for a version that somebody else trained and registered."""
    return {"approval_id": await parts.adapters.approve(name, body.proposal_id, person.key)}


@router.post("/{name}/promote", status_code=status.HTTP_202_ACCEPTED)
async def promote(name: str, body: PromoteRequest, parts: ServiceParts, person: MayPromoteAdapters) -> dict[str, str]:
    """Begin to bring an approved version into service; the status tells how far it is."""
    return {"promotion_id": await parts.adapters.promote(name, body.target, body.share, person.key, body.purpose)}


@router.post("/{name}/reject", status_code=status.HTTP_200_OK)
async def reject(name: str, body: RejectRequest, parts: ServiceParts, person: MayApproveAdapters) -> dict[str, str]:
    """A version that serves nowhere will never serve."""
    await parts.adapters.reject(name, body.reason, person.key)
    return {"name": name}
