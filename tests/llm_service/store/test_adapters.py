"""What the databases themselves forbid about adapters, on SQLite and PostgreSQL, by models and by migrations alike."""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from llm_service.errors import HaechiError, NotPermitted
from llm_service.masked import MaskedText
from llm_service.store import adapter_rollout, adapters
from llm_service.store.adapter_models import (
    Adapter,
    AdapterAlias,
    AdapterApproval,
    AdapterPromotion,
    AdapterProposal,
)
from llm_service.store.adapters import NewAdapter, RecordedProbe
from llm_service.store.migrate import upgrade
from llm_service.store.models import AuditEvent, Base
from llm_service.store.session import open_database

PEOPLE = ("kim", "lee", "park")
HASHES = ("a" * 64, "b" * 64)
UNCHANGEABLE_COLUMNS = {
    "adapters": "evaluation_id",
    "adapter_probes": "prompt",
    "adapter_proposals": "proposer",
    "adapter_approvals": "approver",
}


def new_adapter(number: int, trained_by: str = "kim") -> NewAdapter:
    sha256 = f"{number:064x}"
    return NewAdapter(
        family="bank-qa",
        sha256=sha256[::-1],
        files={"adapter_model.safetensors": {"sha256": sha256, "bytes": 1}},
        location=f"path:{sha256}",
        base_model="mistral-7b",
        base_revision="r1",
        lora_rank=32,
        target_modules=["q_proj"],
        dataset_version="d1",
        recipe={},
        evaluation_id="e1",
        evaluation={"exact_match": 0.9},
        training_run_id="run-1",
        trained_by=trained_by,
        probes=[RecordedProbe(MaskedText("p"), MaskedText(""), MaskedText("u"), 8, *HASHES)],
    )


def registered(session: Session, number: int = 1, trained_by: str = "kim", registered_by: str = "kim") -> str:
    return adapters.register(session, new_adapter(number, trained_by), registered_by).name


def commits(database: Engine, *rows: Base) -> None:
    with Session(database) as session:
        session.add_all(rows)
        session.commit()


@pytest.mark.parametrize("made_by", ["models", "migrations"])
def test_a_version_a_probe_a_proposal_and_an_approval_never_change(database: Engine, made_by: str) -> None:
    if made_by == "migrations":
        Base.metadata.drop_all(database)
        upgrade(database)
    with Session(database) as session, session.begin():
        proposal = adapters.propose(session, registered(session), "lee")
        adapters.approve(session, proposal.id, "park")
    for table, column in UNCHANGEABLE_COLUMNS.items():
        for statement in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with database.connect() as connection, pytest.raises(DBAPIError, match="rows of this table never change"):
                connection.execute(text(statement))


def test_names_are_numbered_within_their_family(database: Engine) -> None:
    with Session(database) as session, session.begin():
        assert registered(session, 1).startswith("bank-qa-v1-1000")
        assert registered(session, 2).startswith("bank-qa-v2-2000")


@pytest.mark.parametrize("approver", ["kim", "lee", "choi"])
def test_who_trained_proposed_or_registered_cannot_approve_not_even_past_our_code(
    database: Engine, approver: str
) -> None:
    with Session(database) as session, session.begin():
        name = registered(session, trained_by="kim", registered_by="choi")
        proposal = adapters.propose(session, name, "lee").id
        with pytest.raises(HaechiError, match="approval_of_own_work"):
            adapters.approve(session, proposal, approver)
    row = {"proposal_id": proposal, "adapter": name, "approver": approver}
    honest = {"proposer": "lee", "trained_by": "kim", "registered_by": "choi"}
    for lie in ({}, {"proposer": "nobody"}, {"trained_by": "nobody"}, {"registered_by": "nobody"}):
        with pytest.raises(IntegrityError):
            commits(database, AdapterApproval(**{**row, **honest, **lie}))


def test_an_alias_without_an_approval_of_that_version_is_refused(database: Engine) -> None:
    with Session(database) as session, session.begin():
        first, second = registered(session, 1), registered(session, 2)
        proposal = adapters.propose(session, first, "lee").id
        approval = adapters.approve(session, proposal, "park").id
    for adapter, approval_id in ((first, None), (second, approval), (first, "0" * 32)):
        with pytest.raises(IntegrityError):
            commits(database, AdapterAlias(alias="active", adapter=adapter, approval_id=approval_id))
    commits(database, AdapterAlias(alias="active", adapter=first, approval_id=approval))


@pytest.mark.parametrize("alias", ["newest", "Active", ""])
def test_there_are_three_aliases_and_no_other(database: Engine, alias: str) -> None:
    with pytest.raises(IntegrityError):
        commits(database, AdapterAlias(alias=alias))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.1, None])
def test_a_canary_has_a_share_between_nothing_and_everything(database: Engine, share: float | None) -> None:
    with Session(database) as session, session.begin():
        name = registered(session)
        approval = adapters.approve(session, adapters.propose(session, name, "lee").id, "park").id
    with pytest.raises(IntegrityError):
        commits(database, AdapterAlias(alias="canary", adapter=name, approval_id=approval, share=share))


def test_only_one_promotion_loads_at_a_time_not_even_past_our_code(database: Engine) -> None:
    with Session(database) as session, session.begin():
        name = registered(session)
        approval = adapters.approve(session, adapters.propose(session, name, "lee").id, "park").id
        adapter_rollout.start_promotion(session, name, "active", None, "choi")
    with pytest.raises(IntegrityError):
        commits(database, AdapterPromotion(target="active", adapter=name, approval_id=approval, started_by="choi"))


def test_nobody_promotes_what_they_trained_not_even_past_our_code(database: Engine) -> None:
    with Session(database) as session, session.begin():
        name = registered(session)
        approval = adapters.approve(session, adapters.propose(session, name, "lee").id, "park").id
        with pytest.raises(NotPermitted, match="promotion_of_own_work"):
            adapter_rollout.start_promotion(session, name, "active", None, "kim")
    promotion = {"target": "active", "adapter": name, "approval_id": approval}
    with pytest.raises(DBAPIError, match="nobody promotes what they trained"):
        commits(database, AdapterPromotion(**promotion, started_by="kim"))
    commits(database, AdapterPromotion(**promotion, started_by="choi"))
    with pytest.raises(DBAPIError, match="nobody promotes what they trained"), database.begin() as connection:
        connection.execute(update(AdapterPromotion).values(started_by="kim"))


def test_whoever_trained_the_canary_does_not_give_it_more_people(database: Engine) -> None:
    with Session(database) as session, session.begin():
        name = registered(session)
        approval = adapters.approve(session, adapters.propose(session, name, "lee").id, "park").id
    commits(database, AdapterAlias(alias="canary", adapter=name, approval_id=approval, share=0.1))
    with Session(database) as session, session.begin():
        with pytest.raises(NotPermitted, match="promotion_of_own_work"):
            adapter_rollout.set_share(session, 1.0, "kim")
        assert adapter_rollout.set_share(session, 0.2, "choi").share == 0.2


def test_every_step_leaves_its_audit_row_in_the_same_transaction(database: Engine) -> None:
    with Session(database) as session, session.begin():
        name = registered(session)
        proposal = adapters.propose(session, name, "lee").id
        adapters.approve(session, proposal, "park")
        promotion = adapter_rollout.start_promotion(session, name, "active", None, "choi").id
        lock = adapter_rollout.take_lock(session, "process", 10)
        assert lock is not None
        adapter_rollout.flip(session, promotion, lock)
        adapter_rollout.roll_back(session, "active", "choi", "operator")
    with Session(database) as session:
        rows = session.execute(select(AuditEvent.action, AuditEvent.actor).order_by(AuditEvent.id)).all()
        assert [tuple(row) for row in rows] == [
            ("adapter.registered", "kim"),
            ("adapter.proposed", "lee"),
            ("adapter.approved", "park"),
            ("adapter.promotion_started", "choi"),
            ("adapter.promoted", "choi"),
            ("adapter.rolled_back", "choi"),
        ]


def _act(action: str, name: str, person: str) -> Callable[[Session], object]:
    def work(session: Session) -> object:
        match action:
            case "propose":
                return adapters.propose(session, name, person)
            case "approve":
                for proposal, approval in adapters.proposals_of(session, name):
                    if approval is None:
                        return adapters.approve(session, proposal.id, person)
                return None
            case "promote" | "canary":
                share = 0.5 if action == "canary" else None
                target = "canary" if action == "canary" else "active"
                return adapter_rollout.start_promotion(session, name, target, share, person)
            case "flip":
                running = adapter_rollout.running_promotion(session)
                lock = adapter_rollout.take_lock(session, "process", 10)
                assert lock is not None
                return adapter_rollout.flip(session, running.id, lock) if running else None
            case "insert":
                proposals = adapters.proposals_of(session, name)
                version = session.get_one(Adapter, name)
                session.add_all(
                    AdapterApproval(
                        proposal_id=proposal.id,
                        adapter=name,
                        proposer=proposal.proposer,
                        trained_by=version.trained_by,
                        registered_by=version.registered_by,
                        approver=person,
                    )
                    for proposal, approval in proposals
                    if approval is None
                )
                return session.flush()
            case _:
                return adapter_rollout.roll_back(session, "active", person, "operator")

    return work


ACTIONS = st.tuples(
    st.sampled_from(["propose", "approve", "promote", "canary", "flip", "insert", "roll_back"]),
    st.sampled_from([1, 2]),
    st.sampled_from(PEOPLE),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=st.lists(ACTIONS, max_size=25), trainers=st.tuples(*[st.sampled_from(PEOPLE)] * 4))
def test_whatever_people_do_in_whatever_order_nobody_brings_a_version_into_service_alone(
    actions: list[tuple[str, int, str]], trainers: tuple[str, ...]
) -> None:
    database = open_database("sqlite://")
    Base.metadata.create_all(database)
    with Session(database) as session, session.begin():
        names = {
            number: registered(session, number, trainers[2 * number - 2], trainers[2 * number - 1]) for number in (1, 2)
        }
    for action, number, person in actions:
        try:
            with Session(database) as session, session.begin():
                _act(action, names[number], person)(session)
        except (HaechiError, IntegrityError):
            pass
        with Session(database) as session:
            _nobody_was_alone(session)
    database.dispose()


def _nobody_was_alone(session: Session) -> None:
    for row in session.scalars(select(AdapterAlias).where(AdapterAlias.adapter.is_not(None))):
        approval = session.get_one(AdapterApproval, row.approval_id)
        version = session.get_one(Adapter, row.adapter)
        proposer = session.get_one(AdapterProposal, approval.proposal_id).proposer
        assert approval.adapter == version.name
        assert approval.approver not in {proposer, version.trained_by, version.registered_by}
    loading = select(func.count()).select_from(AdapterPromotion).where(AdapterPromotion.state == "loading")
    assert (session.scalar(loading) or 0) <= 1
