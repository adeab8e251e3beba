"""Keeps term statistics beside the generation they belong to, so that a start need not read every passage again.

What is kept may be behind: a start compares what was counted with the documents that are ready, counts what is missing
and takes away what is gone. So no moment at which the process may be killed leaves wrong statistics; missing or damaged
ones are counted again. Knows neither index nor question.
"""

from collections.abc import Mapping

from llm_service.logs import get_logger
from llm_service.retrieval.lexical import PackedTerms
from llm_service.retrieval.packed_statistics import StatisticsUnusable, pack_statistics, unpack_statistics
from llm_service.retrieval.statistics import TermStatistics, Visibility
from llm_service.store import passages as store
from llm_service.store.passages import DocumentTerms, ReadyDocument, reading
from llm_service.store.session import SessionFactory

WRITE_AFTER_PASSAGES = 1000
WRITE_AFTER_SHARE = 0.1
"""Statistics are written again once this many passages, and this share of all, were counted since the last time."""

log = get_logger("retrieval")


class KeptStatistics:
    """Reads and writes the statistics of one analyser's generations. Not safe to use from several threads."""

    def __init__(self, sessions: SessionFactory, made_with: str) -> None:
        self._sessions = sessions
        self._made_with = made_with
        self._since_written = 0

    def read(self, generation_id: int) -> TermStatistics:
        """The statistics of the documents that are ready now."""
        with reading(self._sessions) as session:
            statistics = self._usable(store.kept_statistics(session, generation_id))
            ready = store.ready_documents(session)
            counted = statistics.visibilities()
            gone = counted.keys() - ready.keys()
            for document_id in gone:
                statistics.remove(document_id)
            behind = {id_: document for id_, document in ready.items() if counted.get(id_) != visibility(document)}
            passages = sum(count_document(statistics, found) for found in store.terms_of_documents(session, behind))
        self.note(statistics, generation_id, passages, len(gone))
        return statistics

    def note(self, statistics: TermStatistics, generation_id: int, passages: int, gone: int) -> None:
        """So many passages were counted, so many documents went: write if that is enough.

        When a document went it is done at once, since its words must not outlive it.
        """
        self._since_written += passages
        enough = max(WRITE_AFTER_PASSAGES, WRITE_AFTER_SHARE * statistics.passages())
        if gone or self._since_written >= enough:
            self.write(statistics, generation_id)

    def write(self, statistics: TermStatistics, generation_id: int) -> None:
        """Keep these, and none of any other generation."""
        body = pack_statistics(statistics, self._made_with)
        with self._sessions() as session, session.begin():
            store.keep_statistics(session, generation_id, body)
        self._since_written = 0

    def finish(self, statistics: TermStatistics, generation_id: int) -> None:
        """Write what was counted since the last time, if anything: the next start has nothing to count."""
        if self._since_written:
            self.write(statistics, generation_id)

    def _usable(self, kept: bytes | None) -> TermStatistics:
        if kept is None:
            return TermStatistics()
        try:
            return unpack_statistics(kept, self._made_with)
        except StatisticsUnusable as unusable:
            log.warning("index_statistics_unusable", reason=str(unusable), bytes=len(kept))
            return TermStatistics()


def count_document(statistics: TermStatistics, document: DocumentTerms) -> int:
    """Count one document's passages; returns how many there are."""
    packed: Mapping[int, PackedTerms] = {id_: PackedTerms(blob) for id_, blob in document.vectors.items()}
    statistics.put(document.document_id, visibility(document), packed)
    return len(packed)


def visibility(document: ReadyDocument | DocumentTerms) -> Visibility:
    """What the document's passages are counted under."""
    audience, groups = tuple(sorted(document.audience)), tuple(sorted(document.groups))
    return Visibility(audience, document.in_force_from, document.in_force_to, groups)
