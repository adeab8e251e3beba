"""The outbox of the queue: what is to be done is a row first, and a message to a broker only then.

A broker may lose a message, deliver it twice, or give it to a worker that dies: the row says who may do the work. Knows
no broker and no task.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.errors import Conflict
from llm_service.store.learning_models import JobRequest
from llm_service.store.models import now

JOB_LEASE: Final = timedelta(seconds=30)
RESEND_AFTER: Final = timedelta(seconds=60)
MOST_DOUBLINGS: Final = 5
UNFINISHED: Final = ("requested", "sent", "running")


def request(session: Session, job: str, subject_id: str, requested_by: str) -> JobRequest:
    """Ask for a job, once: while the same job for the same subject is unfinished, that one is returned."""
    once_key = f"{job}:{subject_id}"
    known = session.scalar(select(JobRequest).where(JobRequest.once_key == once_key))
    if known is not None:
        return known
    row = JobRequest(job=job, subject_id=subject_id, requested_by=requested_by, once_key=once_key)
    session.add(row)
    session.flush()
    return row


def to_send(session: Session, resend_after: timedelta = RESEND_AFTER, limit: int = 100) -> list[JobRequest]:
    """Jobs that no broker may know of: never sent, sent long ago and not begun, begun by somebody who is gone.

    One that waits behind others is sent again ever more seldom, or its messages would pile up.
    """
    at = now()
    statement = (
        select(JobRequest)
        .where(
            or_(
                JobRequest.state == "requested",
                (JobRequest.state == "sent") & (JobRequest.sent_at < at - resend_after),
                (JobRequest.state == "running")
                & (JobRequest.leased_until < at)
                & (JobRequest.sent_at < at - resend_after),
            )
        )
        .order_by(JobRequest.requested_at, JobRequest.id)
        .limit(limit)
    )
    return [job for job in session.scalars(statement) if _is_due(job, resend_after)]


def mark_sent(session: Session, job_id: str) -> None:
    """Note that the broker took a message for this job; one that runs meanwhile stays running."""
    values = {"sent_at": now(), "sent_count": JobRequest.sent_count + 1}
    session.execute(update(JobRequest).where(JobRequest.id == job_id).values(**values))
    _move(session, (JobRequest.id == job_id) & (JobRequest.state == "requested"), state="sent")


def claim(session: Session, job_id: str, holder: str, lease: timedelta = JOB_LEASE) -> JobRequest | None:
    """The job, if it is this holder's to do now; None if it has ended or another holder is alive."""
    at = now()
    free = JobRequest.state.in_(("requested", "sent")) | (
        (JobRequest.state == "running") & (JobRequest.leased_until < at)
    )
    claimed = _move(
        session,
        (JobRequest.id == job_id) & free,
        state="running",
        holder=holder,
        leased_until=at + lease,
        begun_count=JobRequest.begun_count + 1,
    )
    return find(session, job_id) if claimed else None


def keep(session: Session, job_id: str, holder: str, lease: timedelta = JOB_LEASE) -> None:
    """Keep the job for another lease. Raises `Conflict` (job_lost) when it is another's by now."""
    held = (JobRequest.id == job_id) & (JobRequest.holder == holder) & (JobRequest.state == "running")
    if not _move(session, held, leased_until=now() + lease):
        raise Conflict("job_lost", "another worker has this job by now, or it was cancelled")


def end(session: Session, job_id: str, holder: str, error_code: str | None = None) -> bool:
    """End a job as done, or as failed with a code. False when it was not this holder's any more."""
    held = (JobRequest.id == job_id) & (JobRequest.holder == holder) & (JobRequest.state == "running")
    state = "failed" if error_code else "done"
    return _move(session, held, state=state, error_code=error_code, ended_at=now(), once_key=None, leased_until=None)


def give_back(session: Session, job_id: str, holder: str) -> bool:
    """Let a job that cannot be done yet wait for its next delivery. False when it was not this holder's any more."""
    held = (JobRequest.id == job_id) & (JobRequest.holder == holder) & (JobRequest.state == "running")
    return _move(session, held, state="sent", holder=None, leased_until=None, sent_at=now())


def cancel(session: Session, job: str, subject_id: str) -> bool:
    """Cancel a job that has not begun. False when it has, or has ended."""
    waiting = (JobRequest.once_key == f"{job}:{subject_id}") & JobRequest.state.in_(("requested", "sent"))
    return _move(session, waiting, state="cancelled", ended_at=now(), once_key=None)


def find(session: Session, job_id: str) -> JobRequest | None:
    """A job as it stands."""
    return session.scalars(
        select(JobRequest).where(JobRequest.id == job_id), execution_options={"populate_existing": True}
    ).one_or_none()


def unfinished(session: Session, jobs: Sequence[str]) -> int:
    """How many of these jobs wait or run."""
    return len(list(session.scalars(select(JobRequest.id).where(JobRequest.job.in_(jobs), _is_unfinished()))))


def _is_due(job: JobRequest, resend_after: timedelta) -> bool:
    if job.state != "sent" or job.sent_at is None:
        return True
    doubled = min(job.sent_count - 1, MOST_DOUBLINGS)
    return bool(now() - job.sent_at >= resend_after * 2**doubled)


def _is_unfinished() -> Any:
    return JobRequest.state.in_(UNFINISHED)


def _move(session: Session, condition: Any, **values: Any) -> bool:
    result = session.execute(
        update(JobRequest).where(condition).values(**values).execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    return result.rowcount == 1
