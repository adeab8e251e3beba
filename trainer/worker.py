"""The workers of the queue: thin tasks that claim a job's row, do the work named there, and note its end.

`python -m trainer.worker --queues train` works on training, one at a time; `--queues housekeeping,ingest,evaluate
--beat` does everything else and asks for what is due. PyTorch is loaded by the work alone, in processes of its own.
"""

import argparse
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Final

from celery import Celery
from celery.signals import heartbeat_sent, setup_logging

from llm_service import jobs
from llm_service.answering.dataset_erasing import finish_erasures
from llm_service.errors import Conflict, HaechiError
from llm_service.logs import configure_logging, get_logger, leave_no_text_behind
from llm_service.settings import Settings, load_settings
from llm_service.store import jobs_outbox, training
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.evaluations import ItemResult
from llm_service.store.learning_models import JobRequest
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions
from trainer import chores, schedule
from trainer.retrain import DeviceBusy, Steps, Workplace, retrain
from trainer.steps import default_steps

ACTOR: Final = "schedule"
KEEPING_SHARE: Final = 3
"""A job is kept three times a lease, so that one missed time loses nothing."""
DEVICE_WAIT_SECONDS: Final = 15
LOST: Final = frozenset({"job_lost", "device_lost"})
LOG = get_logger(__name__)
Work = Callable[["Context", JobRequest, Callable[[], None]], None]


class Context:
    """What the tasks of one process work with, opened when first needed: after Celery has forked."""

    def __init__(self, settings: Settings, steps: Steps) -> None:
        self.settings = settings
        self.steps = steps
        self.lease = timedelta(seconds=settings.job_lease_seconds)

    @cached_property
    def transactions(self) -> Transactions:
        return Transactions(open_database(self.settings.resolved_database_url))

    @cached_property
    def workplace(self) -> Workplace:
        files = DatasetFiles(self.settings.datasets_directory)
        return Workplace(self.transactions, files, self.settings.learning_root, self.settings.device)


def create_worker(settings: Settings, steps: Steps | None = None) -> Celery:
    """The queue with its tasks. `steps` stand in for training and examining where there is no model."""
    app = jobs.create_queue(settings)
    context = Context(settings, steps or default_steps(settings))
    for name, work in WORK.items():
        _add_job(app, context, jobs.JOBS[name].task, work)
    for name, request in schedule.REQUESTS.items():
        _add_request(app, context, name, request)

    @app.task(name=jobs.SWEEP)  # type: ignore[untyped-decorator]
    def sweep_outbox() -> None:
        sweep(app, context)

    return app


def do_here(settings: Settings, job: str, subject_id: str) -> None:
    """Do a job that was asked for in this process, without a broker. Nothing happens if a worker has it already."""
    context = Context(settings, default_steps(settings))
    asked = context.transactions.run_blocking(
        partial(jobs_outbox.request, job=job, subject_id=subject_id, requested_by=ACTOR)
    )
    do_job(context, asked.id, WORK[job])


def sweep(app: Celery, context: Context) -> int:
    """Send every job that no broker may know of; returns how many. Datasets still holding erased rows are finished."""
    waiting = context.transactions.run_blocking(partial(jobs_outbox.to_send, resend_after=context.lease))
    for job in waiting:
        jobs.send(app, job.job, job.id)
        context.transactions.run_blocking(partial(jobs_outbox.mark_sent, job_id=job.id))
    finish_erasures(context.transactions, context.workplace.files)
    if waiting:
        LOG.info("jobs sent", count=len(waiting))
    return len(waiting)


def do_job(context: Context, job_id: str, work: Work) -> bool:
    """Do a job if it is ours to do now; False where another worker has it. An ended job is ours, and done.

    Raises `DeviceBusy` with the job given back.
    """
    holder = f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident()}"
    claim = partial(jobs_outbox.claim, job_id=job_id, holder=holder, lease=context.lease)
    job = context.transactions.run_blocking(claim)
    if job is None:
        found = context.transactions.run_blocking(partial(jobs_outbox.find, job_id=job_id))
        return found is None or found.state not in jobs_outbox.UNFINISHED
    keep = partial(_keep, context, job_id, holder)
    error_code = None
    try:
        with _keeping(keep, context.lease):
            work(context, job, keep)
    except DeviceBusy:
        context.transactions.run_blocking(partial(jobs_outbox.give_back, job_id=job_id, holder=holder))
        raise
    except HaechiError as error:
        if error.code in LOST:
            LOG.warning("job was taken over by another worker", job=job.job, job_id=job_id, code=error.code)
            return True
        LOG.warning("job failed", job=job.job, job_id=job_id, code=error.code)
        error_code = error.code
    context.transactions.run_blocking(partial(jobs_outbox.end, job_id=job_id, holder=holder, error_code=error_code))
    return True


def _add_job(app: Celery, context: Context, name: str, work: Work) -> None:
    @app.task(name=name, bind=True, max_retries=None)  # type: ignore[untyped-decorator]
    def job(task: Any, job_id: str) -> None:
        try:
            is_done = do_job(context, job_id, work)
        except DeviceBusy:
            raise task.retry(countdown=min(DEVICE_WAIT_SECONDS, context.lease.total_seconds())) from None
        if not is_done:
            # Delivered twice, or again after a worker died: its lease says which; look again when that is over.
            raise task.retry(countdown=context.lease.total_seconds())


def _add_request(app: Celery, context: Context, name: str, request: schedule.Request) -> None:
    @app.task(name=name)  # type: ignore[untyped-decorator]
    def ask() -> None:
        context.transactions.run_blocking(partial(request, settings=context.settings))


def _keep(context: Context, job_id: str, holder: str) -> None:
    context.transactions.run_blocking(partial(jobs_outbox.keep, job_id=job_id, holder=holder, lease=context.lease))


@contextmanager
def _keeping(keep: Callable[[], None], lease: timedelta) -> Iterator[None]:
    """Keep a job in the background; once it is lost, that is for the work's own checks to notice."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(lease.total_seconds() / KEEPING_SHARE):
            try:
                keep()
            except Conflict:
                return
            except HaechiError as error:
                LOG.warning("job could not be kept", code=error.code)

    beating = threading.Thread(target=beat, name="keep-job", daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()


def _train(context: Context, job: JobRequest, keep: Callable[[], None]) -> None:
    retrain(context.workplace, job.subject_id, context.steps, keep)


def _evaluate(context: Context, job: JobRequest, keep: Callable[[], None]) -> None:
    evaluation = context.transactions.run_blocking(partial(training.evaluation, evaluation_id=job.subject_id))
    # PyTorch is loaded by a worker that evaluates, and by no other.
    from trainer.examination import evaluate_served  # noqa: PLC0415

    report, error_code = None, None
    results: tuple[ItemResult, ...] = ()
    try:
        report, results = evaluate_served(context.settings, evaluation.adapter)
    except HaechiError as error:
        error_code = error.code
    keep()
    context.transactions.run_blocking(
        partial(
            training.end_evaluation,
            evaluation_id=evaluation.id,
            report=report,
            error_code=error_code,
            results=results,
        )
    )


def _build_dataset(context: Context, job: JobRequest, keep: Callable[[], None]) -> None:
    # Only this job needs the masker, whose libraries take seconds to load.
    from trainer.dataset_job import build_dataset  # noqa: PLC0415

    build_dataset(context.transactions, context.settings, job.subject_id)


def _purge(context: Context, job: JobRequest, keep: Callable[[], None]) -> None:
    chores.purge(context.settings)


def _retest_document(context: Context, job: JobRequest, keep: Callable[[], None]) -> None:
    chores.retest_document(context.settings, int(job.subject_id))


WORK: Final[dict[str, Work]] = {
    "train": _train,
    "evaluate": _evaluate,
    "build_dataset": _build_dataset,
    "purge": _purge,
    "retest_document": _retest_document,
}


def arguments_of(settings: Settings, queues: str, *, beat: bool) -> list[str]:
    """Celery's own arguments for one worker: one process, so that one training runs at a time."""
    given = ["worker", "--queues", queues, "--concurrency", "1", "--loglevel", "WARNING", "--without-gossip"]
    given += ["--without-mingle", "--hostname", f"{queues.partition(',')[0]}-{os.getpid()}@%h"]
    return [*given, "--beat", "--schedule", str(settings.home / "beat-schedule")] if beat else given


def _touch(file: Path, **_: object) -> None:
    """Celery sends its heartbeat from the process that takes messages, so that a stuck one is seen."""
    file.touch()


def main() -> None:
    """Work until told to stop; a task that is running may finish (Celery's warm shutdown)."""
    parser = argparse.ArgumentParser(description="Worker of Haechi's job queue.")
    parser.add_argument("--queues", default=",".join(jobs.QUEUES), help="Which queues, separated by commas.")
    parser.add_argument("--beat", action="store_true", help="Also ask for what is due; one worker of a platform does.")
    asked = parser.parse_args()
    settings = load_settings()
    configure_logging("worker", settings.log_level)
    leave_no_text_behind()
    # Celery would set up logging of its own, whose lines show arguments.
    setup_logging.connect(lambda **_: None, weak=False)
    if settings.heartbeat_file:
        heartbeat_sent.connect(partial(_touch, settings.heartbeat_file), weak=False)
    create_worker(settings).worker_main(arguments_of(settings, asked.queues, beat=asked.beat))


if __name__ == "__main__":
    main()
