"""The vector index as the rest of retrieval sees it: points in, ids and fused scores out, filters inside the query.

Two implementations stand behind it: `edge.py` (the engine in this process) and `server.py` (a Qdrant server). Which
terms and weights a point has is decided elsewhere; rows are the truth and an index can always be rebuilt from them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_service.errors import Unavailable
from llm_service.retrieval.candidate import EVERY_GROUP, Audience, Entitlement

VectorName = Literal["kiwi", "char"]
VECTOR_NAMES: tuple[VectorName, ...] = ("kiwi", "char")
SparseVector = tuple[list[int], list[float]]
"""Distinct term ids and the weight of each."""
DenseVector = Sequence[float]
"""A text as an embedding model sees it; all vectors of one generation have the same length."""

DENSE_VECTOR: Literal["dense"] = "dense"
"""The name of the optional dense vector beside the sparse ones."""

WEIGHTS_VERSION = 3
"""Raised whenever points would get other weights or fields from the same terms; generations are rebuilt then."""

PREFETCH_LIMIT = 100
UPSERT_BATCH_POINTS = 256
FULL_SCAN_THRESHOLD_POINTS = 100
"""Below this many allowed points each is compared; the engine's default of 5,000 is slower than its inverted index."""

BM25_K1 = 1.2
BM25_B = 0.75


class IndexHeld(Unavailable):
    """Another process owns the index; ask that process instead of opening it."""

    def __init__(self) -> None:
        super().__init__(
            "index_held", "the service at HAECHI_LLM_SERVICE_PORT holds the index; ask it, or stop it first"
        )


@dataclass(frozen=True)
class IndexPoint:
    """A passage as the index holds it: weighted terms by vector name, and who may see it from when until when.

    `groups` is empty for a document of no group; the index holds `EVERY_GROUP` for it, so that a point without the
    field is found by nobody. `dense` is None where the generation has no dense vectors, or no model could be asked.
    """

    passage_id: int
    document_id: int
    audience: tuple[Audience, ...]
    in_force_from: date
    in_force_to: date
    vectors: Mapping[VectorName, SparseVector]
    groups: tuple[str, ...] = ()
    dense: DenseVector | None = None

    @property
    def group_keys(self) -> list[str]:
        """The groups as the index holds them."""
        return list(self.groups) or [EVERY_GROUP]


@dataclass(frozen=True)
class Hit:
    """A passage found. The score is relative to the question: it orders hits and says nothing about relevance."""

    passage_id: int
    score: float


class VectorIndex(Protocol):
    """One generation of the index. All methods may be called from several threads."""

    def upsert(self, points: Sequence[IndexPoint]) -> None:
        """Add points or replace those with the same passage id."""

    def delete_passages(self, passage_ids: Sequence[int]) -> None:
        """Remove these points; unknown ids are no error."""

    def delete_documents(self, document_ids: Sequence[int]) -> None:
        """Remove every point of these documents; unknown ids are no error."""

    def search(
        self,
        question: Mapping[VectorName, SparseVector],
        entitlement: Entitlement,
        limit: int,
        dense: DenseVector | None = None,
    ) -> list[Hit]:
        """The best passages the entitlement allows, best first.

        Each vector is searched within the entitlement, by the inner product with the question's weights (the dense one
        by cosine, only in generations created with its dimensions), and the lists are fused by distribution-based
        scores (DBSF). Weights carry the IDF already: see `statistics.py`.
        """

    def top_score(self, name: VectorName, question: SparseVector, entitlement: Entitlement) -> float:
        """The best inner product with one vector among the allowed passages, 0 if none shares a term.

        Unlike fused scores it can be compared between questions.
        """

    def count(self) -> int:
        """How many points it holds."""

    def optimize(self) -> None:
        """Bring what was added into the form that is searched fastest; worth it after many points."""

    def flush(self) -> None:
        """Return once everything upserted is on disk."""

    def close(self) -> None:
        """Let go of the index; further calls raise."""


class VectorIndexes(Protocol):
    """Where generations live: folders of this machine, or collections of a server."""

    def create(self, name: str, dense_dimensions: int = 0) -> VectorIndex:
        """A new, empty generation; one left behind under the same name is removed first. 0: without dense vectors."""

    def open(self, name: str) -> VectorIndex | None:
        """The generation of this name, None if it does not exist. Raises `IndexHeld` if another process owns it."""

    def names(self) -> list[str]:
        """Names of the generations that exist, recorded or not."""

    def drop(self, name: str) -> None:
        """Remove a generation that nobody uses."""

    def close(self) -> None:
        """Let others own the generations."""


def group_keys_of(entitlement: Entitlement) -> list[str]:
    """The values of a point's groups, one of which it must have for this entitlement."""
    return [EVERY_GROUP, *sorted(entitlement.groups)]


def bm25_weights(terms: tuple[NDArray[np.uint32], NDArray[np.float32]], average_length: float) -> SparseVector:
    """The document side of BM25 (Robertson and Zaragoza, 2009) from counts; the question brings the IDF."""
    ids, counts = terms
    norm = BM25_K1 * (1 - BM25_B + BM25_B * float(counts.sum()) / average_length)
    return ids.tolist(), (counts * (BM25_K1 + 1) / (counts + norm)).tolist()
