"""Questions about training runs: asked for, held by one device at a time, told step by step, ended once.

Whoever writes for a run shows the fencing token of its device: a worker that was given up for dead cannot write.
queued → running → succeeded | failed | cancelled;  queued → cancelled
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, NotFound
from llm_service.store import audit, datasets, evaluations, jobs_outbox
from llm_service.store.conversations import IDENTIFIER
from llm_service.store.evaluations import ItemResult
from llm_service.store.learning_models import Evaluation, LossPoint, TrainingDevice, TrainingRun
from llm_service.store.models import now

TRAIN_JOB: Final = "train"
EVALUATE_JOB: Final = "evaluate"
DEVICE_LEASE: Final = timedelta(seconds=60)
LOG_TAIL_LINES: Final = 200
ENDED: Final = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class Held:
    """A device held for a run: whoever writes for the run shows it."""

    run_id: str
    device: str
    fencing_token: int


@dataclass(frozen=True)
class Point:
    """One point of the curve; what was not measured is None."""

    step: int
    steps: int | None = None
    loss: float | None = None
    heldout_loss: float | None = None
    learning_rate: float | None = None


def request(session: Session, person: str, dataset: str, recipe: str, base: str) -> TrainingRun:
    """Ask for a training on a ready dataset. Raises `NotFound`, and `Conflict` (dataset_not_ready)."""
    version = datasets.by_name(session, dataset)
    if version.state != "ready":
        raise Conflict("dataset_not_ready", "the dataset is not built yet, failed, or was taken apart by an erasure")
    run = TrainingRun(dataset_version_id=version.id, recipe=recipe, base=base, requested_by=person)
    session.add(run)
    session.flush()
    jobs_outbox.request(session, TRAIN_JOB, run.id, person)
    told = {"dataset": version.name, "recipe": recipe, "base": base}
    audit.record(session, person, "training.requested", "training_run", run.id, told)
    return run


def run(session: Session, run_id: str) -> TrainingRun:
    """One run as it stands. Raises `NotFound` (training_run_not_found)."""
    found = None
    if IDENTIFIER.fullmatch(run_id):
        statement = select(TrainingRun).where(TrainingRun.id == run_id)
        found = session.scalars(statement, execution_options={"populate_existing": True}).one_or_none()
    if found is None:
        raise NotFound("training_run_not_found", "there is no such training run")
    return found


def listed(session: Session, limit: int = 100) -> list[TrainingRun]:
    """Runs, the newest first."""
    return list(session.scalars(select(TrainingRun).order_by(TrainingRun.created_at.desc()).limit(limit)))


def points(session: Session, run_id: str, after_step: int = -1) -> list[LossPoint]:
    """The curve of a run behind a step, in order."""
    statement = select(LossPoint).where(LossPoint.run_id == run_id, LossPoint.step > after_step)
    return list(session.scalars(statement.order_by(LossPoint.step)))


def cancel(session: Session, person: str, run_id: str) -> TrainingRun:
    """Cancel a run: at once while it waits, at its next step while it runs. Raises `Conflict` (training_ended)."""
    found = run(session, run_id)
    if found.state in ENDED:
        raise Conflict("training_ended", "the training has ended already")
    found.cancel_requested_by = person
    if found.state == "queued":
        jobs_outbox.cancel(session, TRAIN_JOB, run_id)
        found.state, found.stage, found.ended_at = "cancelled", "cancelled", now()
    session.flush()
    audit.record(session, person, "training.cancelled", "training_run", run_id, {"state": found.state})
    return found


def hold_device(session: Session, run_id: str, device: str) -> Held | None:
    """Take a device for a run, with a new token; None while another run holds it. A run's own older hold ends."""
    if session.get(TrainingDevice, device) is None:
        session.add(TrainingDevice(name=device))
        session.flush()
    at = now()
    free = or_(TrainingDevice.run_id.is_(None), TrainingDevice.run_id == run_id, TrainingDevice.leased_until < at)
    taken = session.execute(
        update(TrainingDevice)
        .where(TrainingDevice.name == device, free)
        .values(run_id=run_id, leased_until=at + DEVICE_LEASE, fencing_token=TrainingDevice.fencing_token + 1)
        .returning(TrainingDevice.fencing_token)
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    return Held(run_id, device, taken) if taken is not None else None


def keep_device(session: Session, held: Held) -> None:
    """Keep a device for another lease: called at every step, checkpoint and registration.

    Raises `Conflict` (device_lost) when another run has it by now: this worker was given up for dead and must stop.
    """
    if not _update_device(session, held, leased_until=now() + DEVICE_LEASE):
        raise Conflict("device_lost", "another run has the device by now; this one must stop")


def release_device(session: Session, held: Held) -> None:
    """Give a device back, if it is still held."""
    _update_device(session, held, run_id=None, leased_until=None)


def begin(session: Session, held: Held) -> TrainingRun:
    """Start a queued run, or go on with one whose worker died. Raises `Conflict` (training_ended, device_lost)."""
    keep_device(session, held)
    found = run(session, held.run_id)
    if found.state in ENDED:
        raise Conflict("training_ended", "the training has ended already")
    found.state, found.started_at = "running", found.started_at or now()
    found.device, found.fencing_token = held.device, held.fencing_token
    session.flush()
    return found


def tell(session: Session, held: Held, stage: str, point: Point | None = None, lines: Sequence[str] = ()) -> bool:
    """Note where a run stands; returns whether it is to be cancelled. Raises `Conflict` (device_lost)."""
    keep_device(session, held)
    found = run(session, held.run_id)
    found.stage = stage
    if point is not None:
        _add_point(session, found, point)
    if lines:
        found.log_tail = [*found.log_tail, *lines][-LOG_TAIL_LINES:]
        found.log_lines += len(lines)
    session.flush()
    return found.cancel_requested_by is not None


def end(
    session: Session,
    held: Held,
    state: str,
    outcome: Mapping[str, Any] | None = None,
    error_code: str | None = None,
    error: str | None = None,
) -> TrainingRun:
    """End a run and free its device, in one transaction. Raises `Conflict` (device_lost, training_ended)."""
    keep_device(session, held)
    found = run(session, held.run_id)
    if found.state in ENDED:
        raise Conflict("training_ended", "the training has ended already")
    found.state, found.stage, found.ended_at = state, state, now()
    found.outcome, found.error_code, found.error = dict(outcome or {}), error_code, error
    if state == "succeeded":
        found.progress = 1.0
    release_device(session, held)
    session.flush()
    told = {"state": state, "code": error_code, "fencing_token": held.fencing_token}
    audit.record(session, found.requested_by, "training.ended", "training_run", found.id, told)
    return found


def request_evaluation(session: Session, person: str, adapter: str | None) -> Evaluation:
    """Ask for an evaluation of an adapter, or of the base where none is named."""
    evaluation = Evaluation(adapter=adapter, requested_by=person)
    session.add(evaluation)
    session.flush()
    jobs_outbox.request(session, EVALUATE_JOB, evaluation.id, person)
    audit.record(session, person, "evaluation.requested", "evaluation", evaluation.id, {"adapter": adapter})
    return evaluation


def evaluation(session: Session, evaluation_id: str) -> Evaluation:
    """One evaluation. Raises `NotFound` (evaluation_not_found)."""
    found = session.get(Evaluation, evaluation_id)
    if found is None:
        raise NotFound("evaluation_not_found", "there is no such evaluation")
    return found


def end_evaluation(
    session: Session,
    evaluation_id: str,
    report: Mapping[str, Any] | None,
    error_code: str | None = None,
    results: Sequence[ItemResult] = (),
) -> None:
    """Keep what an evaluation found, question by question, or why it failed; one that has ended stays as it is."""
    found = evaluation(session, evaluation_id)
    if found.state in ENDED:
        return
    found.state, found.ended_at = "failed" if error_code else "succeeded", now()
    found.report, found.error_code = dict(report or {}), error_code
    evaluations.add_items(session, evaluation_id, results)
    audit.record(session, found.requested_by, "evaluation.ended", "evaluation", found.id, {"state": found.state})


def add_evaluation_of_run(
    session: Session, held: Held, report: Mapping[str, Any], results: Sequence[ItemResult] = ()
) -> Evaluation:
    """Keep the evaluation that a run made of its candidate, question by question. Raises `Conflict` (device_lost)."""
    keep_device(session, held)
    requested_by = run(session, held.run_id).requested_by
    found = Evaluation(
        run_id=held.run_id, state="succeeded", report=dict(report), requested_by=requested_by, ended_at=now()
    )
    session.add(found)
    session.flush()
    evaluations.add_items(session, found.id, results)
    return found


def _add_point(session: Session, found: TrainingRun, point: Point) -> None:
    known = session.get(LossPoint, (found.id, point.step))
    if known is None:
        known = LossPoint(run_id=found.id, step=point.step)
        session.add(known)
    for name in ("loss", "heldout_loss", "learning_rate"):
        value = getattr(point, name)
        if value is not None:
            setattr(known, name, value)
    found.step = point.step
    if point.steps:
        found.total_steps = point.steps
        found.progress = min(1.0, point.step / point.steps)


def _update_device(session: Session, held: Held, **values: Any) -> bool:
    result = session.execute(
        update(TrainingDevice)
        .where(
            TrainingDevice.name == held.device,
            TrainingDevice.run_id == held.run_id,
            TrainingDevice.fencing_token == held.fencing_token,
        )
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
