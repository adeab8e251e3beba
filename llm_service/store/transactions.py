"""Runs a piece of work on the records: one session, one transaction, off the event loop.

The functions of this package are handed the open session; whether they are committed is decided here, once per call.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm import Session

from llm_service.errors import Conflict, Unavailable
from llm_service.store.session import session_factory

Result = TypeVar("Result")

ATTEMPTS: Final = 4
POSTGRES_THREADS: Final = 12
# SQLite lets one writer in at a time and makes the others poll; waiting in a fair queue here is faster than polling there.
SQLITE_THREADS: Final = 1


class Transactions:
    """One database, used from asynchronous code. Work is a function of an open session; its result must be loaded already.

    Work runs again, in a new transaction, when a unique constraint says that somebody else was first: so it looks things
    up before it adds them. `Conflict` (records_busy) is raised when that happens four times in a row, and `Unavailable`
    (database_unavailable) when the database cannot be reached.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._sessions = session_factory(engine)
        self._threads = SQLITE_THREADS if engine.dialect.name == "sqlite" else POSTGRES_THREADS
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[[Session], Result]) -> Result:
        """Do the work in a worker thread and commit; an error rolls everything back."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._threads)
        return await to_thread.run_sync(self.run_blocking, work, limiter=self._limiter)

    def run_blocking(self, work: Callable[[Session], Result]) -> Result:
        """The same in the calling thread, for commands."""
        for _attempt in range(ATTEMPTS):
            try:
                with self._sessions.begin() as session:
                    return work(session)
            except IntegrityError:
                continue
            except OperationalError as error:
                raise Unavailable("database_unavailable", "the database cannot be reached; see `haechi doctor`") from (
                    error
                )
        raise Conflict("records_busy", "the same rows were being written by others; try again")

    async def ping(self) -> None:
        """Raises `Unavailable` unless the database answers."""
        await self.run(lambda session: session.execute(text("SELECT 1")))

    def close(self) -> None:
        self._engine.dispose()
