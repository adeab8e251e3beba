"""Runs a training in a process of its own, so that no crash takes a worker along; the run's folder is all they share.

Knows files and processes; imports no PyTorch, so that a worker can ask without it.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any, Final, Literal

from llm_service import errors
from llm_service.errors import Conflict, HaechiError, NotFound, Unavailable
from trainer.checkpoints import write_atomically
from trainer.progress import EVENTS_FILE, OUTCOME_FILE, Progress, Reporter, ShouldStop, TrainingResult
from trainer.recipe import Recipe

REQUEST_FILE: Final = "run.json"
CANCEL_FILE: Final = "cancel"
LOG_FILE: Final = "trainer.log"
END_WITH_PARENT: Final = "--end-with-parent"
POLL_SECONDS: Final = 0.5
CANCEL_SECONDS: Final = 300.0
"""How long a cancelled run may take to finish its step and its checkpoint before it is killed."""

_OFFLINE: Final = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
Tracker = Literal["tensorboard", "wandb"]


@dataclass(frozen=True)
class RunRequest:
    """What is to be trained, as it stands in the run's folder."""

    recipe: Recipe
    dataset_dir: Path
    base_dir: Path
    trackers: tuple[Tracker, ...] = ("tensorboard",)

    def write(self, run_dir: Path) -> None:
        """Keep the request in the run's folder, which is made if need be."""
        run_dir.mkdir(parents=True, exist_ok=True)
        told = {
            "recipe": self.recipe.model_dump(mode="json"),
            "dataset_dir": str(self.dataset_dir.resolve()),
            "base_dir": str(self.base_dir.resolve()),
            "trackers": list(self.trackers),
        }
        write_atomically(run_dir / REQUEST_FILE, json.dumps(told, ensure_ascii=False, indent=1))


def read_request(run_dir: Path) -> RunRequest:
    """The request of a run's folder. Raises `NotFound` (run_missing)."""
    path = run_dir / REQUEST_FILE
    if not path.is_file():
        raise NotFound("run_missing", f"the folder {run_dir.name} holds no {REQUEST_FILE}: nothing was asked for there")
    told = json.loads(path.read_text(encoding="utf-8"))
    recipe = Recipe.model_validate(told["recipe"])
    return RunRequest(recipe, Path(told["dataset_dir"]), Path(told["base_dir"]), tuple(told["trackers"]))


def train_in_child(
    recipe: Recipe,
    dataset_dir: Path,
    base_dir: Path,
    run_dir: Path,
    reporter: Reporter,
    should_stop: ShouldStop,
    processes: int = 1,
    trackers: tuple[Tracker, ...] = ("tensorboard",),
) -> TrainingResult:
    """`trainer.qlora.train` in `processes` processes of their own (one per GPU), which end if this one does.

    Raises what `train` raises, and `Unavailable` (training_killed, training_failed) if the process died. After any of
    them the same call goes on from the newest whole checkpoint.
    """
    RunRequest(recipe, dataset_dir, base_dir, trackers).write(run_dir)
    for left in (OUTCOME_FILE, CANCEL_FILE):
        (run_dir / left).unlink(missing_ok=True)
    events = _Events(run_dir / EVENTS_FILE)
    with start(run_dir, processes) as child:
        cancelled_at = None
        while child.poll() is None:
            events.hand_on(reporter)
            if cancelled_at is None and should_stop():
                (run_dir / CANCEL_FILE).touch()
                cancelled_at = time.monotonic()
            if cancelled_at is not None and time.monotonic() - cancelled_at > CANCEL_SECONDS:
                child.kill()
            with suppress(subprocess.TimeoutExpired):
                child.wait(POLL_SECONDS)
    events.hand_on(reporter)
    return read_outcome(run_dir, child.returncode)


@contextmanager
def start(run_dir: Path, processes: int = 1) -> Iterator[subprocess.Popen[bytes]]:
    """The training process of a run's folder; it ends with this block, and with this process however that ends."""
    command = [sys.executable, "-m", "trainer.qlora", str(run_dir), END_WITH_PARENT]
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command = [sys.executable, *launcher, *command[1:]]
    with (run_dir / LOG_FILE).open("ab") as log:
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=_environment())
    try:
        yield child
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        if child.stdin:
            child.stdin.close()


def read_outcome(run_dir: Path, status: int) -> TrainingResult:
    """What a finished training process left behind: its result, or its error raised here."""
    path = run_dir / OUTCOME_FILE
    if path.is_file():
        told = json.loads(path.read_text(encoding="utf-8"))
        if "result" in told:
            return TrainingResult.from_json(told["result"])
        kind: type[HaechiError] = getattr(errors, told["error"]["class"])
        raise kind(told["error"]["code"], told["error"]["message"])
    if status == -signal.SIGKILL:
        raise Unavailable(
            "training_killed",
            "the training process was killed, most often by the kernel for want of memory; started again it goes on "
            "from its newest whole checkpoint",
        )
    raise Unavailable("training_failed", f"the training process ended with status {status}; see {LOG_FILE} of the run")


class FileReporter:
    """Tells progress into the run's folder, line by line, for whoever reads along."""

    def __init__(self, run_dir: Path) -> None:
        self._path = run_dir / EVENTS_FILE
        if self._path.is_file() and not self._path.read_bytes().endswith(b"\n"):
            # The process before was killed in the middle of a line.
            self._append("\n")

    def progress(self, progress: Progress) -> None:
        self._append(json.dumps({"progress": asdict(progress)}) + "\n")

    def line(self, text: str) -> None:
        self._append(json.dumps({"line": text}, ensure_ascii=False) + "\n")

    def _append(self, text: str) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)


def write_outcome(run_dir: Path, outcome: TrainingResult | HaechiError) -> None:
    """Keep how a run ended; the first word counts where several processes fail."""
    path = run_dir / OUTCOME_FILE
    if path.is_file():
        return
    if isinstance(outcome, TrainingResult):
        told: Mapping[str, Any] = {"result": outcome.as_json()}
    else:
        told = {"error": {"class": type(outcome).__name__, "code": outcome.code, "message": outcome.message}}
    write_atomically(path, json.dumps(told, ensure_ascii=False, indent=1))


@contextmanager
def only_one(run_dir: Path) -> Iterator[None]:
    """Hold the run's folder. Raises `Conflict` (training_already_running): two would spoil each other's files."""
    with (run_dir / ".lock").open("w") as lock:
        try:
            flock(lock, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise Conflict("training_already_running", "another process trains in this run's folder") from error
        yield


def end_with_parent() -> None:
    """End this process as soon as the one that started it is gone: its end of our standard input closes then."""

    def watch() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(os.EX_TEMPFAIL)

    threading.Thread(target=watch, daemon=True).start()


class _Events:
    """Reads what a training process appends, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = path.stat().st_size if path.is_file() else 0

    def hand_on(self, reporter: Reporter) -> None:
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._place)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._place += len(whole)
        for line in whole.splitlines():
            if not line:
                continue
            told = json.loads(line)
            if "progress" in told:
                reporter.progress(Progress(**told["progress"]))
            else:
                reporter.line(told["line"])


def _environment() -> dict[str, str]:
    """Ours without a network, one thread unless the operator said otherwise, and this platform importable."""
    ours = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
    quiet = {
        "TOKENIZERS_PARALLELISM": "false",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
    }
    return {**os.environ, **_OFFLINE, **quiet, "PYTHONPATH": path}
