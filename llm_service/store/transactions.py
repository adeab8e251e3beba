"""Runs a piece of work on the records: one session, one transaction, off the event loop.

The functions of this package are handed the open session; whether they are committed is decided here, once per call.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, Unavailable
from llm_service.store.passages import reading
from llm_service.store.session import session_factory

Result = TypeVar("Result")

ATTEMPTS: Final = 4
# With readers, retrieval and documents it stays within the pool of 15 connections (SQLAlchemy's default: 5 + 10).
POSTGRES_THREADS: Final = 8
# SQLite lets one writer in at a time and makes the others poll; a fair queue here is faster than polling there.
SQLITE_WRITER_THREADS: Final = 1
READER_THREADS: Final = 4
# Somebody else added the same row, deleted the row pointed at, or locked rows in another order
# (PostgreSQL documentation, appendix A: unique_violation, foreign_key_violation, deadlock_detected).
POSTGRES_RACES: Final = frozenset({"23505", "23503", "40P01"})
SQLITE_RACES: Final = frozenset(
    {
        sqlite3.SQLITE_CONSTRAINT_UNIQUE,
        sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
        sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY,
    }
)


class Transactions:
    """One database, used from asynchronous code. Work is a function of an open session; what it returns is loaded.

    Work runs again, in a new transaction, when a constraint says that somebody else was first: so it looks things up
    before it adds them. `Conflict` (records_busy) is raised when that happens four times in a row, and
    `Unavailable` (database_unavailable) when the database cannot be reached.
    """

    def __init__(self, engine: Engine) -> None:
        self._sessions = session_factory(engine)
        is_sqlite = engine.dialect.name == "sqlite"
        # Threads are started when they are needed, and end with this object.
        writers = SQLITE_WRITER_THREADS if is_sqlite else POSTGRES_THREADS
        self._writers = ThreadPoolExecutor(writers, thread_name_prefix="records-write")
        self._readers = ThreadPoolExecutor(READER_THREADS, thread_name_prefix="records-read")

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Do the work in a worker thread and commit; an error rolls everything back."""
        return await _to_its_end(self.run_blocking, work, self._writers)

    async def read(self, work: Callable[[Session], Result]) -> Result:
        """Do work that only asks, in a worker thread; it waits for no writer."""
        return await _to_its_end(self._read_blocking, work, self._readers)

    def run_blocking(self, work: Callable[[Session], Result]) -> Result:
        """The same in the calling thread, for commands."""
        for _attempt in range(ATTEMPTS):
            try:
                with self._sessions.begin() as session:
                    return work(session)
            except (IntegrityError, OperationalError) as error:
                if _somebody_was_first(error):
                    continue
                if isinstance(error, OperationalError):
                    raise _unreachable() from error
                raise
        raise Conflict("records_busy", "the same rows were being written by others; try again")

    async def ping(self) -> None:
        """Raises `Unavailable` unless the database answers."""
        await self.read(lambda session: session.scalar(text("SELECT 1")))

    def _read_blocking(self, work: Callable[[Session], Result]) -> Result:
        try:
            with reading(self._sessions) as session:
                return work(session)
        except OperationalError as error:
            raise _unreachable() from error


async def _to_its_end(
    function: Callable[[Callable[[Session], Result]], Result],
    work: Callable[[Session], Result],
    threads: ThreadPoolExecutor,
) -> Result:
    """The work in a thread. Who is cancelled meanwhile waits for its end, or its connection would outlive the pool."""
    running = asyncio.get_running_loop().run_in_executor(threads, copy_context().run, function, work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()
        raise


def _somebody_was_first(error: DBAPIError) -> bool:
    """Whether the same work may succeed in a new transaction. A row that breaks another rule is a fault of ours."""
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode in SQLITE_RACES
    return getattr(error.orig, "sqlstate", None) in POSTGRES_RACES


def _unreachable() -> Unavailable:
    return Unavailable("database_unavailable", "the database cannot be reached; see `haechi doctor`")
