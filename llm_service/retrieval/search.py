"""The retriever: a masked question and an entitlement in, candidates with everything a citation needs out.

Asks the index for fifty passages, judges each against the question, and hands on the best. Entitlement is applied
inside the index and checked again on the rows: an index that is behind must not show what has been withdrawn. An
embedding model and a cross-encoder help where they are set; a question goes on without one that does not answer.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from threading import Lock
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from llm_service.errors import Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval import relevance
from llm_service.retrieval.candidate import Candidate, Entitlement, Retrieved
from llm_service.retrieval.embedding import Embedder
from llm_service.retrieval.fallbacks import Watch
from llm_service.retrieval.index import DenseVector, Hit, SparseVector, VectorIndex, VectorName
from llm_service.retrieval.lexical import Lexical, PackedTerms, QuestionTerms, articles_of, term_id
from llm_service.retrieval.ranking import Judge, Judged, Signals
from llm_service.retrieval.rerank import Reranker
from llm_service.retrieval.statistics import Corpus, TermStatistics
from llm_service.store.passages import StoredPassage, packed_terms, reading, ready_passages
from llm_service.store.session import SessionFactory

CANDIDATES = 50
RECENT_PASSAGES = 20_000
PASSAGES_PER_ARTICLE = 2
"""How many parts of one article are handed on as long as other articles are left."""


@dataclass(frozen=True)
class PassageToJudge:
    """The terms of one passage in reading order, and the article it is a part of."""

    sequence: NDArray[np.uint32]
    header_length: int
    place: Hashable
    articles: frozenset[int]


class RecentTerms:
    """Terms of the passages that were candidates lately, least recently used out first.

    A passage's terms never change within a generation; what does (who may see it, whether it is in force) is not here.
    """

    def __init__(self, capacity: int = RECENT_PASSAGES) -> None:
        self._capacity = capacity
        self._kept: OrderedDict[int, PassageToJudge] = OrderedDict()
        self._lock = Lock()

    def get(self, passage_ids: Sequence[int], sessions: SessionFactory) -> dict[int, PassageToJudge]:
        """The terms of these passages; those whose rows are gone are left out."""
        with self._lock:
            found = {id_: self._kept[id_] for id_ in passage_ids if id_ in self._kept}
        missing = [id_ for id_ in passage_ids if id_ not in found]
        if missing:
            with reading(sessions) as session:
                found |= {row[0]: _to_judge(*row) for row in packed_terms(session, missing)}
        with self._lock:
            for id_, passage in found.items():
                self._kept[id_] = passage
                self._kept.move_to_end(id_)
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        return found


def _to_judge(passage_id: int, document_id: int, article: str | None, vectors: bytes) -> PassageToJudge:
    packed = PackedTerms(vectors)
    articles = frozenset(map(term_id, articles_of(article))) if article else frozenset[int]()
    # Copied, so that the rest of the packed terms is not kept with them.
    return PassageToJudge(packed.sequence.copy(), packed.header_length, (document_id, article or passage_id), articles)


@dataclass(frozen=True)
class Serving:
    """The generation that answers now, with the term statistics of exactly its passages.

    `dense_model` is the identity of the embedding model of its dense vectors, "" where it has none.
    """

    index: VectorIndex
    statistics: TermStatistics
    generation: str
    dense_model: str = ""
    recent: RecentTerms = field(default_factory=RecentTerms)


class Retriever:
    """Searches the serving generation. Synchronous and safe to call from several threads."""

    def __init__(
        self,
        lexical: Lexical,
        sessions: SessionFactory,
        serving: Callable[[], Serving],
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._lexical = lexical
        self._sessions = sessions
        self._serving = serving
        self._embedder = embedder
        self._reranker = reranker
        self._watches = {"embeddings": Watch("embeddings"), "reranker": Watch("reranker")}

    def search(
        self, question: MaskedText, entitlement: Entitlement, k: int = 5, history: Sequence[MaskedText] = ()
    ) -> Retrieved:
        """The `k` best passages the entitlement allows, best first, and the confidence that they carry an answer.

        `history` holds the earlier questions of the conversation, oldest first: a follow-up is read with the last one.
        Timings are milliseconds of `analyse`, `embed`, `index`, `rank`, `rows` and `rerank`; what is not set is left
        out.
        """
        serving = self._serving()
        clock = _Clock()
        corpus = serving.statistics.within(entitlement)
        terms, judge, asked = self._understand(question, history, corpus)
        clock.stop("analyse")
        fallbacks: list[str] = []
        dense = self._dense(asked, serving, clock, fallbacks)
        weights = _weighted(terms, corpus)
        hits = serving.index.search(weights, entitlement, CANDIDATES, dense)
        top_score = serving.index.top_score("kiwi", weights["kiwi"], entitlement)
        clock.stop("index")
        judged = self._judge(judge, hits, serving.recent)
        clock.stop("rank")
        found = relevance.features(judge, [signals for _, _, signals in judged], top_score, corpus.passages)
        depth = max(k, self._reranker.depth) if self._reranker else k
        candidates = self._allowed(_spread(judged), entitlement, depth)
        clock.stop("rows")
        candidates = self._reranked(asked, candidates, clock, fallbacks)[:k]
        return Retrieved(candidates, relevance.confidence(found), found, clock.milliseconds, tuple(fallbacks))

    def _dense(
        self, asked: Sequence[MaskedText], serving: Serving, clock: "_Clock", fallbacks: list[str]
    ) -> DenseVector | None:
        """The question's dense vector, None (and a fallback, where one is set) if the index cannot be asked with it."""
        if self._embedder is None:
            return None
        watch = self._watches["embeddings"]
        try:
            vector = _embedded(self._embedder, asked, serving.dense_model)
        except Unavailable as gone:
            fallbacks.append(watch.is_gone(gone.code))
            return None
        finally:
            clock.stop("embed")
        watch.is_back()
        return vector

    def _reranked(
        self, asked: Sequence[MaskedText], candidates: tuple[Candidate, ...], clock: "_Clock", fallbacks: list[str]
    ) -> tuple[Candidate, ...]:
        """The first candidates as the cross-encoder orders them; as they came where it does not answer."""
        if self._reranker is None or not candidates:
            return candidates
        watch = self._watches["reranker"]
        first, rest = candidates[: self._reranker.depth], candidates[self._reranker.depth :]
        try:
            scores = self._reranker.scores(asked, [candidate.text for candidate in first])
        except Unavailable as gone:
            fallbacks.append(watch.is_gone(gone.code))
            return candidates
        finally:
            clock.stop("rerank")
        watch.is_back()
        return (*reordered(first, scores), *rest)

    def _understand(
        self, question: MaskedText, history: Sequence[MaskedText], corpus: Corpus
    ) -> tuple[QuestionTerms, Judge, tuple[MaskedText, ...]]:
        """Terms of the question: misspelt ones mended if that makes them known, a follow-up read with the last one.

        Beside them, the question and what it is read with, oldest first.
        """
        terms = self._lexical.question_terms(question)
        judge = Judge(terms, corpus)
        if judge.unknown_units:
            mended = self._lexical.question_terms(question, mend_typos=True)
            if Judge(mended, corpus).unknown_units < judge.unknown_units:
                terms, judge = mended, Judge(mended, corpus)
        if history and terms.is_incomplete:
            terms = terms.after(self._lexical.question_terms(history[-1]))
            return terms, Judge(terms, corpus), (history[-1], question)
        return terms, judge, (question,)

    def _judge(self, judge: Judge, hits: Sequence[Hit], recent: RecentTerms) -> list[tuple[int, Judged, Signals]]:
        """Passage ids with what was judged of them, best first."""
        terms = recent.get([hit.passage_id for hit in hits], self._sessions)
        top = max((hit.score for hit in hits), default=1.0) or 1.0
        known = [(hit, terms[hit.passage_id]) for hit in hits if hit.passage_id in terms]
        passages = [
            Judged(hit.score / top, found.sequence, found.header_length, found.place, found.articles)
            for hit, found in known
        ]
        judged = [
            (hit.passage_id, passage, signals)
            for (hit, _), passage, signals in zip(known, passages, judge.signals(passages), strict=True)
        ]
        return sorted(judged, key=lambda one: one[2].score, reverse=True)

    def _allowed(
        self, ranked: Sequence[tuple[int, Signals]], entitlement: Entitlement, k: int
    ) -> tuple[Candidate, ...]:
        """The first `k` that the rows, read now, still allow."""
        allowed: list[Candidate] = []
        for start in range(0, len(ranked), k):
            batch = ranked[start : start + k]
            with reading(self._sessions) as session:
                rows = ready_passages(session, [passage_id for passage_id, _ in batch])
            for passage_id, signals in batch:
                row = rows.get(passage_id)
                if row is not None and _is_allowed(row, entitlement):
                    allowed.append(_candidate(row, signals))
            if len(allowed) >= k:
                break
        return tuple(allowed[:k])


def _embedded(embedder: Embedder, asked: Sequence[MaskedText], indexed_with: str) -> DenseVector:
    if embedder.model().identity != indexed_with:
        raise Unavailable("not_indexed", "the index holds no vectors of this embedding model yet")
    vector: list[float] = embedder.question(asked).tolist()
    return vector


def reordered(candidates: Sequence[Candidate], scores: Sequence[float]) -> tuple[Candidate, ...]:
    """The candidates by these scores, best first, equal ones as they came; each keeps its score as a signal.

    `score` is handed out anew in the new order: what reads it (how much nearer is the first than the second?) knows
    the first order's scale only.
    """
    order = sorted(range(len(candidates)), key=lambda place: -scores[place])
    highest_first = sorted((candidate.score for candidate in candidates), reverse=True)
    return tuple(
        replace(candidates[place], score=score, signals={**candidates[place].signals, "rerank": scores[place]})
        for place, score in zip(order, highest_first, strict=True)
    )


def _spread(judged: Sequence[tuple[int, Judged, Signals]]) -> list[tuple[int, Signals]]:
    """Best first, but no more than two parts of one article before those of all other articles."""
    parts: Counter[Hashable] = Counter()
    first: list[tuple[int, Signals]] = []
    left_over: list[tuple[int, Signals]] = []
    for passage_id, passage, signals in judged:
        parts[passage.place] += 1
        (first if parts[passage.place] <= PASSAGES_PER_ARTICLE else left_over).append((passage_id, signals))
    return first + left_over


def _weighted(question: QuestionTerms, corpus: Corpus) -> dict[VectorName, SparseVector]:
    """Question weights times IDF: with the passages' BM25 weights the inner product is the BM25 score."""
    by_name: dict[VectorName, Mapping[int, float]] = {"kiwi": question.kiwi, "char": question.char}
    return {
        name: (list(terms), [weight * corpus.idf(term) for term, weight in terms.items()])
        for name, terms in by_name.items()
    }


def _is_allowed(row: StoredPassage, entitlement: Entitlement) -> bool:
    return entitlement.allows(row.audience, row.groups, row.in_force_from, row.in_force_to)


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
        signals=asdict(signals),
    )


class _Clock:
    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self._last = perf_counter()

    def stop(self, stage: str) -> None:
        now = perf_counter()
        self.milliseconds[stage] = (now - self._last) * 1000
        self._last = now
