"""Owns the index: opens the generation in use, repairs or rebuilds it from the rows, and applies what ingest wrote.

The rows are the truth. Whatever is killed here, the next start finds the rows complete and brings the index up to them:
a change counts as applied only after the index has it on disk. Knows no file format and no question.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import groupby, islice
from threading import Lock
from typing import cast
from uuid import uuid4

from llm_service.logs import get_logger
from llm_service.retrieval.candidate import Audience
from llm_service.retrieval.dense import DenseVectors
from llm_service.retrieval.draft import searchable_text
from llm_service.retrieval.embedding import Embedder, EmbeddingModel
from llm_service.retrieval.index import (
    VECTOR_NAMES,
    WEIGHTS_VERSION,
    DenseVector,
    IndexPoint,
    VectorIndexes,
    bm25_weights,
)
from llm_service.retrieval.kept_statistics import KeptStatistics, count_document
from llm_service.retrieval.lexical import Lexical, PackedTerms, pack_terms, term_id
from llm_service.retrieval.rerank import Reranker
from llm_service.retrieval.search import Retriever, Serving
from llm_service.retrieval.statistics import TermStatistics
from llm_service.store import passages as store
from llm_service.store.passages import DocumentTerms, Generation, StoredPassage, reading
from llm_service.store.session import SessionFactory

UPSERT_BATCH_PASSAGES = 500
ANALYSE_BATCH_PASSAGES = 500
OPTIMIZE_AFTER_PASSAGES = 1000
GENERATIONS_KEPT = 2
DENSE_PART = "/dense-"
"""Before the embedding model's identity in what a generation was made with."""
LENGTH_DRIFT = 0.25
"""How far average lengths may move from those a generation was built with before passages are weighted anew."""

log = get_logger("retrieval")


class IndexOwner:
    """The one owner of the index in this installation. Opening it takes a second at most, unless it must be built.

    With an `embedder`, generations hold its vectors too; one made with another model, or with none, is built anew.
    Raises `IndexHeld` when another process owns the index.
    """

    def __init__(
        self,
        indexes: VectorIndexes,
        sessions: SessionFactory,
        lexical: Lexical,
        embedder: Embedder | None = None,
        reranker: Reranker | None = None,
    ) -> None:
        self._indexes = indexes
        self._sessions = sessions
        self._lexical = lexical
        self._dense = DenseVectors(embedder, sessions) if embedder else None
        self._made_with = f"{lexical.version}/weights-{WEIGHTS_VERSION}"
        self._kept = KeptStatistics(sessions, self._made_with)
        self._changing = Lock()
        self._serving, self._generation = self._open()
        self.retriever = Retriever(lexical, sessions, lambda: self._serving, embedder, reranker)
        self.apply_changes()
        self._repair()

    def apply_changes(self) -> int:
        """Bring every change that ingest has committed into the index, in order; returns how many there were."""
        with self._changing:
            embedded = self._embed()
            with reading(self._sessions) as session:
                pending = store.pending_changes(session)
            if not pending and not embedded:
                return 0
            if self._serving.index.count() == 0:
                self._rebuild()
                return len(pending)
            changed, gone = self._apply({document_id for _, document_id, _ in pending} | embedded)
            if changed >= OPTIMIZE_AFTER_PASSAGES:
                self._serving.index.optimize()
            self._serving.index.flush()
            with self._sessions() as session, session.begin():
                store.mark_applied(session, self._generation.id, [sequence for sequence, _, _ in pending])
            self._kept.note(self._serving.statistics, self._generation.id, changed, gone)
            if self._has_drifted():
                self._rebuild()
            return len(pending)

    def rebuild(self) -> None:
        """Build a new generation from the rows and serve it; searches go on with the old one meanwhile."""
        with self._changing:
            self._rebuild()

    def count(self) -> int:
        """How many passages the index holds."""
        return self._serving.index.count()

    def close(self) -> None:
        """Let go of the index; what was counted is kept for the next start."""
        with self._changing:
            self._kept.finish(self._serving.statistics, self._generation.id)
        self._serving.index.close()
        self._indexes.close()

    def _open(self) -> tuple[Serving, Generation]:
        with reading(self._sessions) as session:
            generation = store.active_generation(session)
        if generation is None or not self._is_made_alike(generation):
            return self._build()
        index = self._indexes.open(generation.name)
        if index is None:
            return self._build()
        statistics = self._kept.read(generation.id)
        return Serving(index, statistics, generation.name, _dense_model_of(generation)), generation

    def _is_made_alike(self, generation: Generation) -> bool:
        """Whether this generation was made as one would be made now.

        While the embedding model cannot be asked, the one there is goes on: it is searched by terms until the model is
        back, and built anew then if it turns out to be another one.
        """
        model = self._dense.model() if self._dense else None
        if self._dense and model is None:
            return generation.analyser.partition(DENSE_PART)[0] == self._made_with
        return generation.analyser == self._made_with + _dense_part(model)

    def _embed(self) -> set[int]:
        """Embed what has no dense vector yet; returns the documents whose points lack one that now exists.

        A generation of another model than the one that answers now is rebuilt at once.
        """
        model = self._dense.model() if self._dense else None
        if self._dense is None or model is None:
            return set()
        if _dense_model_of(self._generation) != model.identity:
            self._rebuild()
            return set()
        return self._dense.complete(model)

    def _repair(self) -> None:
        with reading(self._sessions) as session:
            expected = store.count_ready(session)
        held = self.count()
        if held != expected:
            log.warning("index_differs_from_rows", held=held, expected=expected, generation=self._generation.name)
            self.rebuild()

    def _rebuild(self) -> None:
        # The old index is not closed: searches that hold it finish on it, and the last one lets go of it.
        self._serving, self._generation = self._build()

    def _build(self) -> tuple[Serving, Generation]:
        self._analyse_again()
        model = self._dense.model() if self._dense else None
        if self._dense and model:
            self._dense.complete(model)
        made_with = self._made_with + _dense_part(model)
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
        statistics = TermStatistics()
        with reading(self._sessions) as session:
            # What is pending now is in the rows read below; what is committed later stays pending.
            pending = store.pending_changes(session)
            for document in store.terms_of_documents(session, store.ready_documents(session)):
                count_document(statistics, document)
            index = self._indexes.create(name, model.dimensions if model else 0)
            averages = statistics.average_lengths()
            for batch in _batches(store.passages_of_documents(session), UPSERT_BATCH_PASSAGES):
                dense = self._dense_of(batch, model.identity if model else "")
                index.upsert([_point(passage, averages, dense.get(passage.id)) for passage in batch])
        index.optimize()
        index.flush()
        lengths: dict[str, float] = dict(zip(map(str, VECTOR_NAMES), averages, strict=True))
        with self._sessions() as session, session.begin():
            generation = store.add_generation(session, name, made_with, lengths)
            store.mark_applied(session, generation.id, [sequence for sequence, _, _ in pending])
            store.activate_generation(session, generation.id)
            kept = store.generation_names(session)[:GENERATIONS_KEPT]
        self._kept.write(statistics, generation.id)
        for outdated in set(self._indexes.names()) - set(kept):
            self._indexes.drop(outdated)
        if self._dense and model:
            self._dense.forget_others(model.identity)
        log.info("index_built", generation=name, passages=index.count(), made_with=made_with)
        return Serving(index, statistics, name, _dense_model_of(generation)), generation

    def _dense_of(self, passages: Sequence[StoredPassage], model: str) -> dict[int, DenseVector]:
        if self._dense is None or not model:
            return {}
        with reading(self._sessions) as session:
            return self._dense.of(session, model, [passage.id for passage in passages])

    def _analyse_again(self) -> None:
        """Give passages that another analyser read the terms of this one."""
        current = term_id(self._lexical.version)
        while True:
            with reading(self._sessions) as session:
                outdated = (
                    passage
                    for passage in store.passages_of_documents(session)
                    if PackedTerms(passage.vectors).analyser != current
                )
                batch = list(islice(outdated, ANALYSE_BATCH_PASSAGES))
            if not batch:
                return
            terms = self._lexical.passages_terms((passage.header, searchable_text(passage.text)) for passage in batch)
            packed = {passage.id: pack_terms(found) for passage, found in zip(batch, terms, strict=True)}
            with self._sessions() as session, session.begin():
                store.replace_vectors(session, packed)

    def _apply(self, document_ids: set[int]) -> tuple[int, int]:
        """Returns how many passages were put in, and how many documents went."""
        index, statistics = self._serving.index, self._serving.statistics
        averages = tuple(self._generation.average_lengths[name] for name in VECTOR_NAMES)
        changed = 0
        gone = set(document_ids)
        with reading(self._sessions) as session:
            for document in _by_document(store.passages_of_documents(session, sorted(document_ids))):
                document_id = document[0].document_id
                stale = set(statistics.passage_ids(document_id)) - {passage.id for passage in document}
                dense = self._dense_of(document, self._serving.dense_model)
                index.upsert([_point(passage, averages, dense.get(passage.id)) for passage in document])
                index.delete_passages(sorted(stale))
                count_document(statistics, _terms_of(document))
                gone.discard(document_id)
                changed += len(document)
        index.delete_documents(sorted(gone))
        for document_id in gone:
            statistics.remove(document_id)
        return changed, len(gone)

    def _has_drifted(self) -> bool:
        frozen = (self._generation.average_lengths[name] for name in VECTOR_NAMES)
        current = self._serving.statistics.average_lengths()
        return any(abs(now / then - 1) > LENGTH_DRIFT for now, then in zip(current, frozen, strict=True))


def _by_document(passages: Iterable[StoredPassage]) -> Iterator[list[StoredPassage]]:
    return (list(group) for _, group in groupby(passages, key=lambda passage: passage.document_id))


def _batches(passages: Iterator[StoredPassage], size: int) -> Iterator[list[StoredPassage]]:
    while batch := list(islice(passages, size)):
        yield batch


def _terms_of(document: list[StoredPassage]) -> DocumentTerms:
    first = document[0]
    vectors = {passage.id: passage.vectors for passage in document}
    since, until = first.in_force_from, first.in_force_to
    return DocumentTerms(first.document_id, first.audience, since, until, vectors, first.groups)


def _dense_part(model: EmbeddingModel | None) -> str:
    return f"{DENSE_PART}{model.identity}" if model else ""


def _dense_model_of(generation: Generation) -> str:
    return generation.analyser.partition(DENSE_PART)[2]


def _point(passage: StoredPassage, averages: tuple[float, ...], dense: DenseVector | None) -> IndexPoint:
    packed = PackedTerms(passage.vectors)
    vectors = {
        name: bm25_weights(packed.counts(name), average) for name, average in zip(VECTOR_NAMES, averages, strict=True)
    }
    return IndexPoint(
        passage_id=passage.id,
        document_id=passage.document_id,
        audience=cast(tuple[Audience, ...], passage.audience),
        in_force_from=passage.in_force_from,
        in_force_to=passage.in_force_to,
        vectors=vectors,
        groups=passage.groups,
        dense=dense,
    )
