"""The vector index inside this process: Qdrant Edge, one folder per generation, owned by exactly one process at a time.

The write-ahead log stays on: it is also the lock that keeps a second process out of the folder.
"""

import fcntl
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    Fusion,
    MatchAny,
    PayloadSchemaType,
    Point,
    Prefetch,
    Query,
    QueryRequest,
    RangeDateTime,
    UpdateOperation,
)
from qdrant_edge import (
    SparseVector as EdgeSparseVector,
)

from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.index import (
    DENSE_VECTOR,
    FULL_SCAN_THRESHOLD_POINTS,
    PREFETCH_LIMIT,
    UPSERT_BATCH_POINTS,
    VECTOR_NAMES,
    DenseVector,
    Hit,
    IndexHeld,
    IndexPoint,
    SparseVector,
    VectorIndex,
    VectorName,
    group_keys_of,
)

# The stubs miss that the variants of Fusion are fusions.
FUSION = cast(Fusion, Fusion.Dbsf())
SEARCH_THREADS = 2
LOCK_FILE = "owner.lock"
KEYWORD_FIELDS = ("audience", "groups")
INTEGER_FIELDS = ("document_id",)
DATE_FIELDS = ("in_force_from", "in_force_to")


class EdgeIndexes:
    """Generations as folders below one directory. Raises `IndexHeld` while another process owns the directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        # The engine locks single generations only: a second owner could build a new one beside the first.
        self._lock = (directory / LOCK_FILE).open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise IndexHeld from None

    def create(self, name: str, dense_dimensions: int = 0) -> VectorIndex:
        folder = self._directory / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        params = EdgeSparseVectorParams(full_scan_threshold=FULL_SCAN_THRESHOLD_POINTS)
        sparse = {str(vector): params for vector in VECTOR_NAMES}
        dense: dict[str, EdgeVectorParams] = {
            DENSE_VECTOR: EdgeVectorParams(size=dense_dimensions, distance=Distance.Cosine)
        }
        config = EdgeConfig(
            vectors=dense if dense_dimensions else None, sparse_vectors=sparse, max_search_threads=SEARCH_THREADS
        )
        shard = EdgeShard.create(str(folder), config)
        for field in KEYWORD_FIELDS:
            shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Keyword))
        for field in INTEGER_FIELDS:
            shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Integer))
        for field in DATE_FIELDS:
            shard.update(UpdateOperation.create_field_index(field, PayloadSchemaType.Datetime))
        return EdgeIndex(shard)

    def open(self, name: str) -> VectorIndex | None:
        folder = self._directory / name
        if not folder.is_dir():
            return None
        try:
            return EdgeIndex(EdgeShard.load(str(folder)))
        except Exception as error:
            # The engine raises bare Exceptions; only this one is ours to name, every other goes on as it is.
            if "WouldBlock" in str(error):
                raise IndexHeld from None
            raise

    def names(self) -> list[str]:
        return sorted(folder.name for folder in self._directory.iterdir() if folder.is_dir())

    def drop(self, name: str) -> None:
        shutil.rmtree(self._directory / name, ignore_errors=True)

    def close(self) -> None:
        self._lock.close()


class EdgeIndex:
    """One generation in one folder."""

    def __init__(self, shard: Any) -> None:
        self._shard = shard

    def upsert(self, points: Sequence[IndexPoint]) -> None:
        for start in range(0, len(points), UPSERT_BATCH_POINTS):
            batch = [_point(point) for point in points[start : start + UPSERT_BATCH_POINTS]]
            self._shard.update(UpdateOperation.upsert_points(batch))

    def delete_passages(self, passage_ids: Sequence[int]) -> None:
        if passage_ids:
            self._shard.update(UpdateOperation.delete_points(list(passage_ids)))

    def delete_documents(self, document_ids: Sequence[int]) -> None:
        if document_ids:
            of_documents = Filter(must=[FieldCondition(key="document_id", match=MatchAny(any=list(document_ids)))])
            self._shard.update(UpdateOperation.delete_points_by_filter(of_documents))

    def search(
        self,
        question: Mapping[VectorName, SparseVector],
        entitlement: Entitlement,
        limit: int,
        dense: DenseVector | None = None,
    ) -> list[Hit]:
        allowed = _allowed(entitlement)
        nearest = [Query.Nearest(_sparse(vector), using=name) for name, vector in question.items() if vector[0]]
        if dense is not None:
            nearest.append(Query.Nearest(list(dense), using=DENSE_VECTOR))
        prefetches = [Prefetch(limit=max(limit, PREFETCH_LIMIT), query=query, filter=allowed) for query in nearest]
        if not prefetches:
            return []
        found = self._shard.query(
            QueryRequest(limit=limit, query=FUSION, prefetches=prefetches, filter=allowed, with_payload=False)
        )
        return [Hit(int(hit.id), float(hit.score)) for hit in found]

    def top_score(self, name: VectorName, question: SparseVector, entitlement: Entitlement) -> float:
        if not question[0]:
            return 0.0
        nearest = Query.Nearest(_sparse(question), using=name)
        found = self._shard.query(
            QueryRequest(limit=1, query=nearest, filter=_allowed(entitlement), with_payload=False)
        )
        return float(found[0].score) if found else 0.0

    def count(self) -> int:
        return int(self._shard.count(CountRequest(exact=True)))

    def optimize(self) -> None:
        self._shard.optimize()

    def flush(self) -> None:
        self._shard.flush()

    def close(self) -> None:
        self._shard.close()


def _allowed(entitlement: Entitlement) -> Any:
    day = f"{entitlement.as_of.isoformat()}T00:00:00Z"
    return Filter(
        must=[
            *(FieldCondition(key="audience", match=MatchAny(any=[str(one)])) for one in entitlement.audiences),
            FieldCondition(key="groups", match=MatchAny(any=group_keys_of(entitlement))),
            FieldCondition(key="in_force_from", range=RangeDateTime(lte=day)),
            FieldCondition(key="in_force_to", range=RangeDateTime(gt=day)),
        ]
    )


def _point(point: IndexPoint) -> Any:
    payload = {
        "document_id": point.document_id,
        "audience": list(point.audience),
        "groups": point.group_keys,
        "in_force_from": f"{point.in_force_from.isoformat()}T00:00:00Z",
        "in_force_to": f"{point.in_force_to.isoformat()}T00:00:00Z",
    }
    vectors: dict[str, Any] = {name: _sparse(vector) for name, vector in point.vectors.items()}
    if point.dense is not None:
        vectors[DENSE_VECTOR] = list(point.dense)
    return Point(point.passage_id, vectors, payload)


def _sparse(vector: SparseVector) -> Any:
    indices, values = vector
    return EdgeSparseVector(indices=indices, values=values)
