"""The few turns that are being answered, by since when."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("turns", schema=None) as batch_op:
        batch_op.create_index(
            "ix_turns_answering",
            ["answering_since"],
            unique=False,
            postgresql_where=sa.text("state = 'answering'"),
            sqlite_where=sa.text("state = 'answering'"),
        )


def downgrade() -> None:
    with op.batch_alter_table("turns", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_turns_answering",
            postgresql_where=sa.text("state = 'answering'"),
            sqlite_where=sa.text("state = 'answering'"),
        )
