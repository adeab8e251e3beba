"""Dataset versions: asked for, listed, compared. Their text lies in files that no route hands out."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict, Field

from llm_service.api.acting import MayBuildDatasets, MayReadDatasets
from llm_service.api.dependencies import ServiceParts

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


class BuilderSettings(BaseModel):
    """How a version is built; what each means, `trainer.dataset.DatasetSettings` says."""

    model_config = ConfigDict(extra="forbid")

    general_share: Annotated[float, Field(ge=0, lt=1)] = 0.5
    heldout_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    duplicate_threshold: Annotated[float, Field(gt=0, le=1)] = 0.9
    leakage_threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    prompt_characters: Annotated[int, Field(ge=500)] = 6000
    seed: Annotated[int, Field(ge=0)] = 7


class DatasetRequest(BaseModel):
    """What is asked for."""

    model_config = ConfigDict(extra="forbid")

    settings: BuilderSettings = BuilderSettings()


@router.post("", status_code=status.HTTP_202_ACCEPTED)
async def request_dataset(body: DatasetRequest, parts: ServiceParts, person: MayBuildDatasets) -> dict[str, Any]:
    """Ask for the next version; a worker builds it."""
    return asdict(await parts.learning.request_dataset(person.key, body.settings.model_dump()))


@router.get("")
async def listed(parts: ServiceParts, person: MayReadDatasets) -> dict[str, Any]:
    """Every version, the newest first."""
    return {"datasets": [asdict(version) for version in await parts.learning.datasets()]}


@router.get("/{name}")
async def dataset(name: str, parts: ServiceParts, person: MayReadDatasets) -> dict[str, Any]:
    """One version with its statistics."""
    return asdict(await parts.learning.dataset(name))


@router.get("/{name}/difference/{against}")
async def difference(name: str, against: str, parts: ServiceParts, person: MayReadDatasets) -> dict[str, Any]:
    """Rows that were added, removed, changed, or moved to the other split, by id, kind and masked question."""
    return dict(await parts.learning.difference(name, against))
