"""Training runs: asked for, watched (progress, curve, newest log lines), cancelled. None of it holds text of a row."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query, status
from pydantic import BaseModel, ConfigDict, Field

from llm_service.api.acting import MayCancelTraining, MayReadTraining, MayTrain
from llm_service.api.dependencies import ServiceParts

router = APIRouter(prefix="/v1/training", tags=["training"])

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class TrainingRequest(BaseModel):
    """Which dataset, by which recipe, on which base: names, no paths."""

    model_config = ConfigDict(extra="forbid")

    dataset: Name
    recipe: Name
    base: Name


@router.post("/runs", status_code=status.HTTP_202_ACCEPTED)
async def request_training(body: TrainingRequest, parts: ServiceParts, person: MayTrain) -> dict[str, Any]:
    """Ask for a training; a worker takes it."""
    return asdict(await parts.learning.request_training(person.key, body.dataset, body.recipe, body.base))


@router.get("/runs")
async def runs(parts: ServiceParts, person: MayReadTraining) -> dict[str, Any]:
    """Runs, the newest first."""
    return {"runs": [asdict(run) for run in await parts.learning.runs()]}


@router.get("/runs/{run_id}")
async def run(run_id: str, parts: ServiceParts, person: MayReadTraining) -> dict[str, Any]:
    """One run as it stands."""
    return asdict(await parts.learning.run(run_id))


@router.get("/runs/{run_id}/points")
async def points(
    run_id: str, parts: ServiceParts, person: MayReadTraining, after_step: Annotated[int, Query(ge=-1)] = -1
) -> dict[str, Any]:
    """The curve behind a step: ask again with the last step to follow a run."""
    return {"points": [asdict(point) for point in await parts.learning.points(run_id, after_step)]}


@router.get("/runs/{run_id}/log")
async def log(run_id: str, parts: ServiceParts, person: MayReadTraining) -> dict[str, Any]:
    """The newest log lines."""
    return asdict(await parts.learning.log(run_id))


@router.post("/runs/{run_id}/cancel")
async def cancel(run_id: str, parts: ServiceParts, person: MayCancelTraining) -> dict[str, Any]:
    """Cancel a run: at once while it waits, at its next step while it runs."""
    return asdict(await parts.learning.cancel(person.key, run_id))
