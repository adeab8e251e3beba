"""The queue's names and rules: which jobs there are, in which queue, and how Celery treats them. No work is done here.

A message carries the id of a row and nothing else; whatever the broker does with it, the row decides (`jobs_outbox`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from celery import Celery
from celery.schedules import crontab

from llm_service.errors import Misconfigured
from llm_service.settings import Settings

INGEST, EVALUATE, TRAIN, HOUSEKEEPING = "ingest", "evaluate", "train", "housekeeping"
QUEUES: Final = (INGEST, EVALUATE, TRAIN, HOUSEKEEPING)
KEY_PREFIX: Final = "haechi:jobs:"
SWEEP_SECONDS: Final = 5.0
RETRAIN_CHECK_SECONDS: Final = 300.0
SHORT_TASK_SECONDS: Final = 3600
VISIBILITY_MARGIN_SECONDS: Final = 600


@dataclass(frozen=True)
class Job:
    """A kind of job: the task that does it, and its queue."""

    task: str
    queue: str


JOBS: Final[Mapping[str, Job]] = {
    "train": Job("haechi.train", TRAIN),
    "evaluate": Job("haechi.evaluate", EVALUATE),
    "build_dataset": Job("haechi.build_dataset", HOUSEKEEPING),
    "purge": Job("haechi.purge", HOUSEKEEPING),
    "retest_document": Job("haechi.retest_document", INGEST),
}
"""Jobs by the name their rows have."""

SWEEP: Final = "haechi.sweep"
RETRAIN_WHEN_DUE: Final = "haechi.retrain_when_due"
REQUEST_PURGE: Final = "haechi.request_purge"
REQUEST_EVALUATION: Final = "haechi.request_evaluation"
REQUEST_RETESTS: Final = "haechi.request_retests"
SCHEDULED: Final = (SWEEP, RETRAIN_WHEN_DUE, REQUEST_PURGE, REQUEST_EVALUATION, REQUEST_RETESTS)
"""What beat asks for: each only writes rows, so that two of them do no harm."""


def create_queue(settings: Settings, name: str = "haechi") -> Celery:
    """The Celery application without tasks: enough to send. Raises `Misconfigured` (queue_url_missing)."""
    url = settings.queue_url.get_secret_value() or settings.redis_url.get_secret_value()
    if not url:
        raise Misconfigured("queue_url_missing", "workers need a Redis: set HAECHI_QUEUE_URL or HAECHI_REDIS_URL")
    app = Celery(name, broker=url, set_as_current=False)
    app.conf.update(_rules(settings))
    return app


def send(app: Celery, job: str, job_id: str) -> None:
    """Hand the id of a job's row to the broker. Raises kombu's `OperationalError` when it cannot be reached."""
    known = JOBS[job]
    app.send_task(known.task, args=[job_id], queue=known.queue, task_id=job_id, retry=False)


def _rules(settings: Settings) -> dict[str, Any]:
    longest = settings.training_timeout_seconds
    return {
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_time_limit": SHORT_TASK_SECONDS,
        "task_annotations": {JOBS["train"].task: {"time_limit": longest}},
        "task_queues": {queue: {"exchange": queue, "routing_key": queue} for queue in QUEUES},
        "task_default_queue": HOUSEKEEPING,
        "task_create_missing_queues": False,
        "worker_prefetch_multiplier": 1,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_send_task_events": False,
        "worker_cancel_long_running_tasks_on_connection_loss": True,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            # The broker gives a task of a vanished worker back after this; the sweeper is much quicker.
            "visibility_timeout": longest + VISIBILITY_MARGIN_SECONDS,
            "global_keyprefix": KEY_PREFIX,
            "socket_connect_timeout": 5,
        },
        "beat_schedule_filename": str(settings.home / "beat-schedule"),
        "beat_schedule": _schedule(min(SWEEP_SECONDS, settings.job_lease_seconds)),
        "timezone": "Asia/Seoul",
        "enable_utc": True,
    }


def _schedule(sweep_seconds: float) -> dict[str, Any]:
    def every(task: str, when: Any, expires_seconds: float) -> dict[str, Any]:
        # A message that waited longer than until the next one comes is of no use any more.
        return {"task": task, "schedule": when, "options": {"queue": HOUSEKEEPING, "expires": expires_seconds}}

    return {
        "sweep": every(SWEEP, sweep_seconds, SWEEP_SECONDS * 2),
        "retrain": every(RETRAIN_WHEN_DUE, RETRAIN_CHECK_SECONDS, RETRAIN_CHECK_SECONDS),
        "purge": every(REQUEST_PURGE, crontab(hour=3, minute=0), SHORT_TASK_SECONDS),
        "retests": every(REQUEST_RETESTS, crontab(hour=0, minute=10), SHORT_TASK_SECONDS),
        "evaluation": every(REQUEST_EVALUATION, crontab(hour=4, minute=0, day_of_week=0), SHORT_TASK_SECONDS),
    }
