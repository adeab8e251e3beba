"""The queue with a real Redis and real worker processes: killed, flushed, delivered twice, cancelled."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import redis
from celery import Celery

from llm_service import jobs
from llm_service.settings import Settings
from llm_service.store import datasets, jobs_outbox, training
from llm_service.store.dataset_files import DatasetExample, DatasetFiles
from llm_service.store.datasets import Frozen
from llm_service.store.learning_models import JobRequest, LossPoint, TrainingRun
from llm_service.store.migrate import upgrade
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions
from tests.llm_service.store.learning_rows import ANA, approved_draft
from tests.trainer.learning_worker import BEGUN, EXAMINED, KEPT, PROCESS

PROJECT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 60
LEASE_SECONDS = 1.5


@dataclass
class Learning:
    """Records, queue and folders of one test; `worker` starts a real process."""

    settings: Settings
    transactions: Transactions
    queue: Celery
    logs: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(self) -> str:
        """A training that is asked for."""
        return self.transactions.run_blocking(
            lambda session: training.request(session, ANA, "bank-qa-v1", "tiny-cpu", "tiny").id
        )

    def job_of(self, subject_id: str) -> JobRequest:
        return self.transactions.run_blocking(
            lambda session: session.query(JobRequest).filter_by(subject_id=subject_id).one()
        )

    def state_of(self, run_id: str) -> TrainingRun:
        return self.transactions.run_blocking(partial(training.run, run_id=run_id))

    def file(self, run_id: str, name: str) -> Path:
        return self.settings.learning_root / "runs" / run_id / name

    def read(self, run_id: str, name: str) -> list[str]:
        path = self.file(run_id, name)
        return path.read_text(encoding="utf-8").split() if path.exists() else []

    def send(self, job_id: str) -> None:
        job = self.transactions.run_blocking(partial(jobs_outbox.find, job_id=job_id))
        assert job is not None
        jobs.send(self.queue, job.job, job.id)
        self.transactions.run_blocking(partial(jobs_outbox.mark_sent, job_id=job_id))

    @contextmanager
    def worker(self, queues: str = ",".join(jobs.QUEUES), *, beat: bool = False) -> Iterator[subprocess.Popen[bytes]]:
        environment = {
            **os.environ,
            "HAECHI_HOME": str(self.settings.home),
            "HAECHI_REDIS_URL": self.settings.redis_url.get_secret_value(),
            "HAECHI_JOB_LEASE_SECONDS": str(LEASE_SECONDS),
            "HAECHI_DEVICE": "cpu",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "tests.trainer.learning_worker", queues, *(["--beat"] if beat else [])]
        with self.logs.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=PROJECT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        try:
            yield process
        finally:
            with_its_children(process, signal.SIGKILL)
            process.wait()

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not happen; {self.logs.read_text()[-3000:]}"
            time.sleep(0.05)


def with_its_children(process: subprocess.Popen[bytes], number: int) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


@pytest.fixture
def learning(tmp_path: Path, redis_url: str) -> Iterator[Learning]:
    settings = Settings(home=tmp_path, redis_url=redis_url, device="cpu")  # type: ignore[arg-type]
    database = open_database(settings.resolved_database_url)
    upgrade(database)
    transactions = Transactions(database)
    files = DatasetFiles(settings.datasets_directory)
    row = DatasetExample("1", ({"role": "user", "content": "가"},), "curated", (), {}, "bank", "g")
    _, content_sha256 = files.write("bank-qa-v1", {"train": [row]}, {})
    version = transactions.run_blocking(lambda session: datasets.request(session, ANA, {}).id)
    transactions.run_blocking(lambda session: datasets.freeze(session, version, Frozen(content_sha256, {}, [])))
    transactions.run_blocking(lambda session: jobs_outbox.cancel(session, datasets.BUILD_JOB, version))
    (settings.learning_root / "bases" / "tiny").mkdir(parents=True)
    yield Learning(settings, transactions, jobs.create_queue(settings), tmp_path / "worker.log")
    database.dispose()


def test_a_training_is_told_live_and_ends_as_a_candidate(learning: Learning) -> None:
    run_id = learning.run()
    with learning.worker(beat=True):
        learning.until("the first steps", lambda: 0 < learning.state_of(run_id).progress < 1)
        learning.until("the end", lambda: learning.state_of(run_id).state == "succeeded")
        learning.until("the end of the job", lambda: learning.job_of(run_id).state == "done")
    run = learning.state_of(run_id)
    assert (run.progress, run.outcome["verdict"], run.log_tail[0]) == (1.0, "candidate", "goes on from step 0")
    steps = learning.transactions.run_blocking(lambda session: [p.step for p in training.points(session, run_id)])
    assert steps == list(range(1, 21))


def test_a_worker_killed_in_the_middle_is_replaced_and_the_training_goes_on(learning: Learning) -> None:
    run_id = learning.run()
    with learning.worker(beat=True):
        learning.until("step five", lambda: learning.state_of(run_id).step >= 5)
        # The process of the pool that trains, not its parent: Celery redelivers what it had not acknowledged.
        os.kill(int(learning.file(run_id, PROCESS).read_text()), signal.SIGKILL)
        learning.until("the end", lambda: learning.state_of(run_id).state == "succeeded")
    begun = [int(step) for step in learning.read(run_id, BEGUN)]
    assert begun[0] == 0
    assert len(begun) == 2
    assert begun[1] >= 4
    assert learning.read(run_id, EXAMINED) == ["once"]
    assert learning.state_of(run_id).fencing_token == 2


def test_a_whole_worker_killed_leaves_its_job_to_the_next_one(learning: Learning) -> None:
    run_id = learning.run()
    with learning.worker(beat=True) as first:
        learning.until("step three", lambda: learning.state_of(run_id).step >= 3)
        with_its_children(first, signal.SIGKILL)
        first.wait()
    with learning.worker(beat=True):
        learning.until("the end", lambda: learning.state_of(run_id).state == "succeeded")
    assert [int(step) >= 2 for step in learning.read(run_id, BEGUN)] == [False, True]


def test_what_a_flushed_broker_lost_is_sent_again(learning: Learning) -> None:
    run_id = learning.run()
    learning.send(learning.job_of(run_id).id)
    with redis.Redis.from_url(learning.settings.redis_url.get_secret_value()) as broker:
        assert broker.llen(f"{jobs.KEY_PREFIX}{jobs.TRAIN}") == 1
        broker.flushall()
    with learning.worker(beat=True):
        learning.until("the end", lambda: learning.state_of(run_id).state == "succeeded")
    assert learning.job_of(run_id).sent_count >= 2


def test_a_job_delivered_several_times_is_done_once(learning: Learning) -> None:
    run_id = learning.run()
    job_id = learning.job_of(run_id).id
    for _ in range(3):
        learning.send(job_id)
    with learning.worker(), learning.worker():
        learning.until("the end", lambda: learning.job_of(run_id).state == "done")
        learning.until("an empty queue", lambda: _waiting(learning) == 0)
    assert learning.read(run_id, BEGUN) == ["0"]
    assert learning.read(run_id, EXAMINED) == ["once"]


def test_a_running_training_is_cancelled_and_the_queue_lives_on(learning: Learning) -> None:
    run_id, next_id = learning.run(), learning.run()
    with learning.worker(beat=True):
        learning.until("the first steps", lambda: learning.state_of(run_id).step >= 2)
        learning.transactions.run_blocking(lambda session: training.cancel(session, ANA, run_id))
        learning.until("the end", lambda: learning.state_of(run_id).state == "cancelled")
        learning.until("the next one", lambda: learning.state_of(next_id).state == "succeeded")
    assert not learning.file(run_id, EXAMINED).exists()
    assert learning.state_of(run_id).error_code == "training_cancelled"
    assert int(learning.read(run_id, KEPT)[0]) < 20


def test_two_workers_never_train_on_one_device_at_once(learning: Learning) -> None:
    runs = [learning.run(), learning.run()]
    with learning.worker(beat=True), learning.worker():
        for run_id in runs:
            learning.until("an end", lambda run_id=run_id: learning.state_of(run_id).state == "succeeded")

    def spans(run_id: str) -> tuple[object, object]:
        return learning.transactions.run_blocking(
            lambda session: session.query(LossPoint.at).filter_by(run_id=run_id).order_by(LossPoint.at).all()
        )

    first, second = sorted((spans(run_id) for run_id in runs), key=lambda found: found[0])
    assert first[-1] < second[0]


def test_a_dataset_is_built_by_the_queue(learning: Learning) -> None:
    def ask(session: object) -> str:
        approved_draft(session)  # type: ignore[arg-type]
        return datasets.request(session, ANA, {"general_share": 0, "heldout_share": 0}).id  # type: ignore[arg-type]

    version_id = learning.transactions.run_blocking(ask)
    with learning.worker(beat=True):
        learning.until("the end", lambda: learning.job_of(version_id).state in ("done", "failed"))
    version = learning.transactions.run_blocking(partial(datasets.by_id, version_id=version_id))
    assert (version.state, version.statistics["rows"]) == ("ready", 1)
    assert "예금자보호" not in learning.logs.read_text(encoding="utf-8")


def _waiting(learning: Learning) -> int:
    with redis.Redis.from_url(learning.settings.redis_url.get_secret_value()) as broker:
        return int(broker.llen(f"{jobs.KEY_PREFIX}{jobs.TRAIN}")) + int(broker.hlen(f"{jobs.KEY_PREFIX}unacked"))
