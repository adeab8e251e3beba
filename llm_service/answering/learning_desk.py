"""Datasets and training runs as people ask for them and watch them. The work itself is done elsewhere, by workers."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from llm_service.learning_client import DatasetView, LossPointView, TrainingLog, TrainingRunView
from llm_service.store import datasets, training
from llm_service.store.learning_models import DatasetVersion, TrainingRun
from llm_service.store.transactions import Transactions


class LearningDesk:
    """Asks for datasets and runs, which are rows first, and shows how they stand. `person` is a keyed hash."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def request_dataset(self, person: str, settings: Mapping[str, Any]) -> DatasetView:
        """Ask for the next dataset version."""
        return await self._transactions.run(
            lambda session: _dataset(session, datasets.request(session, person, settings))
        )

    async def datasets(self) -> list[DatasetView]:
        """Every version, the newest first."""
        return await self._transactions.read(
            lambda session: [_dataset(session, version) for version in datasets.listed(session)]
        )

    async def dataset(self, name: str) -> DatasetView:
        """One version. Raises `NotFound` (dataset_not_found)."""
        return await self._transactions.read(lambda session: _dataset(session, datasets.by_name(session, name)))

    async def difference(self, name: str, against: str) -> dict[str, list[dict[str, str]]]:
        """Rows added, removed, changed and moved. Raises `NotFound` (dataset_not_found)."""
        return await self._transactions.read(partial(datasets.difference, name=name, against=against))

    async def request_training(self, person: str, dataset: str, recipe: str, base: str) -> TrainingRunView:
        """Ask for a training. Raises what `training.request` raises."""
        return await self._transactions.run(
            lambda session: _run(session, training.request(session, person, dataset, recipe, base))
        )

    async def runs(self) -> list[TrainingRunView]:
        """Runs, the newest first."""
        return await self._transactions.read(lambda session: [_run(session, run) for run in training.listed(session)])

    async def run(self, run_id: str) -> TrainingRunView:
        """One run. Raises `NotFound` (training_run_not_found)."""
        return await self._transactions.read(lambda session: _run(session, training.run(session, run_id)))

    async def points(self, run_id: str, after_step: int) -> list[LossPointView]:
        """The curve of a run behind a step. Raises `NotFound`."""
        return await self._transactions.read(partial(_points, run_id=run_id, after_step=after_step))

    async def log(self, run_id: str) -> TrainingLog:
        """The newest log lines of a run. Raises `NotFound`."""
        return await self._transactions.read(partial(_log, run_id=run_id))

    async def cancel(self, person: str, run_id: str) -> TrainingRunView:
        """Cancel a run. Raises what `training.cancel` raises."""
        return await self._transactions.run(lambda session: _run(session, training.cancel(session, person, run_id)))


def _dataset(session: Session, version: DatasetVersion) -> DatasetView:
    parent = session.get(DatasetVersion, version.parent_id) if version.parent_id else None
    return DatasetView(
        id=version.id,
        name=version.name,
        state=version.state,
        parent=parent.name if parent else None,
        content_sha256=version.content_sha256,
        settings=version.settings,
        statistics=version.statistics,
        error_code=version.error_code,
        created_at=version.created_at.isoformat(),
        frozen_at=_moment(version.frozen_at),
    )


def _run(session: Session, run: TrainingRun) -> TrainingRunView:
    return TrainingRunView(
        id=run.id,
        dataset=datasets.by_id(session, run.dataset_version_id).name,
        recipe=run.recipe,
        base=run.base,
        state=run.state,
        stage=run.stage,
        progress=run.progress,
        step=run.step,
        total_steps=run.total_steps,
        cancel_requested=run.cancel_requested_by is not None,
        requested_by=run.requested_by,
        error_code=run.error_code,
        error=run.error,
        outcome=run.outcome,
        created_at=run.created_at.isoformat(),
        started_at=_moment(run.started_at),
        ended_at=_moment(run.ended_at),
    )


def _points(session: Session, run_id: str, after_step: int) -> list[LossPointView]:
    training.run(session, run_id)
    return [
        LossPointView(point.step, point.loss, point.heldout_loss, point.learning_rate)
        for point in training.points(session, run_id, after_step)
    ]


def _log(session: Session, run_id: str) -> TrainingLog:
    run = training.run(session, run_id)
    return TrainingLog(list(run.log_tail), run.log_lines)


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
