"""What a new edition means: the clauses it changed, and what has become of the approved answers that cited them.

Nothing is stored but an audit row with counts: both are computed from the records whenever they are asked for.
"""

import asyncio
from collections import Counter
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.answering.retest import Retest, is_affected
from llm_service.client import ChangedClause, DocumentChanges, RetestReport, RetestState, WordChange
from llm_service.errors import HaechiError
from llm_service.logs import get_logger
from llm_service.retrieval.changes import Changes, ClauseChange, changes_between, word_changes
from llm_service.store import audit, editions
from llm_service.store.editions import ApprovedAnswer
from llm_service.store.transactions import Transactions

ACTOR: Final = "service"
RETESTED: Final = "document.retested"
STATES: Final[tuple[RetestState, ...]] = ("still_right", "changed", "gone")
LOG = get_logger(__name__)


class RevisionDesk:
    """Compares editions and retests approved answers, one retest after the other."""

    def __init__(self, transactions: Transactions, retest: Retest) -> None:
        self._transactions = transactions
        self._retest = retest
        self._one_at_a_time = asyncio.Lock()
        self._running: set[asyncio.Task[None]] = set()

    async def changes(self, document_id: int) -> DocumentChanges:
        """The clauses an edition changed of the one before it. Raises `NotFound` (document_not_found)."""
        return _shown(await self._transactions.read(partial(_changes, document_id=document_id)))

    async def retest(self, document_id: int, actor: str = ACTOR) -> RetestReport:
        """Ask again every approved question whose answer cites a changed clause, as of the edition's first day.

        Raises `NotFound` (document_not_found), and what retrieval and the engine raise.
        """
        async with self._one_at_a_time:
            changes, affected = await self._transactions.read(partial(_affected, document_id=document_id))
            answers = [await self._retest.retest(approved, changes) for approved in affected]
        counted = Counter(answer.state for answer in answers)
        counts = {state: counted[state] for state in STATES}
        await self._transactions.run(partial(_record, actor=actor, document_id=document_id, counts=counts))
        LOG.info("approved answers retested", document_id=document_id, **counts)
        return RetestReport(document_id, changes.edition.in_force_from.isoformat(), counts, answers)

    def start_retest(self, document_id: int) -> None:
        """Retest in the background after a document was taken in; an edition without affected answers leaves no row."""
        task = asyncio.create_task(self._retest_if_needed(document_id), name=f"retest-{document_id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self, grace_seconds: float) -> None:
        """Let what runs finish for a while, then give it up: it can be asked for again."""
        running = tuple(self._running)
        if running:
            await asyncio.wait(running, timeout=grace_seconds)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _retest_if_needed(self, document_id: int) -> None:
        try:
            _, affected = await self._transactions.read(partial(_affected, document_id=document_id))
            if affected:
                await self.retest(document_id)
        except HaechiError as error:
            LOG.warning("approved answers could not be retested", document_id=document_id, code=error.code)


def _changes(session: Session, document_id: int) -> Changes:
    edition = editions.edition(session, document_id)
    return changes_between(editions.preceding_edition(session, document_id), edition)


def _affected(session: Session, document_id: int) -> tuple[Changes, list[ApprovedAnswer]]:
    """A first edition changes nothing that an approved answer could rest on."""
    edition = editions.edition(session, document_id)
    approved = editions.approved_answers_citing(session, edition.series)
    changes = _changes(session, document_id) if approved else Changes(edition, None, ())
    return changes, [answer for answer in approved if is_affected(answer, changes)]


def _record(session: Session, actor: str, document_id: int, counts: dict[RetestState, int]) -> None:
    told = {str(state): count for state, count in counts.items()}
    audit.record(session, actor, RETESTED, "document", str(document_id), told)


def _shown(changes: Changes) -> DocumentChanges:
    edition, previous = changes.edition, changes.previous
    return DocumentChanges(
        document_id=edition.document_id,
        title=edition.title,
        in_force_from=edition.in_force_from.isoformat(),
        previous_id=previous.document_id if previous else None,
        previous_in_force_from=previous.in_force_from.isoformat() if previous else None,
        clauses=[_clause(change) for change in changes.clauses] if previous else [],
    )


def _clause(change: ClauseChange) -> ChangedClause:
    return ChangedClause(
        place=change.clause.place,
        mark=change.clause.mark,
        kind=change.kind,
        before=change.before,
        after=change.after,
        words=[WordChange(word.kind, word.text) for word in word_changes(change)],
    )
