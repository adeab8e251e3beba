"""One session, one transaction: committed whole, rolled back whole, tried again when somebody else was first."""

import asyncio
import threading

import pytest
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, InvalidInput, Unavailable
from llm_service.logs import describe_exception
from llm_service.store import audit
from llm_service.store.models import AuditEvent, Conversation
from llm_service.store.session import open_database
from llm_service.store.transactions import ATTEMPTS, Transactions

WAIT_SECONDS = 20.0


@pytest.fixture
def transactions(database: Engine) -> Transactions:
    return Transactions(database)


def record(session: Session, subject: str = "1") -> None:
    audit.record(session, "service", "tested", "thing", subject)


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(AuditEvent)) or 0


async def test_work_is_committed_once_it_returns(transactions: Transactions) -> None:
    await transactions.run(record)
    assert await transactions.read(count) == 1


async def test_work_that_raises_leaves_nothing(transactions: Transactions) -> None:
    def fail(session: Session) -> None:
        record(session)
        session.flush()
        raise InvalidInput("text_empty", "stop")

    with pytest.raises(InvalidInput):
        await transactions.run(fail)
    assert await transactions.read(count) == 0


async def test_work_that_collides_is_done_again(transactions: Transactions) -> None:
    attempts: list[int] = []

    def collide_once(session: Session) -> int:
        attempts.append(1)
        session.add(Conversation(channel="web", thread_key="t", user_key="u", audience="customer", locale="ko"))
        session.flush()
        if len(attempts) == 1:
            session.add(Conversation(channel="web", thread_key="t", user_key="u", audience="customer", locale="ko"))
            session.flush()
        return len(attempts)

    assert await transactions.run(collide_once) == 2


async def test_work_that_always_collides_is_given_up(transactions: Transactions) -> None:
    attempts: list[int] = []

    def collide(session: Session) -> None:
        attempts.append(1)
        for _ in range(2):
            session.add(Conversation(channel="web", thread_key="t", user_key="u", audience="customer", locale="ko"))
        session.flush()

    with pytest.raises(Conflict, match="records_busy"):
        await transactions.run(collide)
    assert len(attempts) == ATTEMPTS


async def test_a_reader_does_not_wait_for_a_writer(transactions: Transactions) -> None:
    writing, may_end = threading.Event(), threading.Event()

    def write_slowly(session: Session) -> None:
        record(session)
        session.flush()
        writing.set()
        assert may_end.wait(WAIT_SECONDS)

    slow = asyncio.create_task(transactions.run(write_slowly))
    assert await asyncio.to_thread(writing.wait, WAIT_SECONDS)
    assert await asyncio.wait_for(transactions.read(count), WAIT_SECONDS) == 0
    may_end.set()
    await slow
    assert await transactions.read(count) == 1


async def test_many_writers_at_once_all_get_through(transactions: Transactions) -> None:
    await asyncio.gather(*(transactions.run(record) for _ in range(64)))
    assert await transactions.read(count) == 64


@pytest.mark.parametrize("url", ["postgresql://haechi@127.0.0.1:1/haechi", "sqlite:////no/such/directory/haechi.db"])
async def test_a_database_that_cannot_be_reached_says_so_and_nothing_more(url: str) -> None:
    unreachable = Transactions(open_database(url))
    for call in (unreachable.ping(), unreachable.run(record)):
        with pytest.raises(Unavailable) as refused:
            await call
        assert refused.value.code == "database_unavailable"
        assert "haechi@" not in str(refused.value)


def test_a_row_that_breaks_a_rule_is_a_fault_and_is_not_shown_in_logs(transactions: Transactions) -> None:
    attempts: list[int] = []

    def violate(session: Session) -> None:
        attempts.append(1)
        session.add(Conversation(channel="web", thread_key="t", user_key="canary", audience="customer", locale=None))
        session.flush()

    with pytest.raises(IntegrityError) as refused:
        transactions.run_blocking(violate)
    assert len(attempts) == 1
    # PostgreSQL names the whole row in its message, so messages are never logged.
    told = describe_exception(refused.type, refused.value, refused.tb)
    assert told["class"] == "IntegrityError"
    assert "canary" not in str(told)


async def test_who_is_cancelled_waits_for_the_work_to_end(transactions: Transactions, database: Engine) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def wait(session: Session) -> None:
        record(session)
        begun.set()
        assert go_on.wait(WAIT_SECONDS)

    running = asyncio.create_task(transactions.run(wait))
    assert await asyncio.to_thread(begun.wait, WAIT_SECONDS)
    running.cancel()
    finished, _ = await asyncio.wait([running], timeout=0.05)
    assert not finished
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert database.pool.checkedout() == 0  # type: ignore[attr-defined]
    assert await transactions.read(count) == 1
