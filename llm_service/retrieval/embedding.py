"""What turns text into dense vectors, behind one protocol, and its implementation over HTTP in two dialects.

Models of this machine are in `local_models.py`. Knows no index: which passages need a vector is decided in `dense.py`.
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_service.errors import Misconfigured, Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval.inference_server import InferenceServer, malformed

Vectors = NDArray[np.float32]
PassageText = tuple[MaskedText, MaskedText]
"""Header and text of a passage, which are embedded together."""

Ask = Callable[[str, Mapping[str, object] | None, float], Any]

SETTING: Final = "HAECHI_EMBEDDINGS"
MAXIMUM_DIMENSIONS: Final = 8192
MAXIMUM_CHARACTERS: Final = 8000
"""Of one text; models cut at fewer tokens than that, and OpenAI's dialect cannot be asked to."""
TEXTS_PER_REQUEST: Final = 32
"""Text Embeddings Inference takes no more by default (--max-client-batch-size)."""
INDEXING_SECONDS: Final = 60.0
MODEL_KNOWN_SECONDS: Final = 300.0


@dataclass(frozen=True)
class EmbeddingModel:
    """Which model it is, prefixes included; vectors of models with different identities are never compared."""

    identity: str
    dimensions: int


@dataclass(frozen=True)
class Prefixes:
    """What a model wants before a question and before a passage ("query: ", "passage: " for E5 and its kin)."""

    question: str = ""
    passage: str = ""


class Embedder(Protocol):
    """One embedding model. All methods may be called from several threads and raise `Unavailable` where it is gone."""

    def model(self, patiently: bool = False) -> EmbeddingModel:
        """The model that answers now. `patiently`: nobody waits, so a server may take its time to wake up."""

    def passages(self, passages: Sequence[PassageText]) -> Vectors:
        """Their vectors, one a row, of unit length."""

    def question(self, asked: Sequence[MaskedText]) -> Vectors:
        """The vector of a question and what it follows on, oldest first, as one text; time-boxed where it can be."""

    def close(self) -> None:
        """Let go of the model."""


class ServerEmbedder:
    """A server that speaks OpenAI's dialect (URL ending in /v1 or /v1/embeddings) or Text Embeddings Inference's.

    `model_name` is what OpenAI's dialect asks for. `question_seconds` is the longest a question may wait.
    Sources: Hugging Face, "Text Embeddings Inference API" (/embed, /info); OpenAI, "API reference: Embeddings".
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        model_name: str,
        prefixes: Prefixes,
        question_seconds: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        base = url.rstrip("/").removesuffix("/embeddings").removesuffix("/embed")
        self._is_openai = base.endswith("/v1")
        if self._is_openai and not model_name:
            raise Misconfigured("embeddings_model_missing", "set HAECHI_EMBEDDINGS_MODEL: a /v1 server asks for it")
        self._server = InferenceServer(base, api_key, SETTING, clock=clock)
        self._model_name = model_name
        self._prefixes = prefixes
        self._question_seconds = question_seconds
        self._clock = clock
        self._known: tuple[EmbeddingModel, float] | None = None

    def model(self, patiently: bool = False) -> EmbeddingModel:
        known = self._known
        if known is not None and self._clock() < known[1]:
            return known[0]
        # Asked again now and then: whoever runs the server may have put another model behind the same address.
        ask, seconds = self._server.ask, self._question_seconds
        if patiently:
            ask, seconds = self._server.ask_patiently, INDEXING_SECONDS
        stated = self._model_name if self._is_openai else _stated_model(ask("info", None, seconds))
        dimensions = self._embed(["."], ask, seconds).shape[1]
        model = EmbeddingModel(identity_of(stated, str(dimensions), self._prefixes), dimensions)
        self._known = (model, self._clock() + MODEL_KNOWN_SECONDS)
        return model

    def passages(self, passages: Sequence[PassageText]) -> Vectors:
        texts = [f"{self._prefixes.passage}{header}\n{text}" for header, text in passages]
        rows = [
            self._embed(texts[start : start + TEXTS_PER_REQUEST], self._server.ask_patiently, INDEXING_SECONDS)
            for start in range(0, len(texts), TEXTS_PER_REQUEST)
        ]
        return np.concatenate(rows)

    def question(self, asked: Sequence[MaskedText]) -> Vectors:
        try:
            text = self._prefixes.question + " ".join(asked)
            vector: Vectors = self._embed([text], self._server.ask, self._question_seconds)[0]
        except Unavailable:
            self._known = None  # what comes back may be another model
            raise
        return vector

    def close(self) -> None:
        self._server.close()

    def _embed(self, texts: Sequence[str], ask: Ask, seconds: float) -> Vectors:
        cut = [text[:MAXIMUM_CHARACTERS] for text in texts]
        if self._is_openai:
            body: dict[str, object] = {"model": self._model_name, "input": cut, "encoding_format": "float"}
            rows = _openai_rows(ask("embeddings", body, seconds))
        else:
            rows = ask("embed", {"inputs": cut, "normalize": True, "truncate": True}, seconds)
        return unit_vectors(rows, len(cut))


def unit_vectors(rows: object, expected: int) -> Vectors:
    """Vectors of unit length from a model's reply. Raises `Unavailable` for anything but `expected` finite vectors."""
    try:
        vectors = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError):
        raise malformed(SETTING) from None
    if vectors.ndim != 2 or len(vectors) != expected or not 0 < vectors.shape[1] <= MAXIMUM_DIMENSIONS:
        raise malformed(SETTING)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or not (lengths > 0).all():
        raise malformed(SETTING)
    unit: Vectors = vectors / lengths
    return unit


def identity_of(*parts: object) -> str:
    """A short name of a model and how it is asked, fit for the generation's record."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _stated_model(info: object) -> str:
    if not isinstance(info, dict) or not isinstance(info.get("model_id"), str):
        raise malformed(SETTING)
    return f"{info['model_id']}@{info.get('model_sha')}"


def _openai_rows(reply: object) -> list[object]:
    try:
        data = reply["data"]  # type: ignore[index]
        return [row["embedding"] for row in sorted(data, key=lambda row: row["index"])]
    except (KeyError, TypeError):
        raise malformed(SETTING) from None
