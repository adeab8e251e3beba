"""Evaluations question by question, blind comparisons, why a version was promoted."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "blind_comparisons",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("first", sa.String(length=16), nullable=False),
        sa.Column("second", sa.String(length=16), nullable=False),
        sa.Column("trained_by", sa.String(length=64), nullable=False),
        sa.Column("requested_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_by", sa.String(length=64), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(closed_at IS NULL) = (closed_by IS NULL)", name="ck_blind_comparisons_closed"),
        sa.CheckConstraint("first <> second", name="ck_blind_comparisons_differ"),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "evaluation_id", name="uq_blind_comparisons_evaluation"),
        sa.UniqueConstraint("id", "trained_by", name="uq_blind_comparisons_trained_by"),
    )
    with op.batch_alter_table("blind_comparisons", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_blind_comparisons_evaluation_id"), ["evaluation_id"], unique=False)

    op.create_table(
        "evaluation_items",
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("question", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=True),
        sa.Column("review_item_id", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluations.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["review_item_id"], ["review_items.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("evaluation_id", "item_id"),
        sa.UniqueConstraint("evaluation_id", "position", name="uq_evaluation_items_position"),
    )
    with op.batch_alter_table("evaluation_items", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_evaluation_items_review_item_id"), ["review_item_id"], unique=False)

    op.create_table(
        "blind_pairs",
        sa.Column("comparison_id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.String(length=128), nullable=False),
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("first_stands", sa.String(length=8), nullable=False),
        sa.CheckConstraint("first_stands IN ('left', 'right')", name="ck_blind_pairs_side"),
        sa.ForeignKeyConstraint(
            ["comparison_id", "evaluation_id"],
            ["blind_comparisons.id", "blind_comparisons.evaluation_id"],
            name="fk_blind_pairs_comparison",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id", "item_id"],
            ["evaluation_items.evaluation_id", "evaluation_items.item_id"],
            name="fk_blind_pairs_item",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", "item_id"),
        sa.UniqueConstraint("comparison_id", "position", name="uq_blind_pairs_position"),
    )
    op.create_table(
        "evaluation_answers",
        sa.Column("evaluation_id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.String(length=128), nullable=False),
        sa.Column("subject", sa.String(length=16), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.CheckConstraint("subject IN ('base', 'active', 'candidate')", name="ck_evaluation_answers_subject"),
        sa.ForeignKeyConstraint(
            ["evaluation_id", "item_id"],
            ["evaluation_items.evaluation_id", "evaluation_items.item_id"],
            name="fk_evaluation_answers_item",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "item_id", "subject"),
    )
    op.create_table(
        "blind_votes",
        sa.Column("comparison_id", sa.String(length=32), nullable=False),
        sa.Column("item_id", sa.String(length=128), nullable=False),
        sa.Column("voter", sa.String(length=64), nullable=False),
        sa.Column("trained_by", sa.String(length=64), nullable=False),
        sa.Column("vote", sa.String(length=8), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("vote IN ('left', 'right', 'tie', 'both_bad')", name="ck_blind_votes_vote"),
        sa.CheckConstraint("voter <> trained_by", name="ck_blind_votes_not_the_trainer"),
        sa.ForeignKeyConstraint(
            ["comparison_id", "item_id"],
            ["blind_pairs.comparison_id", "blind_pairs.item_id"],
            name="fk_blind_votes_pair",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["comparison_id", "trained_by"],
            ["blind_comparisons.id", "blind_comparisons.trained_by"],
            name="fk_blind_votes_trained_by",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("comparison_id", "item_id", "voter"),
    )
    with op.batch_alter_table("adapter_promotions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("purpose", sa.String(length=32), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("adapter_promotions", schema=None) as batch_op:
        batch_op.drop_column("purpose")

    op.drop_table("blind_votes")
    op.drop_table("evaluation_answers")
    op.drop_table("blind_pairs")
    with op.batch_alter_table("evaluation_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_evaluation_items_review_item_id"))

    op.drop_table("evaluation_items")
    with op.batch_alter_table("blind_comparisons", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_blind_comparisons_evaluation_id"))

    op.drop_table("blind_comparisons")
