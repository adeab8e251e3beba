"""An embedding model whose passages are embedded once and kept, so that retrieval is measured without waiting for it.

Questions go to the model each time: their time is part of what is measured.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.vector_cache import VectorCache
from llm_service.masked import MaskedText
from llm_service.retrieval.embedding import Embedder, EmbeddingModel, PassageText, Vectors

FOLDER = Path(".setup/vectors")


class CachedEmbedder:
    """Stands before an `Embedder`."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._cache = VectorCache(FOLDER / f"{embedder.model().identity}.npz")

    def model(self, patiently: bool = False) -> EmbeddingModel:
        return self._embedder.model(patiently)

    def passages(self, passages: Sequence[PassageText]) -> Vectors:
        texts = {f"{header}\n{text}": (header, text) for header, text in passages}
        return self._cache.vectors(
            [f"{header}\n{text}" for header, text in passages],
            lambda keys: self._embedder.passages([texts[key] for key in keys]),
        )

    def question(self, asked: Sequence[MaskedText]) -> Vectors:
        return self._embedder.question(asked)

    def close(self) -> None:
        self._embedder.close()
