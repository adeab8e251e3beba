"""Gives every passage the dense vector of the embedding model in use, from the rows or, where they lack it, the model.

A model that is gone leaves passages without: they are found by their terms until it is back. Knows no index.
"""

from collections.abc import Sequence

import numpy as np
from sqlalchemy.orm import Session

from llm_service.errors import Unavailable
from llm_service.logs import get_logger
from llm_service.retrieval.embedding import Embedder, EmbeddingModel
from llm_service.retrieval.fallbacks import Watch
from llm_service.retrieval.index import DenseVector
from llm_service.store import embeddings as store
from llm_service.store.passages import reading
from llm_service.store.session import SessionFactory

BATCH_PASSAGES = 256
STORED_AS = np.dtype("<f2")
"""Half precision: half the rows' size, and cosines differ by less than a thousandth."""

_log = get_logger("retrieval")


class DenseVectors:
    """The vectors of one installation's passages. The owner of the index is the only one to call it."""

    def __init__(self, embedder: Embedder, sessions: SessionFactory) -> None:
        self._embedder = embedder
        self._sessions = sessions
        self._watch = Watch("embeddings")

    def model(self) -> EmbeddingModel | None:
        """The model that answers now, None where none does."""
        try:
            model = self._embedder.model(patiently=True)
        except Unavailable as gone:
            self._watch.is_gone(gone.code)
            return None
        self._watch.is_back()
        return model

    def complete(self, model: EmbeddingModel) -> set[int]:
        """Embed every ready passage that has no vector of this model; returns the documents that gained one.

        Stops where the model is gone: what is missing then is still missing, and is embedded at the next call.
        """
        gained: set[int] = set()
        done, last = 0, 0
        while True:
            with reading(self._sessions) as session:
                missing = store.passages_without(session, model.identity, last, BATCH_PASSAGES)
            if not missing:
                break
            try:
                vectors = self._embedder.passages([(header, text) for _, _, header, text in missing])
            except Unavailable as gone:
                self._watch.is_gone(gone.code)
                break
            packed = {row[0]: vector.astype(STORED_AS).tobytes() for row, vector in zip(missing, vectors, strict=True)}
            with self._sessions() as session, session.begin():
                store.keep_vectors(session, model.identity, packed)
            gained.update(document_id for _, document_id, _, _ in missing)
            done, last = done + len(missing), missing[-1][0]
        if done:
            _log.info("passages_embedded", passages=done, model=model.identity)
        return gained

    def of(self, session: Session, model: str, passage_ids: Sequence[int]) -> dict[int, DenseVector]:
        """The stored vectors of these passages; those without one are left out."""
        stored = store.vectors_of(session, model, passage_ids)
        return {id_: np.frombuffer(packed, STORED_AS).astype(np.float32).tolist() for id_, packed in stored.items()}

    def forget_others(self, model: str) -> None:
        """Delete the vectors of models that are no longer in use."""
        with self._sessions() as session, session.begin():
            store.forget_other_models(session, model)
