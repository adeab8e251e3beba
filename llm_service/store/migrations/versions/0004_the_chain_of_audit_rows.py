"""The chain of audit rows; rows of before are chained in the order of their ids."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

GENESIS_SHA256 = "0" * 64
EVENTS = sa.table(
    "audit_events",
    sa.column("id", sa.Integer),
    sa.column("position", sa.Integer),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("actor", sa.String),
    sa.column("action", sa.String),
    sa.column("subject_kind", sa.String),
    sa.column("subject_id", sa.String),
    sa.column("details", sa.JSON),
    sa.column("sha256", sa.String),
)
CHAIN = sa.table(
    "audit_chain",
    sa.column("id", sa.Integer),
    sa.column("last_position", sa.Integer),
    sa.column("last_sha256", sa.String),
    sa.column("before_first_position", sa.Integer),
    sa.column("before_first_sha256", sa.String),
)


def upgrade() -> None:
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_position", sa.Integer(), nullable=False),
        sa.Column("last_sha256", sa.String(length=64), nullable=False),
        sa.Column("before_first_position", sa.Integer(), nullable=False),
        sa.Column("before_first_sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_audit_chain_one"),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.add_column(sa.Column("position", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("sha256", sa.String(length=64), nullable=True))
    _chain_rows_of_before()
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.alter_column("position", existing_type=sa.Integer(), nullable=False)
        batch_op.alter_column("sha256", existing_type=sa.String(length=64), nullable=False)
        batch_op.create_unique_constraint("uq_audit_events_position", ["position"])


def downgrade() -> None:
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.drop_constraint("uq_audit_events_position", type_="unique")
        batch_op.drop_column("sha256")
        batch_op.drop_column("position")
    op.drop_table("audit_chain")


def _chain_rows_of_before() -> None:
    connection = op.get_bind()
    position, sha256 = 0, GENESIS_SHA256
    for row in connection.execute(sa.select(EVENTS).order_by(EVENTS.c.id)).mappings().all():
        position, sha256 = position + 1, _chained(sha256, position + 1, row)
        connection.execute(EVENTS.update().where(EVENTS.c.id == row["id"]).values(position=position, sha256=sha256))
    ends = {"last_position": position, "last_sha256": sha256}
    beginning = {"before_first_position": 0, "before_first_sha256": GENESIS_SHA256}
    connection.execute(CHAIN.insert().values(id=1, **ends, **beginning))


def _chained(before: str, position: int, row: Any) -> str:
    """The hash as release 0.2 computes it; a migration keeps its own copy, since it must never change."""
    at: datetime = row["at"]
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    words = [before, position, at.isoformat(timespec="microseconds")]
    words += [row["actor"], row["action"], row["subject_kind"], row["subject_id"], row["details"]]
    return hashlib.sha256(json.dumps(words, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
