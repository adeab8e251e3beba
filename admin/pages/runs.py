"""Training runs: asked for, watched as they go (curve, table, newest log lines), cancelled."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Header, Path, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from admin.access import Acting
from admin.logins import Person
from admin.pages.datasets import NAME
from admin.parts import Parts, parts_of
from admin.people import evaluations_of, learning_of, names
from admin.rendering import back, page
from llm_service.learning_client import LearningClient, LossPointView, TrainingRunView

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
RunId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Name = Annotated[str, Form(pattern=NAME)]
ENDED: Final = ("succeeded", "failed", "cancelled")
LOOK_EVERY_SECONDS: Final = 1.0
LONGEST_STREAM_SECONDS: Final = 600.0
"""A browser comes back by itself, with the step it has; a login that ended meanwhile is noticed then."""


COME_BACK_AFTER_MILLISECONDS: Final = 1000


@router.get("/runs", name="runs")
async def runs(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    learning = learning_of(parts, person)
    ready = [dataset.name for dataset in await learning.datasets() if dataset.state == "ready"]
    return page(
        request, "runs.html", person, runs=await learning.training_runs(), datasets=ready, names=await names(parts)
    )


@router.post("/runs", name="request_run")
async def request_run(parts: PartsHere, person: Acting, dataset: Name, recipe: Name, base: Name) -> Response:
    """Ask for a training; a worker takes it."""
    made = await learning_of(parts, person).request_training(dataset, recipe, base)
    return back(f"/runs/{made.id}", "run_requested")


@router.get("/runs/{run_id}", name="run")
async def run(request: Request, parts: PartsHere, person: Acting, run_id: RunId) -> HTMLResponse:
    learning = learning_of(parts, person)
    found = await learning.training_run(run_id)
    return page(
        request,
        "run.html",
        person,
        run=found,
        is_over=found.state in ENDED,
        points=await learning.training_points(run_id),
        log=await learning.training_log(run_id),
        evaluations=await evaluations_of(parts, person).evaluations(run_id=run_id),
        names=await names(parts),
    )


@router.post("/runs/{run_id}/cancel", name="cancel_run")
async def cancel_run(parts: PartsHere, person: Acting, run_id: RunId) -> Response:
    await learning_of(parts, person).cancel_training(run_id)
    return back(f"/runs/{run_id}", "run_cancelled")


@router.get("/runs/{run_id}/events", name="run_events")
async def run_events(
    parts: PartsHere, person: Acting, run_id: RunId, last_event_id: Annotated[int, Header(ge=-1)] = -1
) -> Response:
    """Points and progress as server-sent events; the id of an event is its step, so that a reader can come back."""
    await learning_of(parts, person).training_run(run_id)
    return StreamingResponse(
        _followed(parts, person, run_id, last_event_id),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


async def _followed(parts: Parts, person: Person, run_id: str, after_step: int) -> AsyncIterator[str]:
    """Events until the run is over, or until it is time for the browser to come back."""
    learning = learning_of(parts, person)
    until = time.monotonic() + LONGEST_STREAM_SECONDS
    newest: LossPointView | None = None
    yield f"retry: {COME_BACK_AFTER_MILLISECONDS}\n\n"
    while time.monotonic() < until:
        # The newest point is asked for again: what is held out is measured after the step's loss is told.
        for point in await learning.training_points(run_id, max(after_step - 1, -1)):
            if point.step > after_step or (newest is not None and point != newest):
                after_step, newest = point.step, point
                yield f"id: {point.step}\nevent: point\ndata: {json.dumps(asdict(point))}\n\n"
        found = await learning.training_run(run_id)
        yield f"event: progress\ndata: {await _progress(learning, found)}\n\n"
        if found.state in ENDED:
            yield "event: over\ndata: {}\n\n"
            return
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def _progress(learning: LearningClient, found: TrainingRunView) -> str:
    log = await learning.training_log(found.id)
    told = {
        "state": found.state,
        "stage": found.stage,
        "progress": found.progress,
        "step": found.step,
        "total_steps": found.total_steps,
        "lines": log.lines,
    }
    return json.dumps(told, ensure_ascii=False)
