"""A real worker of the queue, whose training is a count kept in a file: `python -m tests.trainer.learning_worker`.

Everything but the model is the product's: Celery, the rows, leases, processes.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from celery.signals import setup_logging

from llm_service.errors import Conflict
from llm_service.logs import configure_logging, leave_no_text_behind
from llm_service.settings import load_settings
from trainer.progress import Progress, Reporter, ShouldStop, TrainingResult
from trainer.retrain import Examined, Steps, Trained
from trainer.worker import arguments_of, create_worker

STEPS = int(os.environ.get("TEST_TRAINING_STEPS", "20"))
STEP_SECONDS = float(os.environ.get("TEST_STEP_SECONDS", "0.1"))
KEPT, BEGUN, PROCESS, EXAMINED = "kept-step", "begun", "process", "examined"


def counting(
    recipe: Any, dataset_dir: Path, base_dir: Path, run_dir: Path, reporter: Reporter, should_stop: ShouldStop
) -> TrainingResult:
    """Counts to STEPS; what was counted is kept, and a later call goes on from there."""
    first = int((run_dir / KEPT).read_text()) if (run_dir / KEPT).exists() else 0
    with (run_dir / BEGUN).open("a", encoding="utf-8") as begun:
        begun.write(f"{first}\n")
    (run_dir / PROCESS).write_text(str(os.getpid()))
    reporter.line(f"goes on from step {first}")
    for step in range(first + 1, STEPS + 1):
        if should_stop():
            raise Conflict("training_cancelled", "the training was cancelled")
        time.sleep(STEP_SECONDS)
        reporter.progress(Progress(step, STEPS, loss=1 / step, learning_rate=0.001))
        (run_dir / KEPT).write_text(str(step))
    digest = "0" * 64
    return TrainingResult(
        run_dir, digest, digest, digest, "finished", STEPS, STEPS, first, 0.1, None, 1, 0, 1, 0.1, 0.1, "cpu", 1, {}
    )


def accept(trained: Trained, still_ours: Callable[[], None]) -> Examined:
    """Calls every adapter a candidate, once the worker has shown that the run is still its own."""
    still_ours()
    with (trained.run_dir / EXAMINED).open("a", encoding="utf-8") as examined:
        examined.write("once\n")
    return Examined("candidate", (), "bank-qa-v1-000000000000", {"score": 1.0})


def main() -> None:
    settings = load_settings()
    configure_logging("worker", "INFO")
    leave_no_text_behind()
    setup_logging.connect(lambda **_: None, weak=False)
    app = create_worker(settings, Steps(counting, accept))
    app.worker_main(arguments_of(settings, sys.argv[1], beat="--beat" in sys.argv))


if __name__ == "__main__":
    main()
