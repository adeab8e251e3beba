"""Takes a person out of what was learnt from: examples, rows of datasets; and names the adapters trained on them.

A dataset that loses rows is `erasing` until its files are written anew without them; whoever owns the files does that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from llm_service.store import audit, jobs_outbox
from llm_service.store.adapter_models import Adapter, AdapterState
from llm_service.store.datasets import BUILD_JOB
from llm_service.store.learning_models import DatasetRow, DatasetVersion, ReviewItem, ReviewMention
from llm_service.store.models import now

BATCH_ROWS: Final = 500
ERASED: Final = "trained_on_erased_person"


@dataclass(frozen=True)
class Learnt:
    """What was made from a person's words: examples by id, datasets and adapters by name."""

    items: tuple[str, ...]
    datasets: tuple[str, ...]
    adapters: tuple[str, ...]


def learnt_from(
    session: Session, conversation_ids: Sequence[str], user_key: str | None = None, mention_key: str | None = None
) -> Learnt:
    """What was made from these conversations, and, though their turns be long gone, from this person or this value."""
    items: set[str] = set()
    for batch in _batches(list(conversation_ids)):
        items.update(session.scalars(select(ReviewItem.id).where(ReviewItem.conversation_id.in_(batch))))
    if user_key is not None:
        items.update(session.scalars(select(ReviewItem.id).where(ReviewItem.user_key == user_key)))
    if mention_key is not None:
        items.update(session.scalars(select(ReviewMention.item_id).where(ReviewMention.mention_key == mention_key)))
    names: dict[str, None] = {}
    for batch in _batches(sorted(items)):
        statement = select(DatasetVersion.name).join(DatasetRow).where(DatasetRow.review_item_id.in_(batch))
        names.update(dict.fromkeys(session.scalars(statement.distinct().order_by(DatasetVersion.name))))
    adapters = select(Adapter.name).where(Adapter.dataset_version.in_(list(names))).order_by(Adapter.name)
    return Learnt(tuple(sorted(items)), tuple(names), tuple(session.scalars(adapters)))


def take_out(session: Session, learnt: Learnt, actor: str) -> None:
    """Delete the examples and their rows; datasets become `erasing`, adapters may not be promoted any more."""
    versions = session.scalars(select(DatasetVersion).where(DatasetVersion.name.in_(learnt.datasets))).all()
    for version in versions:
        version.state = "erasing" if version.state in ("ready", "erasing") else version.state
    for batch in _batches(learnt.items):
        session.execute(delete(DatasetRow).where(DatasetRow.review_item_id.in_(batch)))
        session.execute(delete(ReviewItem).where(ReviewItem.id.in_(batch)))
    flagged = update(AdapterState).where(AdapterState.adapter.in_(learnt.adapters))
    session.execute(flagged.values(state="rejected", reason=ERASED, changed_by=actor, changed_at=now()))
    for version in versions:
        audit.record(session, actor, "dataset.erasing", "dataset", version.id, {"name": version.name})


def being_erased(session: Session) -> list[DatasetVersion]:
    """Versions whose files still hold rows that are gone."""
    return list(session.scalars(select(DatasetVersion).where(DatasetVersion.state == "erasing")))


def replace(session: Session, version: DatasetVersion, actor: str) -> DatasetVersion:
    """The successor of a version being erased: the same rows but those taken out. Its files must be written before."""
    family, _, _ = version.name.rpartition("-v")
    names = session.scalars(select(DatasetVersion.name).where(DatasetVersion.name.startswith(f"{family}-v")))
    number = max(int(name.rpartition("-v")[2]) for name in names) + 1
    successor = DatasetVersion(
        name=f"{family}-v{number}", parent_id=version.id, settings=version.settings, requested_by=actor
    )
    session.add(successor)
    session.flush()
    return successor


def mark_erased(session: Session, version_id: str, actor: str, successor: str) -> None:
    """Note that the files of a version are gone; its rows go with them, its name and hash stay."""
    version = session.get_one(DatasetVersion, version_id)
    version.state = "erased"
    session.execute(delete(DatasetRow).where(DatasetRow.version_id == version_id))
    jobs_outbox.cancel(session, BUILD_JOB, version_id)
    audit.record(session, actor, "dataset.erased", "dataset", version_id, {"successor": successor})


def delete_undecided_without_feedback(session: Session) -> int:
    """Delete corrections that nobody approved and whose turn has outlived its time; returns how many there were."""
    result = session.execute(
        delete(ReviewItem).where(
            ReviewItem.kind == "correction",
            ReviewItem.conversation_id.is_not(None),
            ReviewItem.feedback_id.is_(None),
            ReviewItem.state != "approved",
        )
    )
    assert isinstance(result, CursorResult)
    return result.rowcount


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(ids), BATCH_ROWS):
        yield ids[start : start + BATCH_ROWS]
