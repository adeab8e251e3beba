"""The tables of adapters: versions, probes, proposals, approvals, aliases, promotions, the lock, comparisons.

What must never happen is forbidden here, by the database: a version changed, an alias without an approval, an approval
by whoever trained, registered or proposed, a promotion by whoever trained. Knows no file and no server.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import DDL, CheckConstraint, Float, ForeignKey, ForeignKeyConstraint, String, UniqueConstraint, event
from sqlalchemy.orm import Mapped, mapped_column

from llm_service.masked import MaskedText
from llm_service.store.models import Base, new_id, now

ADAPTER_NAME_CHARACTERS: Final = 64


class Adapter(Base):
    """One version of an adapter, named by its family, its number and the beginning of its hash. Rows never change.

    `files` maps a file's name to {"sha256", "bytes"}; `sha256` is the hash of that list. People are keyed hashes.
    """

    __tablename__ = "adapters"
    __table_args__ = (
        UniqueConstraint("family", "number", name="uq_adapters_number"),
        # What approvals point at, so that they cannot misname who trained and who registered.
        UniqueConstraint("name", "trained_by", "registered_by", name="uq_adapters_makers"),
        CheckConstraint("lora_rank > 0", name="ck_adapters_rank"),
    )

    name: Mapped[str] = mapped_column(String(ADAPTER_NAME_CHARACTERS), primary_key=True)
    family: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    files: Mapped[dict[str, Any]]
    location: Mapped[str] = mapped_column(String(512))
    base_model: Mapped[str] = mapped_column(String(128))
    base_revision: Mapped[str] = mapped_column(String(128))
    lora_rank: Mapped[int]
    target_modules: Mapped[list[str]]
    dataset_version: Mapped[str] = mapped_column(String(128))
    recipe: Mapped[dict[str, Any]]
    evaluation_id: Mapped[str] = mapped_column(String(128))
    evaluation: Mapped[dict[str, Any]]
    training_run_id: Mapped[str] = mapped_column(String(128))
    trained_by: Mapped[str] = mapped_column(String(64))
    registered_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class AdapterProbe(Base):
    """A prompt whose answer tells the adapter from its base, as the evaluation recorded it. Rows never change."""

    __tablename__ = "adapter_probes"
    __table_args__ = (CheckConstraint("answer_sha256 <> base_answer_sha256", name="ck_adapter_probes_differ"),)

    adapter: Mapped[str] = mapped_column(ForeignKey("adapters.name"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    prompt: Mapped[MaskedText]
    system: Mapped[MaskedText]
    user: Mapped[MaskedText]
    maximum_tokens: Mapped[int]
    answer_sha256: Mapped[str] = mapped_column(String(64))
    base_answer_sha256: Mapped[str] = mapped_column(String(64))


class AdapterState(Base):
    """Whether a version may still be promoted: a candidate may, a rejected one never, a retired one was replaced."""

    __tablename__ = "adapter_states"
    __table_args__ = (CheckConstraint("state IN ('candidate', 'rejected', 'retired')", name="ck_adapter_states_state"),)

    adapter: Mapped[str] = mapped_column(ForeignKey("adapters.name"), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), default="candidate")
    reason: Mapped[str] = mapped_column(String(64), default="")
    changed_by: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[datetime] = mapped_column(default=now)


class AdapterProposal(Base):
    """Somebody wants a version promoted. Rows never change."""

    __tablename__ = "adapter_proposals"
    __table_args__ = (UniqueConstraint("id", "adapter", "proposer", name="uq_adapter_proposals_proposer"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    adapter: Mapped[str] = mapped_column(ForeignKey("adapters.name"), index=True)
    proposer: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class AdapterApproval(Base):
    """Somebody else agrees to a proposal. Who proposed, trained and registered is copied here under foreign keys.

    So the CHECK compares what is true of the version and of the proposal, whoever writes the row. Rows never change.
    """

    __tablename__ = "adapter_approvals"
    __table_args__ = (
        ForeignKeyConstraint(
            ["proposal_id", "adapter", "proposer"],
            ["adapter_proposals.id", "adapter_proposals.adapter", "adapter_proposals.proposer"],
            name="fk_adapter_approvals_proposal",
        ),
        ForeignKeyConstraint(
            ["adapter", "trained_by", "registered_by"],
            ["adapters.name", "adapters.trained_by", "adapters.registered_by"],
            name="fk_adapter_approvals_makers",
        ),
        UniqueConstraint("id", "adapter", name="uq_adapter_approvals_adapter"),
        CheckConstraint(
            "approver <> proposer AND approver <> trained_by AND approver <> registered_by",
            name="ck_adapter_approvals_somebody_else",
        ),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    proposal_id: Mapped[str] = mapped_column(String(32), unique=True)
    adapter: Mapped[str] = mapped_column(String(ADAPTER_NAME_CHARACTERS), index=True)
    proposer: Mapped[str] = mapped_column(String(64))
    trained_by: Mapped[str] = mapped_column(String(64))
    registered_by: Mapped[str] = mapped_column(String(64))
    approver: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)


class AdapterAlias(Base):
    """Which version is active, previous or canary; no version at all (NULL) is the base model.

    An alias names a version only together with an approval of that version. `share` of conversations get the canary.
    """

    __tablename__ = "adapter_aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["approval_id", "adapter"],
            ["adapter_approvals.id", "adapter_approvals.adapter"],
            name="fk_adapter_aliases_approval",
        ),
        CheckConstraint("alias IN ('active', 'previous', 'canary')", name="ck_adapter_aliases_alias"),
        CheckConstraint("(adapter IS NULL) = (approval_id IS NULL)", name="ck_adapter_aliases_approved"),
        CheckConstraint(
            "(alias = 'canary') = (share IS NOT NULL) AND (alias <> 'canary' OR adapter IS NOT NULL)",
            name="ck_adapter_aliases_canary",
        ),
        CheckConstraint("share > 0 AND share <= 1", name="ck_adapter_aliases_share"),
    )

    alias: Mapped[str] = mapped_column(String(16), primary_key=True)
    adapter: Mapped[str | None] = mapped_column(String(ADAPTER_NAME_CHARACTERS))
    approval_id: Mapped[str | None] = mapped_column(String(32))
    share: Mapped[float | None] = mapped_column(Float)
    since: Mapped[datetime] = mapped_column(default=now)


class AdapterPromotion(Base):
    """One attempt to bring an approved version into service, from loading to its end; `slot` lets one load at a time.

    `purpose` is why whoever started it wanted it; `reason` is why it ended as it did.
    loading → serving → replaced | rolled_back, or loading → failed | cancelled. `details` says what each replica lacks.
    """

    __tablename__ = "adapter_promotions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["approval_id", "adapter"],
            ["adapter_approvals.id", "adapter_approvals.adapter"],
            name="fk_adapter_promotions_approval",
        ),
        CheckConstraint(
            "state IN ('loading', 'serving', 'replaced', 'rolled_back', 'failed', 'cancelled')",
            name="ck_adapter_promotions_state",
        ),
        CheckConstraint("target IN ('active', 'canary')", name="ck_adapter_promotions_target"),
        CheckConstraint("(target = 'canary') = (share IS NOT NULL)", name="ck_adapter_promotions_share"),
        CheckConstraint("(state = 'loading') = (slot IS NOT NULL)", name="ck_adapter_promotions_slot"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    slot: Mapped[str | None] = mapped_column(String(16), unique=True, default="loading")
    target: Mapped[str] = mapped_column(String(16))
    adapter: Mapped[str] = mapped_column(String(ADAPTER_NAME_CHARACTERS), index=True)
    approval_id: Mapped[str] = mapped_column(String(32))
    share: Mapped[float | None] = mapped_column(Float)
    state: Mapped[str] = mapped_column(String(16), default="loading")
    purpose: Mapped[str | None] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(64), default="")
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_by: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(default=now)
    serving_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]


class AdapterLock(Base):
    """The one row that says which process promotes. `fence` grows with every holder: an outdated one cannot flip."""

    __tablename__ = "adapter_lock"
    __table_args__ = (CheckConstraint("id = 1", name="ck_adapter_lock_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    holder: Mapped[str] = mapped_column(String(32))
    fence: Mapped[int]
    expires_at: Mapped[datetime]


class AdapterComparison(Base):
    """The last look at one measure of a watched version against another one; no name stands for the base model."""

    __tablename__ = "adapter_comparisons"

    adapter: Mapped[str] = mapped_column(ForeignKey("adapters.name"), primary_key=True)
    against: Mapped[str] = mapped_column(String(ADAPTER_NAME_CHARACTERS), primary_key=True)
    measure: Mapped[str] = mapped_column(String(32), primary_key=True)
    events: Mapped[int]
    turns: Mapped[int]
    events_against: Mapped[int]
    turns_against: Mapped[int]
    lower: Mapped[float] = mapped_column(Float)
    upper: Mapped[float] = mapped_column(Float)
    verdict: Mapped[str] = mapped_column(String(16))
    looked_at: Mapped[datetime] = mapped_column(default=now)


UNCHANGEABLE: Final = ("adapters", "adapter_probes", "adapter_proposals", "adapter_approvals")
"""Tables whose rows are written once. SQLite's batch migrations rebuild a table without its triggers: remake them."""

_SQLITE_TRIGGER: Final = """
CREATE TRIGGER tr_%(table)s_no_{action} BEFORE {action} ON %(table)s
BEGIN SELECT RAISE(ABORT, 'rows of this table never change'); END
"""
_POSTGRES_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION refuse_to_change_adapters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'rows of this table never change' USING ERRCODE = 'restrict_violation'; END $$
"""
_POSTGRES_TRIGGER: Final = """
CREATE TRIGGER tr_%(table)s_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %(table)s
FOR EACH STATEMENT EXECUTE FUNCTION refuse_to_change_adapters()
"""

for _name in UNCHANGEABLE:
    _table = Base.metadata.tables[_name]
    for _dialect, _statement in (
        ("sqlite", _SQLITE_TRIGGER.format(action="update")),
        ("sqlite", _SQLITE_TRIGGER.format(action="delete")),
        ("postgresql", _POSTGRES_FUNCTION),
        ("postgresql", _POSTGRES_TRIGGER),
    ):
        _made = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]  # SQLAlchemy's own
        event.listen(_table, "after_create", _made)

# A trigger and no CHECK: who trained stands in the version's own row, and promotions of before the rule may stay.
_SQLITE_PROMOTER: Final = """
CREATE TRIGGER tr_adapter_promotions_{name}_not_by_trainer BEFORE {action} ON adapter_promotions
WHEN EXISTS (SELECT 1 FROM adapters WHERE name = NEW.adapter AND trained_by = NEW.started_by)
BEGIN SELECT RAISE(ABORT, 'nobody promotes what they trained'); END
"""
_POSTGRES_PROMOTER_FUNCTION: Final = """
CREATE OR REPLACE FUNCTION refuse_promotion_by_trainer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN IF EXISTS (SELECT 1 FROM adapters WHERE name = NEW.adapter AND trained_by = NEW.started_by) THEN
RAISE EXCEPTION 'nobody promotes what they trained' USING ERRCODE = 'check_violation'; END IF; RETURN NEW; END $$
"""
_POSTGRES_PROMOTER: Final = """
CREATE TRIGGER tr_adapter_promotions_not_by_trainer BEFORE INSERT OR UPDATE OF adapter, started_by
ON adapter_promotions FOR EACH ROW EXECUTE FUNCTION refuse_promotion_by_trainer()
"""
for _dialect, _statement in (
    ("sqlite", _SQLITE_PROMOTER.format(name="insert", action="INSERT")),
    ("sqlite", _SQLITE_PROMOTER.format(name="update", action="UPDATE OF adapter, started_by")),
    ("postgresql", _POSTGRES_PROMOTER_FUNCTION),
    ("postgresql", _POSTGRES_PROMOTER),
):
    _made = DDL(_statement).execute_if(dialect=_dialect)  # type: ignore[no-untyped-call]  # SQLAlchemy's own
    event.listen(AdapterPromotion.__table__, "after_create", _made)
