"""Hand-offs to a person, and what is written in them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "handoffs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("conversation_id", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("taken_by", sa.String(length=64), nullable=True),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("first_reply_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("touched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.String(length=16), nullable=True),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("reply_to", sa.String(length=512), nullable=True),
        sa.Column("last_position", sa.Integer(), nullable=False),
        sa.CheckConstraint("(state IN ('closed', 'abandoned')) = (ended_at IS NOT NULL)", name="ck_handoffs_ended"),
        sa.CheckConstraint("rating IS NULL OR state = 'closed'", name="ck_handoffs_rated"),
        sa.CheckConstraint("reason IN ('asked', 'refused', 'complaint')", name="ck_handoffs_reason"),
        sa.CheckConstraint("state <> 'waiting' OR taken_by IS NULL", name="ck_handoffs_waiting"),
        sa.CheckConstraint(
            "state IN ('waiting', 'taken', 'answered', 'closed', 'abandoned')", name="ck_handoffs_state"
        ),
        sa.CheckConstraint(
            "state NOT IN ('taken', 'answered') OR (taken_by IS NOT NULL AND taken_at IS NOT NULL)",
            name="ck_handoffs_taken",
        ),
        sa.CheckConstraint("ended_at IS NULL OR due_at IS NULL", name="ck_handoffs_owed"),
        sa.CheckConstraint("rating BETWEEN 1 AND 5", name="ck_handoffs_rating"),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("handoffs", schema=None) as batch_op:
        batch_op.create_index("ix_handoffs_conversation", ["conversation_id", "asked_at"], unique=False)
        batch_op.create_index("ix_handoffs_state_asked_at", ["state", "asked_at"], unique=False)
        batch_op.create_index(
            "uq_handoffs_open",
            ["conversation_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('waiting', 'taken', 'answered')"),
            postgresql_where=sa.text("state IN ('waiting', 'taken', 'answered')"),
        )

    op.create_table(
        "handoff_events",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("handoff_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=True),
        sa.Column("author", sa.String(length=8), nullable=True),
        sa.Column("event_id", sa.String(length=128), nullable=True),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("claimed_until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(kind = 'message') = (author IS NOT NULL AND event_id IS NOT NULL AND text IS NOT NULL)",
            name="ck_handoff_events_message",
        ),
        sa.CheckConstraint("(kind = 'state') = (state IS NOT NULL)", name="ck_handoff_events_state"),
        sa.CheckConstraint("author IN ('agent', 'person')", name="ck_handoff_events_author"),
        sa.CheckConstraint("kind IN ('state', 'message')", name="ck_handoff_events_kind"),
        sa.ForeignKeyConstraint(["handoff_id"], ["handoffs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("handoff_id", "event_id", name="uq_handoff_events_event"),
        sa.UniqueConstraint("handoff_id", "position", name="uq_handoff_events_position"),
    )
    with op.batch_alter_table("handoff_events", schema=None) as batch_op:
        batch_op.create_index("ix_handoff_events_undelivered", ["delivered_at", "at"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("handoff_events", schema=None) as batch_op:
        batch_op.drop_index("ix_handoff_events_undelivered")

    op.drop_table("handoff_events")
    with op.batch_alter_table("handoffs", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_handoffs_open",
            sqlite_where=sa.text("state IN ('waiting', 'taken', 'answered')"),
            postgresql_where=sa.text("state IN ('waiting', 'taken', 'answered')"),
        )
        batch_op.drop_index("ix_handoffs_state_asked_at")
        batch_op.drop_index("ix_handoffs_conversation")

    op.drop_table("handoffs")
