"""The chain of audit rows: whatever is done to the table behind its back is found, and where."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, select, text, update
from sqlalchemy.orm import Session

from llm_service.store import audit
from llm_service.store.migrate import upgrade
from llm_service.store.models import AuditChain, AuditEvent, Base
from llm_service.store.session import session_factory

ROWS = 12


def recorded(database: Engine, rows: int = ROWS) -> None:
    for number in range(rows):
        with session_factory(database).begin() as session:
            details = {"count": number, "kinds": ["전화", "a"], "share": 0.25}
            audit.record(session, f"actor-{number % 3}", "turn.read", "turn", f"turn-{number}", details)


def verified(database: Engine) -> audit.Verification:
    with Session(database) as session:
        return audit.verify(session)


def done(database: Engine, *statements: object) -> None:
    with session_factory(database).begin() as session:
        for statement in statements:
            session.execute(statement)  # type: ignore[call-overload]


def test_an_untouched_chain_holds(database: Engine) -> None:
    recorded(database)
    found = verified(database)
    assert (found.fault, found.rows, found.first_position, found.last_position) == (None, ROWS, 1, ROWS)


def test_an_empty_chain_holds(database: Engine) -> None:
    assert verified(database).fault is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("actor", "somebody-else"),
        ("action", "turn.other"),
        ("subject_kind", "document"),
        ("subject_id", "another"),
        ("details", {"count": 99}),
        ("at", datetime(2020, 1, 1, tzinfo=UTC)),
        ("sha256", "f" * 64),
    ],
)
def test_an_edited_row_is_found(database: Engine, column: str, value: object) -> None:
    recorded(database)
    done(database, update(AuditEvent).where(AuditEvent.position == 7).values({column: value}))
    found = verified(database)
    assert (found.fault, found.position) == ("edited", 7)


def test_a_removed_row_is_found(database: Engine) -> None:
    recorded(database)
    done(database, delete(AuditEvent).where(AuditEvent.position == 5))
    found = verified(database)
    assert (found.fault, found.position) == ("removed", 5)


def test_reordered_rows_are_found(database: Engine) -> None:
    recorded(database)
    moves = [(3, 900), (4, 3), (900, 4)]
    done(database, *(update(AuditEvent).where(AuditEvent.position == a).values(position=b) for a, b in moves))
    assert (verified(database).fault, verified(database).position) == ("edited", 3)


def test_cut_off_newest_rows_are_found(database: Engine) -> None:
    recorded(database)
    done(database, delete(AuditEvent).where(AuditEvent.position > ROWS - 2))
    found = verified(database)
    assert (found.fault, found.position) == ("cut_off", ROWS - 1)


def test_a_row_added_behind_the_end_is_found(database: Engine) -> None:
    recorded(database)
    with session_factory(database).begin() as session:
        last = session.scalars(select(AuditEvent).where(AuditEvent.position == ROWS)).one()
        added = AuditEvent(
            position=ROWS + 1,
            at=last.at,
            actor="x",
            action="turn.read",
            subject_kind="turn",
            subject_id="y",
            details={},
        )
        added.sha256 = audit.chained_sha256(last.sha256, added)
        session.add(added)
    assert verified(database).fault == "added"


def test_purged_rows_leave_a_chain_that_holds_and_cannot_be_trimmed_by_hand(database: Engine) -> None:
    recorded(database)
    with session_factory(database).begin() as session:
        sixth = session.scalars(select(AuditEvent).where(AuditEvent.position == 6)).one().at
        assert audit.delete_before(session, "retention", sixth + timedelta(microseconds=1)) == 6
    found = verified(database)
    assert (found.fault, found.first_position, found.last_position) == (None, 7, ROWS + 1)
    with session_factory(database).begin() as session:
        seventh = session.scalars(select(AuditEvent).where(AuditEvent.position == 7)).one()
        moved = {"before_first_position": 7, "before_first_sha256": seventh.sha256}
        session.delete(seventh)
        session.execute(update(AuditChain).values(moved))
    assert verified(database).fault == "beginning_moved"


def test_a_transaction_that_is_rolled_back_leaves_no_row_and_no_gap(database: Engine) -> None:
    recorded(database, 2)
    with Session(database) as session:
        audit.record(session, "actor", "turn.read", "turn", "gone")
        session.rollback()
    recorded(database, 1)
    assert (verified(database).fault, verified(database).last_position) == (None, 3)


NUMBERS = st.one_of(st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(details=st.dictionaries(st.text(max_size=8), st.one_of(NUMBERS, st.text(max_size=8))))
def test_any_details_survive_the_database_unchanged(database: Engine, details: dict[str, object]) -> None:
    clean = {key.replace("\0", ""): value for key, value in details.items()}
    clean = {key: value.replace("\0", "") if isinstance(value, str) else value for key, value in clean.items()}
    with session_factory(database).begin() as session:
        audit.record(session, "actor", "turn.read", "turn", "any", clean)
    assert verified(database).fault is None


def test_rows_of_before_the_chain_are_chained_by_the_migration(database: Engine) -> None:
    Base.metadata.drop_all(database)
    upgrade(database, "0003")
    with database.begin() as connection:
        for number in range(3):
            connection.execute(
                text(
                    "INSERT INTO audit_events (at, actor, action, subject_kind, subject_id, details) "
                    "VALUES (:at, 'a', 'turn.read', 'turn', :subject, :details)"
                ),
                {
                    "at": f"2026-01-0{number + 1} 09:00:00+00:00",
                    "subject": f"t{number}",
                    "details": '{"b": 1, "a": [2]}',
                },
            )
    upgrade(database)
    found = verified(database)
    assert (found.fault, found.rows) == (None, 3)
