"""What every vector index promises: Qdrant Edge, and the server adapter.

No Qdrant server comes with this repository: qdrant-client's local mode stands in for one, in Python, so these tests say
nothing of a server's speed or durability. With HAECHI_TEST_QDRANT_URL they run against a real server as well.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from llm_service.retrieval.candidate import Audience, Entitlement
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.index import IndexPoint, VectorIndex, VectorIndexes
from llm_service.retrieval.server import ServerIndexes
from llm_service.store.models import OPEN_END

TODAY = date(2026, 11, 21)
LONG_AGO = date(2000, 1, 1)
CUSTOMER = Entitlement("customer", TODAY)
STAFF = Entitlement("staff", TODAY)
SERVER_URL = os.environ.get("HAECHI_TEST_QDRANT_URL", "")
TERM, OTHER_TERM, RARE_TERM, GRAM = 1, 2, 4_294_967_295, 7


@pytest.fixture(params=["edge", "server-stand-in", *(["server"] if SERVER_URL else [])])
def indexes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorIndexes]:
    if request.param == "edge":
        opened: VectorIndexes = EdgeIndexes(tmp_path / "index")
    elif request.param == "server":
        opened = ServerIndexes.connect(SERVER_URL)
    else:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Payload indexes have no effect in the local Qdrant")
            yield ServerIndexes(QdrantClient(":memory:"))
        return
    yield opened
    opened.close()


@pytest.fixture
def index(indexes: VectorIndexes) -> Iterator[VectorIndex]:
    created = indexes.create("test")
    yield created
    created.close()
    indexes.drop("test")


def point(
    passage_id: int,
    terms: dict[int, float],
    audience: tuple[Audience, ...] = ("customer", "staff"),
    in_force: tuple[date, date] = (LONG_AGO, OPEN_END),
    document_id: int = 1,
    groups: tuple[str, ...] = (),
) -> IndexPoint:
    vector = (list(terms), list(terms.values()))
    return IndexPoint(passage_id, document_id, audience, *in_force, {"kiwi": vector, "char": ([GRAM], [0.1])}, groups)


def dense_point(
    passage_id: int, dense: list[float] | None, terms: dict[int, float], audience: tuple[Audience, ...] = ("customer",)
) -> IndexPoint:
    return replace(point(passage_id, terms, audience), dense=dense)


def found(index: VectorIndex, entitlement: Entitlement, term: int = TERM, limit: int = 10) -> list[int]:
    return [hit.passage_id for hit in index.search({"kiwi": ([term], [1.0])}, entitlement, limit)]


def test_the_passage_with_the_greater_weight_comes_first(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 0.5}), point(2, {TERM: 2.0}), point(3, {OTHER_TERM: 9.0})])
    assert found(index, CUSTOMER) == [2, 1]


def test_term_ids_use_all_of_32_bits(index: VectorIndex) -> None:
    index.upsert([point(1, {RARE_TERM: 1.0})])
    assert found(index, CUSTOMER, RARE_TERM) == [1]


def test_a_customer_finds_no_staff_passage(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0}, ("staff",)), point(2, {TERM: 1.0}, ("customer", "staff"))])
    assert found(index, CUSTOMER) == [2]
    assert sorted(found(index, STAFF)) == [1, 2]


def test_a_passage_of_groups_is_found_by_the_members_of_one_of_them(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0}), point(2, {TERM: 1.0}, groups=("credit", "audit"))])
    index.upsert([point(3, {TERM: 1.0}, ("staff",), groups=("credit",))])
    assert sorted(found(index, STAFF)) == [1]
    assert sorted(found(index, replace(STAFF, groups=frozenset({"credit"})))) == [1, 2, 3]
    assert sorted(found(index, replace(CUSTOMER, groups=frozenset({"credit"})))) == [1, 2]
    assert sorted(found(index, replace(STAFF, groups=frozenset({"audit", "unheard-of"})))) == [1, 2]


def test_the_best_score_is_that_of_an_allowed_group(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 9.0}, groups=("credit",)), point(2, {TERM: 1.0})])
    assert index.top_score("kiwi", ([TERM], [1.0]), STAFF) == pytest.approx(1.0)


def test_what_is_shared_is_found_only_if_it_is_for_everybody_there(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0}, ("staff",)), point(2, {TERM: 1.0}, ("customer",)), point(3, {TERM: 1.0})])
    assert found(index, replace(CUSTOMER, shared_with=frozenset({"staff"}))) == [3]


def test_better_staff_passages_do_not_push_out_the_customers(index: VectorIndex) -> None:
    index.upsert([point(number, {TERM: 5.0}, ("staff",)) for number in range(1, 301)])
    index.upsert([point(number, {TERM: 0.1}, ("customer",)) for number in range(301, 306)])
    assert sorted(found(index, CUSTOMER)) == [301, 302, 303, 304, 305]


def test_a_passage_is_found_from_its_first_day_until_the_day_before_its_last(index: VectorIndex) -> None:
    first, end = date(2026, 1, 1), date(2026, 7, 1)
    index.upsert([point(1, {TERM: 1.0}, in_force=(first, end))])
    days = [first - timedelta(days=1), first, end - timedelta(days=1), end]
    assert [found(index, Entitlement("customer", day)) for day in days] == [[], [1], [1], []]


def test_editions_of_one_text_answer_for_their_own_time(index: VectorIndex) -> None:
    change = date(2025, 9, 1)
    index.upsert(
        [point(1, {TERM: 1.0}, in_force=(LONG_AGO, change)), point(2, {TERM: 1.0}, in_force=(change, OPEN_END))]
    )
    assert found(index, Entitlement("customer", date(2025, 8, 31))) == [1]
    assert found(index, Entitlement("customer", change)) == [2]


def test_an_upsert_replaces_a_passage_and_who_may_see_it(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0})])
    index.upsert([point(1, {OTHER_TERM: 1.0}, ("staff",))])
    assert index.count() == 1
    assert found(index, STAFF) == []
    assert found(index, STAFF, OTHER_TERM) == [1]
    assert found(index, CUSTOMER, OTHER_TERM) == []


def test_deleting_a_document_removes_its_passages_only(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0}, document_id=1), point(2, {TERM: 1.0}, document_id=2)])
    index.delete_documents([1, 99])
    assert found(index, CUSTOMER) == [2]
    assert index.count() == 1


def test_deleting_passages_removes_these_only(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0}), point(2, {TERM: 1.0})])
    index.delete_passages([2, 99])
    assert found(index, CUSTOMER) == [1]


def test_the_two_vectors_are_fused(index: VectorIndex) -> None:
    both = IndexPoint(1, 1, ("customer",), LONG_AGO, OPEN_END, {"kiwi": ([TERM], [1.0]), "char": ([GRAM], [1.0])})
    only_kiwi = IndexPoint(2, 1, ("customer",), LONG_AGO, OPEN_END, {"kiwi": ([TERM], [1.1]), "char": ([8], [1.0])})
    index.upsert([only_kiwi, both])
    hits = index.search({"kiwi": ([TERM], [1.0]), "char": ([GRAM], [1.0])}, CUSTOMER, 10)
    assert [hit.passage_id for hit in hits] == [1, 2]
    assert hits[0].score > hits[1].score


def test_the_top_score_is_the_inner_product_within_the_entitlement(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 2.0, OTHER_TERM: 1.0}), point(2, {TERM: 9.0}, ("staff",))])
    question = ([TERM, OTHER_TERM], [3.0, 0.5])
    assert index.top_score("kiwi", question, CUSTOMER) == pytest.approx(6.5)
    assert index.top_score("kiwi", question, STAFF) == pytest.approx(27.0)


@pytest.fixture
def dense_index(indexes: VectorIndexes) -> Iterator[VectorIndex]:
    created = indexes.create("dense", dense_dimensions=3)
    yield created
    created.close()
    indexes.drop("dense")


def test_a_dense_vector_finds_what_shares_no_term(dense_index: VectorIndex) -> None:
    near, far = [1.0, 0.1, 0.0], [0.0, 0.0, 1.0]
    dense_index.upsert([dense_point(1, far, {OTHER_TERM: 1.0}), dense_point(2, near, {OTHER_TERM: 1.0})])
    hits = dense_index.search({"kiwi": ([TERM], [1.0])}, CUSTOMER, 10, dense=[2.0, 0.0, 0.0])
    assert [hit.passage_id for hit in hits] == [2, 1]


def test_dense_and_sparse_lists_are_fused_in_one_query(dense_index: VectorIndex) -> None:
    dense_index.upsert(
        [
            dense_point(1, [0.0, 1.0, 0.0], {TERM: 1.0}),
            dense_point(2, [1.0, 0.1, 0.0], {TERM: 0.9}),
            dense_point(3, [0.0, 0.9, 0.5], {TERM: 0.1}),
        ]
    )
    question = {"kiwi": ([TERM], [1.0])}
    assert [hit.passage_id for hit in dense_index.search(question, CUSTOMER, 1)] == [1]
    assert [hit.passage_id for hit in dense_index.search(question, CUSTOMER, 1, dense=[1.0, 0.0, 0.0])] == [2]


def test_a_dense_vector_finds_nothing_that_is_not_allowed(dense_index: VectorIndex) -> None:
    dense_index.upsert([dense_point(number, [1.0, 0.0, 0.0], {TERM: 5.0}, ("staff",)) for number in range(1, 201)])
    dense_index.upsert([dense_point(201, [0.1, 1.0, 0.0], {OTHER_TERM: 1.0}, ("customer",))])
    hits = dense_index.search({"kiwi": ([TERM], [1.0])}, CUSTOMER, 10, dense=[1.0, 0.0, 0.0])
    assert [hit.passage_id for hit in hits] == [201]


def test_a_passage_without_a_dense_vector_is_found_by_its_terms(dense_index: VectorIndex) -> None:
    dense_index.upsert([dense_point(1, None, {TERM: 1.0}), dense_point(2, [1.0, 0.0, 0.0], {OTHER_TERM: 1.0})])
    hits = dense_index.search({"kiwi": ([TERM], [1.0])}, CUSTOMER, 10, dense=[1.0, 0.0, 0.0])
    assert {hit.passage_id for hit in hits} == {1, 2}


def test_dense_vectors_are_replaced_with_their_passage(dense_index: VectorIndex) -> None:
    dense_index.upsert([dense_point(1, [1.0, 0.0, 0.0], {TERM: 1.0}), dense_point(2, [0.5, 0.5, 0.0], {TERM: 1.0})])
    dense_index.upsert([dense_point(1, [0.0, 0.0, 1.0], {TERM: 1.0})])
    hits = dense_index.search({}, CUSTOMER, 10, dense=[1.0, 0.0, 0.0])
    assert [hit.passage_id for hit in hits] == [2, 1]


def test_an_empty_question_finds_nothing(index: VectorIndex) -> None:
    index.upsert([point(1, {TERM: 1.0})])
    assert index.search({"kiwi": ([], []), "char": ([], [])}, CUSTOMER, 10) == []
    assert index.top_score("kiwi", ([], []), CUSTOMER) == 0


def test_an_empty_index_finds_nothing(index: VectorIndex) -> None:
    assert index.count() == 0
    assert found(index, CUSTOMER) == []
    assert index.top_score("kiwi", ([TERM], [1.0]), CUSTOMER) == 0


def test_a_generation_that_was_never_created_does_not_open(indexes: VectorIndexes) -> None:
    assert indexes.open("absent") is None


def test_creating_a_generation_again_starts_it_empty(indexes: VectorIndexes) -> None:
    first = indexes.create("again")
    first.upsert([point(1, {TERM: 1.0})])
    first.flush()
    first.close()
    second = indexes.create("again")
    assert second.count() == 0
    second.close()
    indexes.drop("again")


def test_a_dropped_generation_is_gone(indexes: VectorIndexes) -> None:
    indexes.create("old").close()
    assert "old" in indexes.names()
    indexes.drop("old")
    assert "old" not in indexes.names()
    assert indexes.open("old") is None
