"""Examples under review by who had a part in them."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("review_items", schema=None) as batch_op:
        batch_op.create_index("ix_review_items_first_approver", ["first_approver", "state"], unique=False)
        batch_op.create_index("ix_review_items_proposed_by", ["proposed_by", "state"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("review_items", schema=None) as batch_op:
        batch_op.drop_index("ix_review_items_proposed_by")
        batch_op.drop_index("ix_review_items_first_approver")
