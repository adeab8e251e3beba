"""The vector index on a Qdrant server: one collection per generation, the same points, filters and fusion as `edge.py`.

Several processes may share it. Whether a server behaves as qdrant-client's local mode does is checked by running the
contract suite against one (HAECHI_TEST_QDRANT_URL).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time

from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

from llm_service.errors import Unavailable
from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.index import (
    DENSE_VECTOR,
    FULL_SCAN_THRESHOLD_POINTS,
    PREFETCH_LIMIT,
    UPSERT_BATCH_POINTS,
    VECTOR_NAMES,
    DenseVector,
    Hit,
    IndexPoint,
    SparseVector,
    VectorIndex,
    VectorName,
    group_keys_of,
)

COLLECTION_PREFIX = "haechi-"
SERVER_TIMEOUT_SECONDS = 10
PAYLOAD_INDEXES = {
    "audience": models.PayloadSchemaType.KEYWORD,
    "groups": models.PayloadSchemaType.KEYWORD,
    "document_id": models.PayloadSchemaType.INTEGER,
    "in_force_from": models.PayloadSchemaType.DATETIME,
    "in_force_to": models.PayloadSchemaType.DATETIME,
}


class ServerIndexes:
    """Generations as collections of one server. Raises `Unavailable` when it cannot be reached."""

    def __init__(self, client: QdrantClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, url: str, api_key: str = "") -> "ServerIndexes":
        """Generations on the server at this URL; nothing is sent before the first call."""
        return cls(QdrantClient(url=url, api_key=api_key or None, timeout=SERVER_TIMEOUT_SECONDS))

    def create(self, name: str, dense_dimensions: int = 0) -> VectorIndex:
        collection = COLLECTION_PREFIX + name
        on_server = models.SparseIndexParams(full_scan_threshold=FULL_SCAN_THRESHOLD_POINTS)
        params = models.VectorParams(size=dense_dimensions, distance=models.Distance.COSINE)
        dense: dict[str, models.VectorParams] = {DENSE_VECTOR: params} if dense_dimensions else {}
        with _reachable():
            self._client.delete_collection(collection)
            self._client.create_collection(
                collection,
                vectors_config=dense,
                sparse_vectors_config={str(one): models.SparseVectorParams(index=on_server) for one in VECTOR_NAMES},
            )
            for field, schema in PAYLOAD_INDEXES.items():
                self._client.create_payload_index(collection, field, schema)
        return ServerIndex(self._client, collection)

    def open(self, name: str) -> VectorIndex | None:
        collection = COLLECTION_PREFIX + name
        with _reachable():
            exists = self._client.collection_exists(collection)
        return ServerIndex(self._client, collection) if exists else None

    def names(self) -> list[str]:
        with _reachable():
            collections = self._client.get_collections().collections
        return sorted(
            found.name.removeprefix(COLLECTION_PREFIX)
            for found in collections
            if found.name.startswith(COLLECTION_PREFIX)
        )

    def drop(self, name: str) -> None:
        with _reachable():
            self._client.delete_collection(COLLECTION_PREFIX + name)

    def close(self) -> None:
        self._client.close()


class ServerIndex:
    """One generation in one collection."""

    def __init__(self, client: QdrantClient, collection: str) -> None:
        self._client = client
        self._collection = collection

    def upsert(self, points: Sequence[IndexPoint]) -> None:
        for start in range(0, len(points), UPSERT_BATCH_POINTS):
            batch = [_point(point) for point in points[start : start + UPSERT_BATCH_POINTS]]
            with _reachable():
                self._client.upsert(self._collection, batch, wait=True)

    def delete_passages(self, passage_ids: Sequence[int]) -> None:
        if passage_ids:
            with _reachable():
                self._client.delete(self._collection, models.PointIdsList(points=list(passage_ids)), wait=True)

    def delete_documents(self, document_ids: Sequence[int]) -> None:
        if document_ids:
            of_documents = models.FieldCondition(key="document_id", match=models.MatchAny(any=list(document_ids)))
            selected = models.FilterSelector(filter=models.Filter(must=[of_documents]))
            with _reachable():
                self._client.delete(self._collection, selected, wait=True)

    def search(
        self,
        question: Mapping[VectorName, SparseVector],
        entitlement: Entitlement,
        limit: int,
        dense: DenseVector | None = None,
    ) -> list[Hit]:
        allowed = _allowed(entitlement)
        depth = max(limit, PREFETCH_LIMIT)
        prefetches = [
            models.Prefetch(query=_sparse(vector), using=name, filter=allowed, limit=depth)
            for name, vector in question.items()
            if vector[0]
        ]
        if dense is not None:
            prefetches.append(models.Prefetch(query=list(dense), using=DENSE_VECTOR, filter=allowed, limit=depth))
        if not prefetches:
            return []
        with _reachable():
            found = self._client.query_points(
                self._collection,
                query=models.FusionQuery(fusion=models.Fusion.DBSF),
                prefetch=prefetches,
                query_filter=allowed,
                limit=limit,
                with_payload=False,
            )
        return [Hit(int(hit.id), hit.score) for hit in found.points]

    def top_score(self, name: VectorName, question: SparseVector, entitlement: Entitlement) -> float:
        if not question[0]:
            return 0.0
        with _reachable():
            found = self._client.query_points(
                self._collection,
                query=_sparse(question),
                using=name,
                query_filter=_allowed(entitlement),
                limit=1,
                with_payload=False,
            )
        return found.points[0].score if found.points else 0.0

    def count(self) -> int:
        with _reachable():
            return self._client.count(self._collection, exact=True).count

    def optimize(self) -> None:
        """Nothing to do: the server optimizes by itself."""

    def flush(self) -> None:
        """Nothing to do: every change was waited for, and the server keeps it in its log."""

    def close(self) -> None:
        """Nothing to do: the client is closed with the generations."""


class _reachable:  # noqa: N801 - reads as a word in `with`
    """Turns the client's transport errors into one of ours, without what was sent."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, ApiException | ResponseHandlingException):
            raise Unavailable(
                "index_unreachable", "the Qdrant server does not answer; check HAECHI_QDRANT_URL"
            ) from None


def _allowed(entitlement: Entitlement) -> models.Filter:
    day = _midnight(entitlement.as_of)
    return models.Filter(
        must=[
            *(models.FieldCondition(key="audience", match=models.MatchAny(any=[one])) for one in entitlement.audiences),
            models.FieldCondition(key="groups", match=models.MatchAny(any=group_keys_of(entitlement))),
            models.FieldCondition(key="in_force_from", range=models.DatetimeRange(lte=day)),
            models.FieldCondition(key="in_force_to", range=models.DatetimeRange(gt=day)),
        ]
    )


def _point(point: IndexPoint) -> models.PointStruct:
    payload = {
        "document_id": point.document_id,
        "audience": list(point.audience),
        "groups": point.group_keys,
        "in_force_from": _midnight(point.in_force_from).isoformat(),
        "in_force_to": _midnight(point.in_force_to).isoformat(),
    }
    vectors: dict[str, models.Vector] = {name: _sparse(vector) for name, vector in point.vectors.items()}
    if point.dense is not None:
        vectors[DENSE_VECTOR] = list(point.dense)
    return models.PointStruct(id=point.passage_id, vector=vectors, payload=payload)


def _sparse(vector: SparseVector) -> models.SparseVector:
    indices, values = vector
    return models.SparseVector(indices=indices, values=values)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
