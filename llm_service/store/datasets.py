"""Questions about dataset versions: asked for, frozen with a row for every example, compared with each other.

The text of a version lies in files; here stand hashes, origins and counts. Knows no file.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, NotFound
from llm_service.masked import MaskedText
from llm_service.store import audit, jobs_outbox
from llm_service.store.learning_models import DatasetRow, DatasetVersion, ReviewItem
from llm_service.store.models import now

BUILD_JOB: Final = "build_dataset"
READ_BATCH_ROWS: Final = 500
DEFAULT_FAMILY: Final = "bank-qa"


@dataclass(frozen=True)
class ApprovedExample:
    """An example that two people approved. `sources` as in `ReviewItem`; a conversation only where a person asked."""

    id: str
    kind: str
    question: MaskedText
    answer: MaskedText
    tags: tuple[str, ...]
    sources: tuple[Mapping[str, Any], ...]
    group_key: str
    licence: str
    locale: str
    feedback_id: str | None
    conversation_id: str | None
    approved_at: datetime


@dataclass(frozen=True)
class RowRecord:
    """A row of a version as it is kept: no text."""

    row_id: str
    split: str
    kind: str
    content_sha256: str
    group_key: str
    licence: str
    review_item_id: str | None
    source: Mapping[str, Any]


@dataclass(frozen=True)
class Frozen:
    """What a built version consists of."""

    content_sha256: str
    statistics: Mapping[str, Any]
    rows: Sequence[RowRecord]


def request(session: Session, person: str, settings: Mapping[str, Any], family: str = DEFAULT_FAMILY) -> DatasetVersion:
    """Ask for the next version of a family (`bank-qa-v3`); its parent is the newest one that is ready."""
    names = session.scalars(select(DatasetVersion.name).where(DatasetVersion.name.startswith(f"{family}-v"))).all()
    numbers = [int(name.rpartition("-v")[2]) for name in names]
    parent = newest_ready(session, family)
    version = DatasetVersion(
        name=f"{family}-v{max(numbers, default=0) + 1}",
        parent_id=parent.id if parent else None,
        settings=dict(settings),
        requested_by=person,
    )
    session.add(version)
    session.flush()
    jobs_outbox.request(session, BUILD_JOB, version.id, person)
    audit.record(session, person, "dataset.requested", "dataset", version.id, {"name": version.name})
    return version


def by_name(session: Session, name: str) -> DatasetVersion:
    """A version by its name. Raises `NotFound` (dataset_not_found)."""
    found = session.scalar(select(DatasetVersion).where(DatasetVersion.name == name))
    if found is None:
        raise NotFound("dataset_not_found", "there is no dataset of this name; see `haechi dataset list`")
    return found


def by_id(session: Session, version_id: str) -> DatasetVersion:
    """A version by its id. Raises `NotFound` (dataset_not_found)."""
    found = session.get(DatasetVersion, version_id)
    if found is None:
        raise NotFound("dataset_not_found", "there is no such dataset")
    return found


def listed(session: Session) -> list[DatasetVersion]:
    """Every version, the newest first."""
    return list(session.scalars(select(DatasetVersion).order_by(DatasetVersion.created_at.desc(), DatasetVersion.name)))


def newest_ready(session: Session, family: str = DEFAULT_FAMILY) -> DatasetVersion | None:
    """The version of a family that training takes where none is named."""
    statement = (
        select(DatasetVersion)
        .where(DatasetVersion.state == "ready", DatasetVersion.name.startswith(f"{family}-v"))
        .order_by(DatasetVersion.frozen_at.desc(), DatasetVersion.id)
        .limit(1)
    )
    return session.scalar(statement)


def approved_examples(session: Session) -> Iterator[ApprovedExample]:
    """Every approved example, in the order of approval: the only text that datasets are made of."""
    statement = (
        select(ReviewItem)
        .where(ReviewItem.state == "approved")
        .order_by(ReviewItem.second_approved_at, ReviewItem.id)
        .execution_options(yield_per=READ_BATCH_ROWS)
    )
    for item in session.scalars(statement):
        assert item.proposed_answer is not None, "a constraint of the table"
        assert item.second_approved_at is not None, "a constraint of the table"
        yield ApprovedExample(
            id=item.id,
            kind=item.kind,
            question=item.proposed_question,
            answer=item.proposed_answer,
            tags=tuple(item.tags),
            sources=tuple(item.sources),
            group_key=item.group_key,
            licence=item.licence,
            locale=item.locale,
            feedback_id=item.feedback_id,
            conversation_id=item.conversation_id,
            approved_at=item.second_approved_at,
        )


def freeze(session: Session, version_id: str, frozen: Frozen) -> DatasetVersion:
    """Make a requested version ready. Raises `Conflict` (dataset_frozen) when it is; a frozen version never changes.

    Rows whose example was erased or reopened while the version was being built make it a conflict too
    (dataset_outdated): build again.
    """
    version = by_id(session, version_id)
    if version.state != "requested":
        raise Conflict("dataset_frozen", "the dataset was built or given up already")
    _require_approved(session, [row.review_item_id for row in frozen.rows if row.review_item_id])
    add_rows(session, version_id, frozen.rows)
    version.state, version.frozen_at = "ready", now()
    version.content_sha256, version.statistics = frozen.content_sha256, dict(frozen.statistics)
    session.flush()
    told = {"name": version.name, "rows": len(frozen.rows), "content_sha256": frozen.content_sha256}
    audit.record(session, version.requested_by, "dataset.frozen", "dataset", version.id, told)
    return version


def fail(session: Session, version_id: str, error_code: str) -> None:
    """Give a requested version up."""
    version = by_id(session, version_id)
    if version.state == "requested":
        version.state, version.error_code = "failed", error_code
        audit.record(session, version.requested_by, "dataset.failed", "dataset", version.id, {"code": error_code})


def add_rows(session: Session, version_id: str, rows: Iterable[RowRecord]) -> None:
    """Keep what a version consists of."""
    values = [
        {
            "version_id": version_id,
            "row_id": row.row_id,
            "split": row.split,
            "kind": row.kind,
            "content_sha256": row.content_sha256,
            "group_key": row.group_key,
            "licence": row.licence,
            "review_item_id": row.review_item_id,
            "source": dict(row.source),
        }
        for row in rows
    ]
    if values:
        session.execute(insert(DatasetRow), values)


def rows_of(session: Session, version_id: str) -> list[DatasetRow]:
    """The rows of a version, in a fixed order."""
    return list(
        session.scalars(select(DatasetRow).where(DatasetRow.version_id == version_id).order_by(DatasetRow.row_id))
    )


def difference(session: Session, name: str, against: str) -> dict[str, list[dict[str, str]]]:
    """What `name` has more than `against` (added), less (removed), in other words (changed), moved to a split.

    Rows of one example are the same row; its question is told as the review queue has it now, empty where it is gone.
    """
    ours = {row.row_id: row for row in rows_of(session, by_name(session, name).id)}
    theirs = {row.row_id: row for row in rows_of(session, by_name(session, against).id)}
    questions = _questions(session, {row.review_item_id for row in (*ours.values(), *theirs.values())})
    both = sorted(ours.keys() & theirs.keys())
    changed = [key for key in both if ours[key].content_sha256 != theirs[key].content_sha256]
    moved = [key for key in both if ours[key].split != theirs[key].split and key not in set(changed)]
    return {
        "added": [_told(ours[key], questions) for key in sorted(ours.keys() - theirs.keys())],
        "removed": [_told(theirs[key], questions) for key in sorted(theirs.keys() - ours.keys())],
        "changed": [_told(ours[key], questions) for key in changed],
        "moved": [{**_told(ours[key], questions), "was": theirs[key].split} for key in moved],
    }


def newest_request_at(session: Session) -> datetime | None:
    """When a dataset was last asked for: approvals after it are not in any version yet."""
    return session.scalar(select(func.max(DatasetVersion.created_at)).where(DatasetVersion.state != "failed"))


def _require_approved(session: Session, item_ids: Sequence[str]) -> None:
    approved = set(session.scalars(select(ReviewItem.id).where(ReviewItem.state == "approved")))
    if not set(item_ids) <= approved:
        raise Conflict("dataset_outdated", "examples were erased or reopened meanwhile; build the dataset again")


def _questions(session: Session, item_ids: Collection[str | None]) -> dict[str, str]:
    wanted = sorted(item_id for item_id in item_ids if item_id)
    found: dict[str, str] = {}
    for start in range(0, len(wanted), READ_BATCH_ROWS):
        batch = wanted[start : start + READ_BATCH_ROWS]
        rows = session.execute(select(ReviewItem.id, ReviewItem.proposed_question).where(ReviewItem.id.in_(batch)))
        found.update((item_id, question) for item_id, question in rows)
    return found


def _told(row: DatasetRow, questions: Mapping[str, str]) -> dict[str, str]:
    return {
        "row_id": row.row_id,
        "kind": row.kind,
        "split": row.split,
        "group": row.group_key,
        "review_item": row.review_item_id or "",
        "question": questions.get(row.review_item_id or "", ""),
    }
