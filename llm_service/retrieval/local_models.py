"""Embedding models and cross-encoders of this machine: a directory in sentence-transformers' form, nothing fetched.

The one module of retrieval that loads PyTorch, some 0.5 GB of memory; it is imported only where a setting asks for it.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Final

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from llm_service.errors import Misconfigured, Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval.embedding import (
    EmbeddingModel,
    PassageText,
    Prefixes,
    Vectors,
    identity_of,
    unit_vectors,
)

TEXTS_PER_BATCH: Final = 32
PAIRS_PER_BATCH: Final = 4
"""The time box is looked at between batches: a smaller batch overruns it by less."""
SMALL_FILE_BYTES: Final = 1 << 20
SAMPLES_OF_LARGE_FILE: Final = 64
SAMPLE_BYTES: Final = 1 << 14


class DirectoryEmbedder:
    """A sentence-transformers directory. Raises `Misconfigured` if there is none."""

    def __init__(self, directory: Path, prefixes: Prefixes) -> None:
        _require(directory, "modules.json", "HAECHI_EMBEDDINGS", "a sentence-transformers directory")
        _use_one_thread()
        self._encoder = SentenceTransformer(str(directory), local_files_only=True, trust_remote_code=False)
        self._prefixes = prefixes
        self._lock = Lock()
        dimensions = self._encode(["."]).shape[1]
        self._model = EmbeddingModel(identity_of(fingerprint(directory), str(dimensions), prefixes), dimensions)

    def model(self, patiently: bool = False) -> EmbeddingModel:
        return self._model

    def passages(self, passages: Sequence[PassageText]) -> Vectors:
        return self._encode([f"{self._prefixes.passage}{header}\n{text}" for header, text in passages])

    def question(self, asked: Sequence[MaskedText]) -> Vectors:
        vector: Vectors = self._encode([self._prefixes.question + " ".join(asked)])[0]
        return vector

    def close(self) -> None:
        """Nothing to do: the memory goes with the object."""

    def _encode(self, texts: Sequence[str]) -> Vectors:
        # Its tokenizer keeps state between calls; two threads in it raise "Already borrowed".
        with self._lock:
            rows = self._encoder.encode(list(texts), batch_size=TEXTS_PER_BATCH, show_progress_bar=False)
        return unit_vectors(rows, len(texts))


class DirectoryReranker:
    """A cross-encoder's directory with one score a pair. Raises `Misconfigured` if there is none.

    After `seconds` it gives up, at the end of the batch it is in.
    """

    def __init__(
        self, directory: Path, depth: int, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        _require(directory, "config.json", "HAECHI_RERANKER", "a cross-encoder's directory")
        _use_one_thread()
        self._encoder = CrossEncoder(str(directory), local_files_only=True, trust_remote_code=False)
        if self._encoder.num_labels != 1:
            raise Misconfigured("reranker_not_a_ranker", "HAECHI_RERANKER needs a model with one score a pair")
        self._seconds = seconds
        self._clock = clock
        self._lock = Lock()
        self.depth = depth

    def scores(self, asked: Sequence[MaskedText], passages: Sequence[MaskedText]) -> list[float]:
        deadline = self._clock() + self._seconds
        question = " ".join(asked)
        found: list[float] = []
        with self._lock:
            for start in range(0, len(passages), PAIRS_PER_BATCH):
                if self._clock() > deadline:
                    raise Unavailable("rerank_timeout", "HAECHI_RERANKER is too slow for its time; give it fewer")
                pairs = [(question, passage) for passage in passages[start : start + PAIRS_PER_BATCH]]
                found += map(float, self._encoder.predict(pairs, show_progress_bar=False))
        return found

    def close(self) -> None:
        """Nothing to do: the memory goes with the object."""


def fingerprint(directory: Path) -> str:
    """A digest of a model's files: small ones whole, weights by samples all over them (training moves every weight)."""
    digest = hashlib.sha256()
    for path in sorted(file for file in directory.rglob("*") if file.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(directory).as_posix()}\0{size}\0".encode())
        with path.open("rb") as content:
            if size <= SMALL_FILE_BYTES:
                digest.update(content.read())
                continue
            for sample in range(SAMPLES_OF_LARGE_FILE):
                content.seek((size - SAMPLE_BYTES) * sample // (SAMPLES_OF_LARGE_FILE - 1))
                digest.update(content.read(SAMPLE_BYTES))
    return digest.hexdigest()


def _require(directory: Path, file: str, setting: str, form: str) -> None:
    if not (directory / file).is_file():
        raise Misconfigured("model_directory_missing", f"{setting} names no folder with {file}: {form} is needed")


def _use_one_thread() -> None:
    # PyTorch would take every core for one question, and with them those that answer others.
    torch.set_num_threads(1)
