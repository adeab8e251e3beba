"""Writes datasets anew without the rows of erased people, and deletes the files that still held them.

It can be stopped anywhere and begun again: a dataset is `erasing` in the records until its old files are gone.
"""

from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.errors import NotFound
from llm_service.logs import get_logger
from llm_service.store import datasets, learning_erasure
from llm_service.store.dataset_files import SPLITS, DatasetExample, DatasetFiles
from llm_service.store.datasets import Frozen, RowRecord
from llm_service.store.learning_models import DatasetRow, DatasetVersion
from llm_service.store.transactions import Transactions

ACTOR: Final = "service"
LOG = get_logger(__name__)


def finish_erasures(transactions: Transactions, files: DatasetFiles) -> list[str]:
    """Replace every dataset that is being erased by a version without the rows taken out; returns the new names."""
    names = transactions.run_blocking(lambda session: [one.name for one in learning_erasure.being_erased(session)])
    replaced = []
    for name in names:
        successor = transactions.run_blocking(partial(_rewrite, name=name, files=files))
        files.delete(name)
        transactions.run_blocking(partial(_mark, name=name, successor=successor))
        LOG.info("dataset rewritten without erased rows", dataset=name, successor=successor)
        replaced.append(successor)
    return replaced


def _rewrite(session: Session, name: str, files: DatasetFiles) -> str:
    """A successor with the surviving rows; the one of an earlier attempt, if that got so far."""
    version = datasets.by_name(session, name)
    known = session.query(DatasetVersion).filter_by(parent_id=version.id, state="ready").first()
    if known is not None and known.statistics.get("erased_from") == name:
        return known.name
    surviving = datasets.rows_of(session, version.id)
    successor = learning_erasure.replace(session, version, ACTOR)
    statistics = {**version.statistics, "erased_from": name, "rows": len(surviving)}
    content_sha256 = _written(files, version, successor, surviving)
    records = [_record(row) for row in surviving]
    datasets.freeze(session, successor.id, Frozen(content_sha256, statistics, records))
    return successor.name


def _written(
    files: DatasetFiles, version: DatasetVersion, successor: DatasetVersion, surviving: list[DatasetRow]
) -> str:
    """Write the surviving rows; without files of the old version (another machine lost them) the new one is empty."""
    kept = {row.row_id for row in surviving}
    files.delete(successor.name)  # of an attempt that was rolled back
    rows: dict[str, list[DatasetExample]] = {}
    manifest = {"parents": [version.name], "settings": version.settings}
    for split in SPLITS:
        try:
            rows[split] = [row for row in files.rows(version.name, split) if row.id in kept]
        except NotFound:
            LOG.warning("files of a dataset are missing", dataset=version.name, split=split)
    _, content_sha256 = files.write(successor.name, rows, manifest)
    return content_sha256


def _mark(session: Session, name: str, successor: str) -> None:
    learning_erasure.mark_erased(session, datasets.by_name(session, name).id, ACTOR, successor)


def _record(row: DatasetRow) -> RowRecord:
    return RowRecord(
        row.row_id,
        row.split,
        row.kind,
        row.content_sha256,
        row.group_key,
        row.licence,
        row.review_item_id,
        row.source,
    )
