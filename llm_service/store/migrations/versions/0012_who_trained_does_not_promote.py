"""Nobody promotes what they trained; indices for the queue of reviews and for one kind of audit rows."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SQLITE_TRIGGER = """
CREATE TRIGGER tr_adapter_promotions_{name}_not_by_trainer BEFORE {action} ON adapter_promotions
WHEN EXISTS (SELECT 1 FROM adapters WHERE name = NEW.adapter AND trained_by = NEW.started_by)
BEGIN SELECT RAISE(ABORT, 'nobody promotes what they trained'); END
"""
SQLITE_ACTIONS = {"insert": "INSERT", "update": "UPDATE OF adapter, started_by"}
POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_promotion_by_trainer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF EXISTS (SELECT 1 FROM adapters WHERE name = NEW.adapter AND trained_by = NEW.started_by) THEN
RAISE EXCEPTION 'nobody promotes what they trained' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$
"""
POSTGRES_TRIGGER = """
CREATE TRIGGER tr_adapter_promotions_not_by_trainer BEFORE INSERT OR UPDATE OF adapter, started_by
ON adapter_promotions FOR EACH ROW EXECUTE FUNCTION refuse_promotion_by_trainer()
"""


def upgrade() -> None:
    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.create_index("ix_audit_events_action", ["action", "id"], unique=False)

    with op.batch_alter_table("review_items", schema=None) as batch_op:
        batch_op.create_index(
            "ix_review_items_leased_by",
            ["leased_by"],
            unique=False,
            postgresql_where=sa.text("leased_by IS NOT NULL"),
            sqlite_where=sa.text("leased_by IS NOT NULL"),
        )
        batch_op.create_index("ix_review_items_state_kind", ["state", "kind", "created_at", "id"], unique=False)
    _refuse_promotion_by_trainer()


def _refuse_promotion_by_trainer() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name, action in SQLITE_ACTIONS.items():
            op.execute(SQLITE_TRIGGER.format(name=name, action=action))
        return
    op.execute(POSTGRES_FUNCTION)
    op.execute(POSTGRES_TRIGGER)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for name in SQLITE_ACTIONS:
            op.execute(f"DROP TRIGGER tr_adapter_promotions_{name}_not_by_trainer")
    else:
        op.execute("DROP TRIGGER tr_adapter_promotions_not_by_trainer ON adapter_promotions")
        op.execute("DROP FUNCTION refuse_promotion_by_trainer")
    with op.batch_alter_table("review_items", schema=None) as batch_op:
        batch_op.drop_index("ix_review_items_state_kind")
        batch_op.drop_index(
            "ix_review_items_leased_by",
            postgresql_where=sa.text("leased_by IS NOT NULL"),
            sqlite_where=sa.text("leased_by IS NOT NULL"),
        )

    with op.batch_alter_table("audit_events", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_events_action")
