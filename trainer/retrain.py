"""The story of a retraining: take the device, train on the frozen dataset, examine the candidate, end with the reasons.

Called again after any interruption it goes on where the run's folder says. Knows no queue: who calls it keeps the job.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy.orm import Session

from llm_service.errors import Conflict, HaechiError, NotFound
from llm_service.logs import get_logger
from llm_service.store import datasets, training
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.evaluations import ItemResult
from llm_service.store.learning_models import TrainingRun
from llm_service.store.training import Held, Point
from llm_service.store.transactions import Transactions
from trainer.progress import Progress, Reporter, ShouldStop, TrainingResult
from trainer.recipe import Recipe, load_recipe

CANCELLED: Final = "training_cancelled"
DEVICE_LOST: Final = "device_lost"
CANDIDATE: Final = "candidate"
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Workplace:
    """Where a worker trains: the records, the datasets, the folder of everything learnt, the device by its name."""

    transactions: Transactions
    files: DatasetFiles
    root: Path
    device: str

    def run_directory(self, run_id: str) -> Path:
        return self.root / "runs" / run_id

    def base_directory(self, base: str) -> Path:
        """The folder of a base model. Raises `NotFound` (base_missing)."""
        found = self.root / "bases" / base
        if not found.is_dir():
            raise NotFound("base_missing", "this base model is not on the worker's machine; copy it into `bases`")
        return found


@dataclass(frozen=True)
class Trained:
    """What there is to examine when the training is done."""

    run_id: str
    requested_by: str
    dataset: str
    dataset_dir: Path
    base: str
    base_dir: Path
    run_dir: Path
    recipe: Recipe
    result: TrainingResult


@dataclass(frozen=True)
class Examined:
    """What became of an adapter: `verdict` is candidate or rejected, with the gate's reasons as codes.

    `adapter` is the registered name, none where it was rejected; `report` holds scores and hashes, no text. `results`
    are the same scores question by question, with the answers, masked.
    """

    verdict: str
    reasons: tuple[str, ...]
    adapter: str | None
    report: Mapping[str, Any] = field(default_factory=dict)
    results: tuple[ItemResult, ...] = ()


class Train(Protocol):
    """`trainer.run.train_in_child`: trains, or goes on from the newest whole checkpoint."""

    def __call__(
        self,
        recipe: Recipe,
        dataset_dir: Path,
        base_dir: Path,
        run_dir: Path,
        reporter: Reporter,
        should_stop: ShouldStop,
    ) -> TrainingResult: ...


class Examine(Protocol):
    """Evaluates the adapter, holds it against the gate and registers it.

    `still_ours` is called right before anything is registered and raises `Conflict` (device_lost) for a worker that was
    given up for dead.
    """

    def __call__(self, trained: Trained, still_ours: Callable[[], None]) -> Examined: ...


@dataclass(frozen=True)
class Steps:
    """The two steps that need a model."""

    train: Train
    examine: Examine


class DeviceBusy(Exception):
    """Another training has the device: this one waits."""


def retrain(workplace: Workplace, run_id: str, steps: Steps, keep_job: Callable[[], None]) -> str:
    """Bring a run to its end and return its state; a run that has ended stays as it is.

    `keep_job` is called every few seconds. Raises `DeviceBusy`, and `Conflict` (device_lost, job_lost) when another
    worker has taken over: nothing may be written then.
    """
    run = workplace.transactions.run_blocking(partial(training.run, run_id=run_id))
    if run.state in training.ENDED:
        return run.state
    held = workplace.transactions.run_blocking(partial(training.hold_device, run_id=run_id, device=workplace.device))
    if held is None:
        raise DeviceBusy
    run = workplace.transactions.run_blocking(partial(training.begin, held=held))
    watch = _Watch(workplace, held, keep_job)
    try:
        with watch.running():
            examined = _train_and_examine(workplace, run, steps, watch)
        return _end(workplace, held, "succeeded", _outcome(examined))
    except HaechiError as error:
        watch.raise_if_lost()
        if error.code == DEVICE_LOST:
            raise
        LOG.warning("training ended early", run_id=run_id, code=error.code)
        state = "cancelled" if error.code == CANCELLED else "failed"
        return _end(workplace, held, state, {}, error.code, error.message)


def _train_and_examine(workplace: Workplace, run: TrainingRun, steps: Steps, watch: "_Watch") -> Examined:
    version = workplace.transactions.run_blocking(partial(datasets.by_id, version_id=run.dataset_version_id))
    _require_untouched(workplace, version.name, version.state, version.content_sha256)
    recipe, base_dir = load_recipe(run.recipe), workplace.base_directory(run.base)
    dataset_dir, run_dir = workplace.files.directory(version.name), workplace.run_directory(run.id)
    run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    watch.stage = "training"
    result = steps.train(recipe, dataset_dir, base_dir, run_dir, watch, watch.should_stop)
    watch.stage = "examining"
    watch.line(f"trained {result.steps} steps; examining")
    trained = Trained(run.id, run.requested_by, version.name, dataset_dir, run.base, base_dir, run_dir, recipe, result)
    examined = steps.examine(trained, watch.still_ours)
    watch.line(f"{examined.verdict} {' '.join(examined.reasons)}".strip())
    workplace.transactions.run_blocking(
        partial(training.add_evaluation_of_run, held=watch.held, report=examined.report, results=examined.results)
    )
    return examined


def _require_untouched(workplace: Workplace, name: str, state: str, content_sha256: str | None) -> None:
    """A dataset that lost a person's rows while the run waited is not trained on, nor one whose files were changed."""
    if state != "ready" or content_sha256 is None:
        raise Conflict("dataset_not_ready", "the dataset was taken apart by an erasure; train on its successor")
    workplace.files.verify(name, content_sha256)


class _Watch:
    """Tells the records how a run stands and keeps job and device; also says when to stop. A `Reporter`."""

    BEAT_SECONDS: Final = 2.0

    def __init__(self, workplace: Workplace, held: Held, keep_job: Callable[[], None]) -> None:
        self.held = held
        self.stage = "starting"
        self._transactions = workplace.transactions
        self._keep_job = keep_job
        self._cancelled = threading.Event()
        self._ended = threading.Event()
        self._lost: Conflict | None = None

    def progress(self, progress: Progress) -> None:
        point = Point(progress.step, progress.steps, progress.loss, progress.heldout_loss, progress.learning_rate)
        self._tell(point)

    def line(self, text: str) -> None:
        self._tell(lines=(text,))

    def should_stop(self) -> bool:
        return self._cancelled.is_set() or self._lost is not None

    def still_ours(self) -> None:
        """Raises `Conflict` (device_lost, job_lost, training_cancelled) unless this worker may go on."""
        self.raise_if_lost()
        self._keep_job()
        self._tell()
        if self._cancelled.is_set():
            raise Conflict(CANCELLED, "the training was cancelled")

    def raise_if_lost(self) -> None:
        if self._lost is not None:
            raise self._lost

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep job and device in the background until the block ends."""
        beating = threading.Thread(target=self._beat, name=f"keep-{self.held.run_id}", daemon=True)
        beating.start()
        try:
            yield
        finally:
            self._ended.set()
            beating.join()

    def _beat(self) -> None:
        while not self._ended.wait(self.BEAT_SECONDS):
            try:
                self._keep_job()
                self._tell()
            except Conflict as lost:
                self._lost = lost
                return
            except HaechiError as error:
                # The records cannot be reached for a moment; if for longer, the lease ends and another takes over.
                LOG.warning("run could not be kept", run_id=self.held.run_id, code=error.code)

    def _tell(self, point: Point | None = None, lines: tuple[str, ...] = ()) -> None:
        tell = partial(training.tell, held=self.held, stage=self.stage, point=point, lines=lines)
        if self._transactions.run_blocking(tell):
            self._cancelled.set()


def _outcome(examined: Examined) -> dict[str, Any]:
    return {"verdict": examined.verdict, "reasons": list(examined.reasons), "adapter": examined.adapter}


def _end(
    workplace: Workplace,
    held: Held,
    state: str,
    outcome: Mapping[str, Any],
    error_code: str | None = None,
    error: str | None = None,
) -> str:
    def end(session: Session) -> str:
        return training.end(session, held, state, outcome, error_code, error).state

    return workplace.transactions.run_blocking(end)
