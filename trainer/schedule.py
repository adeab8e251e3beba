"""What is due, asked for as rows: a retraining after enough approvals, purge, evaluation of what serves, retests.

Asking twice does no harm: an unfinished job is not asked for again. Does no work itself.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service import jobs
from llm_service.logs import get_logger
from llm_service.retrieval.identity import KOREAN_TIME
from llm_service.settings import Settings
from llm_service.store import datasets, jobs_outbox, review, training
from llm_service.store.adapter_models import AdapterAlias
from llm_service.store.learning_models import DatasetVersion, TrainingRun
from llm_service.store.models import Document

ACTOR: Final = "schedule"
LOG = get_logger(__name__)
Request = Callable[..., None]


def retrain_when_due(session: Session, settings: Settings) -> None:
    """Ask for a dataset when enough examples were approved since the last one, and for a training when it is ready."""
    wanted = settings.retrain_after_approvals
    if not (wanted and settings.base_model and settings.training_recipe):
        return
    waiting = session.scalars(select(DatasetVersion).where(DatasetVersion.requested_by == ACTOR)).all()
    if any(version.state == "requested" for version in waiting):
        return
    trained = set(session.scalars(select(TrainingRun.dataset_version_id)))
    for version in waiting:
        if version.state == "ready" and version.id not in trained:
            training.request(session, ACTOR, version.name, settings.training_recipe, settings.base_model)
            return
    if review.approvals_since(session, datasets.newest_request_at(session)) >= wanted:
        version = datasets.request(session, ACTOR, {})
        LOG.info("dataset asked for after approvals", dataset=version.name)


def request_purge(session: Session, settings: Settings) -> None:
    """Ask llm_service to delete what has outlived its time."""
    jobs_outbox.request(session, "purge", "records", ACTOR)


def request_evaluation(session: Session, settings: Settings) -> None:
    """Ask for an evaluation of the active adapter; where none serves there is nothing to watch."""
    active = session.scalar(select(AdapterAlias.adapter).where(AdapterAlias.alias == "active"))
    if active is not None:
        training.request_evaluation(session, ACTOR, active)


def request_retests(session: Session, settings: Settings) -> None:
    """Ask for retests of approved answers against every edition that comes into force today in Korea."""
    today = datetime.now(UTC).astimezone(KOREAN_TIME).date()
    statement = select(Document.id).where(Document.in_force_from == today, Document.state == "ready")
    for document_id in session.scalars(statement.order_by(Document.id)):
        jobs_outbox.request(session, "retest_document", str(document_id), ACTOR)


REQUESTS: Final[dict[str, Request]] = {
    jobs.RETRAIN_WHEN_DUE: retrain_when_due,
    jobs.REQUEST_PURGE: request_purge,
    jobs.REQUEST_EVALUATION: request_evaluation,
    jobs.REQUEST_RETESTS: request_retests,
}
