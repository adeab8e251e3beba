"""The tables of evaluations question by question, and of blind comparisons: pairs, sides, votes.

What must never happen is forbidden here, by the database: a second vote of one person on one pair, a vote of whoever
trained, a vote or a pair without its question. Whoever is erased takes the questions of their conversations along.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import CheckConstraint, Float, ForeignKey, ForeignKeyConstraint, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.masked import MaskedText
from llm_service.store.models import Base, new_id, now

SUBJECTS: Final = ("base", "active", "candidate")
SIDES: Final = ("left", "right")
VOTES: Final = ("left", "right", "tie", "both_bad")
ITEM_ID_CHARACTERS: Final = 128


class EvaluationItem(Base):
    """A question of an evaluation with what a right answer is, masked. `position` is its place in the frozen set.

    `review_item_id` is the approved example that it was made of: with the example it goes.
    """

    __tablename__ = "evaluation_items"
    __table_args__ = (UniqueConstraint("evaluation_id", "position", name="uq_evaluation_items_position"),)

    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id", ondelete="CASCADE"), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(ITEM_ID_CHARACTERS), primary_key=True)
    position: Mapped[int]
    kind: Mapped[str] = mapped_column(String(16))
    tags: Mapped[list[str]]
    question: Mapped[MaskedText]
    reference: Mapped[MaskedText | None]
    review_item_id: Mapped[str | None] = mapped_column(ForeignKey("review_items.id", ondelete="CASCADE"), index=True)


class EvaluationAnswer(Base):
    """What one subject answered to one question, masked, and its scores; `score` is the one that gates compare.

    No `answer` where none was written (a choice), and where one may hold what it was probed for (a leak).
    """

    __tablename__ = "evaluation_answers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["evaluation_id", "item_id"],
            ["evaluation_items.evaluation_id", "evaluation_items.item_id"],
            name="fk_evaluation_answers_item",
            ondelete="CASCADE",
        ),
        CheckConstraint("subject IN ('base', 'active', 'candidate')", name="ck_evaluation_answers_subject"),
    )

    evaluation_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(ITEM_ID_CHARACTERS), primary_key=True)
    subject: Mapped[str] = mapped_column(String(16), primary_key=True)
    answer: Mapped[MaskedText | None]
    scores: Mapped[dict[str, float]]
    score: Mapped[float] = mapped_column(Float)


class BlindComparison(Base):
    """Two subjects of an evaluation, before people who cannot tell which is which. Closed, it shows its counts."""

    __tablename__ = "blind_comparisons"
    __table_args__ = (
        # What votes point at, so that they cannot misname who trained.
        UniqueConstraint("id", "trained_by", name="uq_blind_comparisons_trained_by"),
        UniqueConstraint("id", "evaluation_id", name="uq_blind_comparisons_evaluation"),
        CheckConstraint("first <> second", name="ck_blind_comparisons_differ"),
        CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="ck_blind_comparisons_closed"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    evaluation_id: Mapped[str] = mapped_column(ForeignKey("evaluations.id", ondelete="CASCADE"), index=True)
    first: Mapped[str] = mapped_column(String(16))
    second: Mapped[str] = mapped_column(String(16))
    trained_by: Mapped[str] = mapped_column(String(64))
    requested_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    closed_by: Mapped[str | None] = mapped_column(String(64))
    closed_at: Mapped[datetime | None]


class BlindPair(Base):
    """One question of a comparison, and on which side its first subject stands: by chance, and told to nobody."""

    __tablename__ = "blind_pairs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["comparison_id", "evaluation_id"],
            ["blind_comparisons.id", "blind_comparisons.evaluation_id"],
            name="fk_blind_pairs_comparison",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["evaluation_id", "item_id"],
            ["evaluation_items.evaluation_id", "evaluation_items.item_id"],
            name="fk_blind_pairs_item",
            ondelete="CASCADE",
        ),
        UniqueConstraint("comparison_id", "position", name="uq_blind_pairs_position"),
        CheckConstraint("first_stands IN ('left', 'right')", name="ck_blind_pairs_side"),
    )

    comparison_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(ITEM_ID_CHARACTERS), primary_key=True)
    evaluation_id: Mapped[str] = mapped_column(String(32))
    position: Mapped[int]
    first_stands: Mapped[str] = mapped_column(String(8))


class BlindVote(Base):
    """Which side one person found better, once. `trained_by` is copied under a foreign key, so the CHECK is true."""

    __tablename__ = "blind_votes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["comparison_id", "item_id"],
            ["blind_pairs.comparison_id", "blind_pairs.item_id"],
            name="fk_blind_votes_pair",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["comparison_id", "trained_by"],
            ["blind_comparisons.id", "blind_comparisons.trained_by"],
            name="fk_blind_votes_trained_by",
            ondelete="CASCADE",
        ),
        CheckConstraint("vote IN ('left', 'right', 'tie', 'both_bad')", name="ck_blind_votes_vote"),
        CheckConstraint("voter <> trained_by", name="ck_blind_votes_not_the_trainer"),
    )

    comparison_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    item_id: Mapped[str] = mapped_column(String(ITEM_ID_CHARACTERS), primary_key=True)
    voter: Mapped[str] = mapped_column(String(64), primary_key=True)
    trained_by: Mapped[str] = mapped_column(String(64))
    vote: Mapped[str] = mapped_column(String(8))
    at: Mapped[datetime] = mapped_column(default=now)
