"""The retriever: a masked question and an entitlement in, candidates with everything a citation needs out.

Asks the index for fifty passages, judges each against the question, and hands on the best. Entitlement is applied
inside the index and checked again on the rows: an index that is behind must not show what has been withdrawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

from llm_service.masked import MaskedText
from llm_service.retrieval import relevance
from llm_service.retrieval.candidate import Candidate, Entitlement, Retrieved
from llm_service.retrieval.index import Hit, SparseVector, VectorIndex
from llm_service.retrieval.lexical import Lexical, PackedTerms, articles_of, term_id
from llm_service.retrieval.ranking import Judge, Signals
from llm_service.retrieval.statistics import TermStatistics
from llm_service.store.passages import StoredPassage, reading, ready_passages
from llm_service.store.session import SessionFactory

CANDIDATES = 50
PASSAGES_PER_ARTICLE = 2
"""How many parts of one article are handed on as long as other articles are left."""


@dataclass(frozen=True)
class Serving:
    """The generation that answers now, with the term statistics of exactly its passages."""

    index: VectorIndex
    statistics: TermStatistics
    generation: str


class Retriever:
    """Searches the serving generation. Synchronous and safe to call from several threads."""

    def __init__(self, lexical: Lexical, sessions: SessionFactory, serving: Callable[[], Serving]) -> None:
        self._lexical = lexical
        self._sessions = sessions
        self._serving = serving

    def search(
        self, question: MaskedText, entitlement: Entitlement, k: int = 5, history: Sequence[MaskedText] = ()
    ) -> Retrieved:
        """The `k` best passages the entitlement allows, best first, and the confidence that they carry an answer.

        `history` holds the earlier questions of the conversation, oldest first: a follow-up is read with the last one.
        Timings are milliseconds of `analyse`, `index`, `rows` and `rank`.
        """
        serving = self._serving()
        clock = _Clock()
        terms = self._lexical.question_terms(question)
        corpus = serving.statistics.within(entitlement)
        judge = Judge(terms, corpus)
        clock.stop("analyse")
        hits = serving.index.search({"kiwi": _sparse(terms.kiwi), "char": _sparse(terms.char)}, entitlement, CANDIDATES)
        clock.stop("index")
        with reading(self._sessions) as session:
            rows = ready_passages(session, [hit.passage_id for hit in hits])
        clock.stop("rows")
        judged = _judge(judge, hits, rows, entitlement)
        found = relevance.features(judge, [signals for _, signals in judged], corpus.passages)
        candidates = tuple(_candidate(row, signals) for row, signals in _spread(judged, k))
        clock.stop("rank")
        return Retrieved(candidates, relevance.confidence(found), found, clock.milliseconds)


def _judge(
    judge: Judge, hits: Sequence[Hit], rows: Mapping[int, StoredPassage], entitlement: Entitlement
) -> list[tuple[StoredPassage, Signals]]:
    judged = []
    top = max((hit.score for hit in hits), default=1.0) or 1.0
    for hit in hits:
        row = rows.get(hit.passage_id)
        if row is None or not _is_allowed(row, entitlement):
            continue
        packed = PackedTerms(row.vectors)
        articles = frozenset(map(term_id, articles_of(row.article))) if row.article else frozenset()
        judged.append((row, judge.signals(hit.score / top, packed.sequence.tolist(), packed.header_length, articles)))
    judged.sort(key=lambda pair: pair[1].score, reverse=True)
    return judged


def _sparse(weights: Mapping[int, float]) -> SparseVector:
    return list(weights), list(weights.values())


def _is_allowed(row: StoredPassage, entitlement: Entitlement) -> bool:
    in_force = row.in_force_from <= entitlement.as_of < row.in_force_to
    return in_force and entitlement.audience in row.audience


def _spread(judged: Sequence[tuple[StoredPassage, Signals]], k: int) -> list[tuple[StoredPassage, Signals]]:
    """The best `k`, at most two parts of one article among them as long as others are left."""
    chosen: list[tuple[StoredPassage, Signals]] = []
    left_over: list[tuple[StoredPassage, Signals]] = []
    parts: dict[tuple[int, str], int] = {}
    for row, signals in judged:
        if row.article is not None:
            key = (row.document_id, row.article)
            parts[key] = parts.get(key, 0) + 1
            if parts[key] > PASSAGES_PER_ARTICLE:
                left_over.append((row, signals))
                continue
        chosen.append((row, signals))
    return (chosen + left_over)[:k]


def _candidate(row: StoredPassage, signals: Signals) -> Candidate:
    return Candidate(
        passage_id=row.id,
        document_path=row.document_path,
        document_title=row.document_title,
        label=row.label,
        article=row.article,
        heading_path=row.heading_path,
        page=row.page,
        text=row.text,
        score=signals.score,
        in_force_from=row.in_force_from,
        in_force_to=row.in_force_to,
    )


class _Clock:
    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = perf_counter()

    def stop(self, stage: str) -> None:
        now = perf_counter()
        self.milliseconds[stage] = (now - self._last) * 1000
        self._last = now
