"""Adapters: versions, approvals, aliases, promotions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UNCHANGEABLE = ("adapters", "adapter_probes", "adapter_proposals", "adapter_approvals")
SQLITE_TRIGGER = """
CREATE TRIGGER tr_{table}_no_{action} BEFORE {action} ON {table}
BEGIN SELECT RAISE(ABORT, 'rows of this table never change'); END
"""
POSTGRES_FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_to_change_adapters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'rows of this table never change' USING ERRCODE = 'restrict_violation'; END $$
"""
POSTGRES_TRIGGER = """
CREATE TRIGGER tr_{table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_adapters()
"""


def upgrade() -> None:
    op.create_table(
        "adapter_lock",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name="ck_adapter_lock_one"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "adapters",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("files", sa.JSON(), nullable=False),
        sa.Column("location", sa.String(length=512), nullable=False),
        sa.Column("base_model", sa.String(length=128), nullable=False),
        sa.Column("base_revision", sa.String(length=128), nullable=False),
        sa.Column("lora_rank", sa.Integer(), nullable=False),
        sa.Column("target_modules", sa.JSON(), nullable=False),
        sa.Column("dataset_version", sa.String(length=128), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("evaluation_id", sa.String(length=128), nullable=False),
        sa.Column("evaluation", sa.JSON(), nullable=False),
        sa.Column("training_run_id", sa.String(length=128), nullable=False),
        sa.Column("trained_by", sa.String(length=64), nullable=False),
        sa.Column("registered_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("lora_rank > 0", name="ck_adapters_rank"),
        sa.PrimaryKeyConstraint("name"),
        sa.UniqueConstraint("family", "number", name="uq_adapters_number"),
        sa.UniqueConstraint("name", "trained_by", "registered_by", name="uq_adapters_makers"),
        sa.UniqueConstraint("sha256"),
    )
    op.create_table(
        "adapter_comparisons",
        sa.Column("adapter", sa.String(length=64), nullable=False),
        sa.Column("against", sa.String(length=64), nullable=False),
        sa.Column("measure", sa.String(length=32), nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("events_against", sa.Integer(), nullable=False),
        sa.Column("turns_against", sa.Integer(), nullable=False),
        sa.Column("lower", sa.Float(), nullable=False),
        sa.Column("upper", sa.Float(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["adapters.name"],
        ),
        sa.PrimaryKeyConstraint("adapter", "against", "measure"),
    )
    op.create_table(
        "adapter_probes",
        sa.Column("adapter", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("maximum_tokens", sa.Integer(), nullable=False),
        sa.Column("answer_sha256", sa.String(length=64), nullable=False),
        sa.Column("base_answer_sha256", sa.String(length=64), nullable=False),
        sa.CheckConstraint("answer_sha256 <> base_answer_sha256", name="ck_adapter_probes_differ"),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["adapters.name"],
        ),
        sa.PrimaryKeyConstraint("adapter", "number"),
    )
    op.create_table(
        "adapter_proposals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=False),
        sa.Column("proposer", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["adapters.name"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "adapter", "proposer", name="uq_adapter_proposals_proposer"),
    )
    with op.batch_alter_table("adapter_proposals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_adapter_proposals_adapter"), ["adapter"], unique=False)

    op.create_table(
        "adapter_states",
        sa.Column("adapter", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("changed_by", sa.String(length=64), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('candidate', 'rejected', 'retired')", name="ck_adapter_states_state"),
        sa.ForeignKeyConstraint(
            ["adapter"],
            ["adapters.name"],
        ),
        sa.PrimaryKeyConstraint("adapter"),
    )
    op.create_table(
        "adapter_approvals",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("proposal_id", sa.String(length=32), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=False),
        sa.Column("proposer", sa.String(length=64), nullable=False),
        sa.Column("trained_by", sa.String(length=64), nullable=False),
        sa.Column("registered_by", sa.String(length=64), nullable=False),
        sa.Column("approver", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "approver <> proposer AND approver <> trained_by AND approver <> registered_by",
            name="ck_adapter_approvals_somebody_else",
        ),
        sa.ForeignKeyConstraint(
            ["adapter", "trained_by", "registered_by"],
            ["adapters.name", "adapters.trained_by", "adapters.registered_by"],
            name="fk_adapter_approvals_makers",
        ),
        sa.ForeignKeyConstraint(
            ["proposal_id", "adapter", "proposer"],
            ["adapter_proposals.id", "adapter_proposals.adapter", "adapter_proposals.proposer"],
            name="fk_adapter_approvals_proposal",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("id", "adapter", name="uq_adapter_approvals_adapter"),
        sa.UniqueConstraint("proposal_id"),
    )
    with op.batch_alter_table("adapter_approvals", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_adapter_approvals_adapter"), ["adapter"], unique=False)

    op.create_table(
        "adapter_aliases",
        sa.Column("alias", sa.String(length=16), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=True),
        sa.Column("approval_id", sa.String(length=32), nullable=True),
        sa.Column("share", sa.Float(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "(alias = 'canary') = (share IS NOT NULL) AND (alias <> 'canary' OR adapter IS NOT NULL)",
            name="ck_adapter_aliases_canary",
        ),
        sa.CheckConstraint("alias IN ('active', 'previous', 'canary')", name="ck_adapter_aliases_alias"),
        sa.CheckConstraint("(adapter IS NULL) = (approval_id IS NULL)", name="ck_adapter_aliases_approved"),
        sa.CheckConstraint("share > 0 AND share <= 1", name="ck_adapter_aliases_share"),
        sa.ForeignKeyConstraint(
            ["approval_id", "adapter"],
            ["adapter_approvals.id", "adapter_approvals.adapter"],
            name="fk_adapter_aliases_approval",
        ),
        sa.PrimaryKeyConstraint("alias"),
    )
    op.create_table(
        "adapter_promotions",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("slot", sa.String(length=16), nullable=True),
        sa.Column("target", sa.String(length=16), nullable=False),
        sa.Column("adapter", sa.String(length=64), nullable=False),
        sa.Column("approval_id", sa.String(length=32), nullable=False),
        sa.Column("share", sa.Float(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("started_by", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("serving_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(state = 'loading') = (slot IS NOT NULL)", name="ck_adapter_promotions_slot"),
        sa.CheckConstraint("(target = 'canary') = (share IS NOT NULL)", name="ck_adapter_promotions_share"),
        sa.CheckConstraint(
            "state IN ('loading', 'serving', 'replaced', 'rolled_back', 'failed', 'cancelled')",
            name="ck_adapter_promotions_state",
        ),
        sa.CheckConstraint("target IN ('active', 'canary')", name="ck_adapter_promotions_target"),
        sa.ForeignKeyConstraint(
            ["approval_id", "adapter"],
            ["adapter_approvals.id", "adapter_approvals.adapter"],
            name="fk_adapter_promotions_approval",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slot"),
    )
    with op.batch_alter_table("adapter_promotions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_adapter_promotions_adapter"), ["adapter"], unique=False)

    with op.batch_alter_table("turns", schema=None) as batch_op:
        batch_op.add_column(sa.Column("adapter", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("cut_sentences", sa.Integer(), nullable=True))
        batch_op.create_index("ix_turns_adapter", ["adapter", "answered_at"], unique=False)
    _make_unchangeable()


def _make_unchangeable() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for table in UNCHANGEABLE:
            for action in ("update", "delete"):
                op.execute(SQLITE_TRIGGER.format(table=table, action=action))
        return
    op.execute(POSTGRES_FUNCTION)
    for table in UNCHANGEABLE:
        op.execute(POSTGRES_TRIGGER.format(table=table))


def downgrade() -> None:
    with op.batch_alter_table("turns", schema=None) as batch_op:
        batch_op.drop_index("ix_turns_adapter")
        batch_op.drop_column("cut_sentences")
        batch_op.drop_column("adapter")

    with op.batch_alter_table("adapter_promotions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_adapter_promotions_adapter"))

    op.drop_table("adapter_promotions")
    op.drop_table("adapter_aliases")
    with op.batch_alter_table("adapter_approvals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_adapter_approvals_adapter"))

    op.drop_table("adapter_approvals")
    op.drop_table("adapter_states")
    with op.batch_alter_table("adapter_proposals", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_adapter_proposals_adapter"))

    op.drop_table("adapter_proposals")
    op.drop_table("adapter_probes")
    op.drop_table("adapter_comparisons")
    op.drop_table("adapters")
    op.drop_table("adapter_lock")
