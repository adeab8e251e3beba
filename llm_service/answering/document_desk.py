"""Documents as the service takes them in, lists them and takes them out again: one at a time, off the event loop."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from llm_service.answering.threads import Threads
from llm_service.client import DocumentReport, FlaggedPassage
from llm_service.errors import Conflict, InvalidInput, NotFound
from llm_service.logs import get_logger
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.ingest import INSTRUCTIONS, Ingest, normalise_path, note_intake
from llm_service.retrieval.loaders.content import UnreadableDocument
from llm_service.retrieval.manifest import Declaration
from llm_service.store import audit, documents
from llm_service.store.documents import StoredDocument
from llm_service.store.models import Document
from llm_service.store.transactions import Transactions

WITHDRAWN: Final = "withdrawn"
LOG = get_logger(__name__)


class DocumentDesk:
    """The documents of the installation. `thread` is a single one: two documents are never taken in at once.

    `answers_from` is told the id of every document that came into the answers.
    """

    def __init__(
        self,
        transactions: Transactions,
        ingest: Ingest,
        index: IndexOwner,
        thread: Threads,
        answers_from: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._transactions = transactions
        self._ingest = ingest
        self._index = index
        self._thread = thread
        self._answers_from = answers_from

    async def take_in(self, actor: str, path: str, content: bytes, declared: Declaration) -> DocumentReport:
        """Store one file under a path relative to its folder; a file that cannot be read is a report, not an error.

        `actor` is whose doing the audit says it was, in the transaction that stores the file.

        Raises `InvalidInput` (document_path_invalid), `MaskingUnavailable`, and what the records raise.
        """
        _require_path(path)
        ingest = partial(self._ingest.ingest_file, path, content, declared.audience, declared)
        report = await self._thread(partial(ingest, noted=partial(note_intake, actor=actor)))
        if report.state == "ready" and report.document_id is not None:
            self._answers_from(report.document_id)
        LOG.info("document taken in", document_id=report.document_id, state=report.state, bytes=len(content))
        return report

    async def withdraw(self, actor: str, document_id: int, reason: str) -> None:
        """Take one edition out of every answer before this returns; its row stays, and `reason`, a code, in the audit.

        Raises `NotFound` (document_not_found).
        """
        await self._transactions.run(partial(_withdraw, actor=actor, document_id=document_id, reason=reason))
        await self._thread(self._index.apply_changes)
        LOG.info("document withdrawn", document_id=document_id, reason=reason)

    async def flagged(self, document_id: int) -> list[FlaggedPassage]:
        """The passages for which a document was quarantined. Raises `NotFound` (document_not_found)."""
        return await self._transactions.read(partial(_flagged, document_id=document_id))

    async def release(self, actor: str, document_id: int, reason: str) -> None:
        """Let a quarantined edition into the answers.

        Raises `NotFound` (document_not_found) and `Conflict` (document_not_quarantined).
        """
        await self._transactions.run(partial(_release, actor=actor, document_id=document_id, reason=reason))
        await self._thread(self._index.apply_changes)
        self._answers_from(document_id)
        LOG.info("document released", document_id=document_id, reason=reason)

    async def listed(self) -> list[dict[str, Any]]:
        """Every edition, by path and first day, without its passages."""
        return await self._transactions.read(_listed)


def _require_path(path: str) -> None:
    try:
        normalise_path(path)
    except UnreadableDocument:
        raise InvalidInput("document_path_invalid", "a document's path is relative, without . and .. parts") from None


def _flagged(session: Session, document_id: int) -> list[FlaggedPassage]:
    families = _known(session, document_id).details.get(INSTRUCTIONS, {})
    passages = documents.passages_at(session, document_id, [int(position) for position in families])
    return [FlaggedPassage(position, label, text, families[str(position)]) for position, label, text in passages]


def _release(session: Session, actor: str, document_id: int, reason: str) -> None:
    document = _known(session, document_id)
    if document.state != "quarantined":
        raise Conflict("document_not_quarantined", "only a quarantined document can be released")
    documents.release(session, document_id, reason)
    flagged = len(document.details.get(INSTRUCTIONS, {}))
    audit.record(
        session, actor, "document.released", "document", str(document_id), {"reason": reason, "flagged": flagged}
    )


def _known(session: Session, document_id: int) -> Document:
    document = session.get(Document, document_id)
    if document is None:
        raise NotFound("document_not_found", "there is no such document")
    return document


def _withdraw(session: Session, actor: str, document_id: int, reason: str) -> None:
    document = _known(session, document_id)
    if document.state == WITHDRAWN:
        return
    documents.withdraw(session, document_id, WITHDRAWN)
    audit.record(session, actor, "document.withdrawn", "document", str(document_id), {"reason": reason})


def _listed(session: Session) -> list[dict[str, Any]]:
    return [_entry(document) for document in documents.list_documents(session)]


def _entry(document: StoredDocument) -> dict[str, Any]:
    return {
        "document_id": document.id,
        "path": document.path,
        "series": document.series,
        "title": document.title,
        "kind": document.kind,
        "audience": list(document.audience),
        "groups": list(document.groups),
        "in_force_from": document.in_force_from.isoformat(),
        "in_force_to": document.in_force_to.isoformat(),
        "state": document.state,
        "reason": document.reason,
        "passages": document.passages,
        "entity_counts": dict(document.entity_counts),
    }
