"""The tables of learning: reviewed examples, dataset versions and their rows, training runs, evaluations, job requests.

What must never happen is a constraint here and not only a rule in code: nobody approves their own proposal, two
different people approve, an approved example has a verdict of the rubric and an answer.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import JSON, CheckConstraint, Float, ForeignKey, Index, Integer, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from llm_service.masked import MaskedText
from llm_service.store.models import Base, new_id, now

EXAMPLE_KINDS: Final = (
    "correction",
    "curated",
    "glossary",
    "summary",
    "four_choice",
    "four_choice_writing",
    "rag",
    "refusal",
    "general",
)
RUBRIC: Final = ("correct", "partial", "wrong", "unsupported", "dangerous")
"""정확, 부분, 틀림, 근거없음, 위험: what a reviewer says of the answer that was given."""
REVIEW_STATES: Final = ("pending", "proposed", "first_approved", "approved", "rejected")
DATASET_STATES: Final = ("requested", "ready", "failed", "erasing", "erased")
RUN_STATES: Final = ("queued", "running", "succeeded", "failed", "cancelled")
JOB_STATES: Final = ("requested", "sent", "running", "done", "failed", "cancelled")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


class ReviewItem(Base):
    """A question with the answer that is proposed for training, on its way to two approvals.

    `answer` is what was answered, `proposed_answer` what should have been. `proposed_by`, the approvers and
    `rejected_by` are keyed hashes of persons, or the name of what made the draft. `group_key` (a conversation, a
    document) keeps an example and its kin on one side of the split. `sources`: [{"document_id", "passage_id", "path",
    "title", "label", "article", "text", "in_force_from"}], as they were shown. `version` grows with every change.

    The item outlives its turn, as the bank's own knowledge; `conversation_id` and `user_key` are kept so that a person
    can still be erased from it, together with the mentions in `ReviewMention`.
    """

    __tablename__ = "review_items"
    __table_args__ = (
        CheckConstraint(_one_of("kind", EXAMPLE_KINDS), name="ck_review_items_kind"),
        CheckConstraint(_one_of("state", REVIEW_STATES), name="ck_review_items_state"),
        CheckConstraint(_one_of("rubric", RUBRIC), name="ck_review_items_rubric"),
        CheckConstraint("first_approver <> proposed_by", name="ck_review_items_first_is_not_proposer"),
        CheckConstraint("second_approver <> proposed_by", name="ck_review_items_second_is_not_proposer"),
        CheckConstraint("second_approver <> first_approver", name="ck_review_items_two_approvers"),
        CheckConstraint(
            "(state IN ('first_approved', 'approved')) = (first_approver IS NOT NULL)", name="ck_review_items_first"
        ),
        CheckConstraint("(state = 'approved') = (second_approver IS NOT NULL)", name="ck_review_items_second"),
        CheckConstraint(
            "(state = 'rejected') = (rejected_by IS NOT NULL AND rejection_reason IS NOT NULL)",
            name="ck_review_items_rejected",
        ),
        CheckConstraint(
            "state NOT IN ('first_approved', 'approved') OR (proposed_answer IS NOT NULL AND rubric IS NOT NULL)",
            name="ck_review_items_approved_is_whole",
        ),
        UniqueConstraint("feedback_id", name="uq_review_items_feedback"),
        UniqueConstraint("content_key", name="uq_review_items_content"),
        Index("ix_review_items_state_created_at", "state", "created_at", "id"),
        Index("ix_review_items_state_kind", "state", "kind", "created_at", "id"),
        Index("ix_review_items_proposed_by", "proposed_by", "state"),
        Index("ix_review_items_first_approver", "first_approver", "state"),
        # Hardly anything is held at a time, and who holds is asked at every step of a reviewer.
        Index(
            "ix_review_items_leased_by",
            "leased_by",
            postgresql_where=text("leased_by IS NOT NULL"),
            sqlite_where=text("leased_by IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    kind: Mapped[str] = mapped_column(String(32))
    state: Mapped[str] = mapped_column(String(16), default="pending")
    version: Mapped[int] = mapped_column(default=1)
    feedback_id: Mapped[str | None] = mapped_column(ForeignKey("feedback.id", ondelete="SET NULL"))
    conversation_id: Mapped[str | None] = mapped_column(String(32), index=True)
    user_key: Mapped[str | None] = mapped_column(String(64), index=True)
    group_key: Mapped[str] = mapped_column(String(128))
    content_key: Mapped[str | None] = mapped_column(String(64))
    question: Mapped[MaskedText]
    answer: Mapped[MaskedText | None]
    proposed_question: Mapped[MaskedText]
    proposed_answer: Mapped[MaskedText | None]
    proposed_by: Mapped[str] = mapped_column(String(64))
    proposed_at: Mapped[datetime] = mapped_column(default=now)
    rubric: Mapped[str | None] = mapped_column(String(16))
    first_approver: Mapped[str | None] = mapped_column(String(64))
    first_approved_at: Mapped[datetime | None]
    second_approver: Mapped[str | None] = mapped_column(String(64))
    second_approved_at: Mapped[datetime | None]
    rejected_by: Mapped[str | None] = mapped_column(String(64))
    rejection_reason: Mapped[str | None] = mapped_column(String(32))
    leased_by: Mapped[str | None] = mapped_column(String(64))
    leased_until: Mapped[datetime | None]
    tags: Mapped[list[str]] = mapped_column(default=list)
    sources: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    licence: Mapped[str] = mapped_column(String(64), default="bank")
    locale: Mapped[str] = mapped_column(String(8), default="ko")
    audience: Mapped[str | None] = mapped_column(String(16))
    created_at: Mapped[datetime] = mapped_column(default=now)
    revisions: Mapped[list["ReviewRevision"]] = relationship(
        order_by="ReviewRevision.version", cascade="all, delete-orphan"
    )


class ReviewRevision(Base):
    """What an item proposed at one of its versions, by whom: edits never overwrite each other."""

    __tablename__ = "review_revisions"

    item_id: Mapped[str] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    proposed_by: Mapped[str] = mapped_column(String(64))
    question: Mapped[MaskedText]
    answer: Mapped[MaskedText]
    at: Mapped[datetime] = mapped_column(default=now)


class ReviewMention(Base):
    """That an item's conversation held a value pointing at one person: erasing finds it after the turns are gone."""

    __tablename__ = "review_mentions"

    item_id: Mapped[str] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), primary_key=True)
    mention_key: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)


class DatasetVersion(Base):
    """One frozen dataset. Its text lies in files under `name`, whose hash is `content_sha256`; rows here hold no text.

    `erasing` means that rows were taken away because a person was erased, and that the files still hold them.
    """

    __tablename__ = "dataset_versions"
    __table_args__ = (CheckConstraint(_one_of("state", DATASET_STATES), name="ck_dataset_versions_state"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    state: Mapped[str] = mapped_column(String(16), default="requested")
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("dataset_versions.id", ondelete="SET NULL"))
    content_sha256: Mapped[str | None] = mapped_column(String(64))
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    statistics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error_code: Mapped[str | None] = mapped_column(String(64))
    requested_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    frozen_at: Mapped[datetime | None]


class DatasetRow(Base):
    """One row of a version: its hash, where it stands, and what it came from; the foreign keys lead back to people."""

    __tablename__ = "dataset_rows"
    __table_args__ = (
        CheckConstraint("split IN ('train', 'heldout')", name="ck_dataset_rows_split"),
        CheckConstraint(_one_of("kind", EXAMPLE_KINDS), name="ck_dataset_rows_kind"),
    )

    version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id", ondelete="CASCADE"), primary_key=True)
    row_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    split: Mapped[str] = mapped_column(String(8))
    kind: Mapped[str] = mapped_column(String(32))
    content_sha256: Mapped[str] = mapped_column(String(64))
    group_key: Mapped[str] = mapped_column(String(128))
    licence: Mapped[str] = mapped_column(String(64))
    review_item_id: Mapped[str | None] = mapped_column(String(32), index=True)
    source: Mapped[dict[str, Any]] = mapped_column(default=dict)


class TrainingRun(Base):
    """One training from a dataset to a candidate. `progress` is 0 to 1; `log_tail` are the newest lines, without text.

    `fencing_token` is the token of the device the run holds (`TrainingDevice`): a run whose token is old may write
    nothing more. `outcome`: what the run left behind (adapter, evaluation, gate).
    """

    __tablename__ = "training_runs"
    __table_args__ = (
        CheckConstraint(_one_of("state", RUN_STATES), name="ck_training_runs_state"),
        CheckConstraint("progress >= 0 AND progress <= 1", name="ck_training_runs_progress"),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (ended_at IS NOT NULL)", name="ck_training_runs_ended"
        ),
        Index("ix_training_runs_created_at", "created_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    dataset_version_id: Mapped[str] = mapped_column(ForeignKey("dataset_versions.id"))
    recipe: Mapped[str] = mapped_column(String(64))
    base: Mapped[str] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16), default="queued")
    stage: Mapped[str] = mapped_column(String(32), default="queued")
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int | None]
    requested_by: Mapped[str] = mapped_column(String(64))
    cancel_requested_by: Mapped[str | None] = mapped_column(String(64))
    device: Mapped[str | None] = mapped_column(String(32))
    fencing_token: Mapped[int | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
    error: Mapped[str | None] = mapped_column(String(512))
    outcome: Mapped[dict[str, Any]] = mapped_column(default=dict)
    log_tail: Mapped[list[str]] = mapped_column(default=list)
    log_lines: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    points: Mapped[list["LossPoint"]] = relationship(order_by="LossPoint.step", cascade="all, delete-orphan")


class LossPoint(Base):
    """One point of a run's curve; `heldout_loss` only where it was measured."""

    __tablename__ = "loss_points"

    run_id: Mapped[str] = mapped_column(ForeignKey("training_runs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    loss: Mapped[float | None] = mapped_column(Float)
    heldout_loss: Mapped[float | None] = mapped_column(Float)
    learning_rate: Mapped[float | None] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(default=now)


class TrainingDevice(Base):
    """A GPU (or the CPU in its place) and the run that may write from it: whoever has the newest token."""

    __tablename__ = "training_devices"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    run_id: Mapped[str | None] = mapped_column(String(32))
    fencing_token: Mapped[int] = mapped_column(default=0)
    leased_until: Mapped[datetime | None]


class Evaluation(Base):
    """What an evaluation found of a model on frozen sets; `report` holds scores and hashes, never answers."""

    __tablename__ = "evaluations"
    __table_args__ = (CheckConstraint(_one_of("state", RUN_STATES), name="ck_evaluations_state"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    run_id: Mapped[str | None] = mapped_column(ForeignKey("training_runs.id", ondelete="SET NULL"))
    adapter: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[str] = mapped_column(String(16), default="queued")
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    requested_by: Mapped[str] = mapped_column(String(64))
    error_code: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


class JobRequest(Base):
    """Outbox of the queue: a job that was asked for, before any broker knows of it. `subject_id` is its one argument.

    `holder` has the job until `leased_until`; an unfinished job whose lease ended, or that was sent long ago and never
    begun, is sent again. `once_key` keeps the same job from being asked for twice while the first is unfinished.
    """

    __tablename__ = "job_requests"
    __table_args__ = (
        CheckConstraint(_one_of("state", JOB_STATES), name="ck_job_requests_state"),
        UniqueConstraint("once_key", name="uq_job_requests_once"),
        Index("ix_job_requests_state", "state", "requested_at"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    job: Mapped[str] = mapped_column(String(64))
    subject_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default="requested")
    once_key: Mapped[str | None] = mapped_column(String(160))
    requested_by: Mapped[str] = mapped_column(String(64))
    requested_at: Mapped[datetime] = mapped_column(default=now)
    sent_at: Mapped[datetime | None]
    sent_count: Mapped[int] = mapped_column(default=0)
    begun_count: Mapped[int] = mapped_column(default=0)
    holder: Mapped[str | None] = mapped_column(String(64))
    leased_until: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    error_code: Mapped[str | None] = mapped_column(String(64))
