"""Statistics that are kept up to date, or written down and read again, are those that counting anew would give."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.lexical import PackedTerms, PassageTerms, pack_terms
from llm_service.retrieval.packed_statistics import StatisticsUnusable, pack_statistics, unpack_statistics
from llm_service.retrieval.statistics import TermStatistics, Visibility
from llm_service.store.models import OPEN_END

MADE_WITH = "analyser/weights"
VISIBILITIES = (
    Visibility(("customer", "staff"), date(2000, 1, 1), OPEN_END),
    Visibility(("staff",), date(2000, 1, 1), OPEN_END),
    Visibility(("customer", "staff"), date(2000, 1, 1), date(2010, 1, 1)),
    Visibility(("staff",), date(2000, 1, 1), OPEN_END, ("대출심사",)),
)
ENTITLEMENTS = (
    Entitlement("customer", date(2026, 11, 21)),
    Entitlement("customer", date(2005, 1, 1)),
    Entitlement("staff", date(2026, 11, 21), frozenset({"대출심사"})),
)
Terms = frozenset[int]
Change = tuple[int, Visibility, list[Terms]]

PASSAGES = st.lists(st.frozensets(st.integers(0, 6), min_size=1), max_size=3)
CHANGES = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(VISIBILITIES), PASSAGES), max_size=12)
"""Documents put one after another; a document without passages is one that went."""


def packed(terms: Terms) -> PackedTerms:
    return PackedTerms(pack_terms(PassageTerms(dict.fromkeys(terms, 1.0), {}, tuple(terms))))


def put(statistics: TermStatistics, change: Change) -> None:
    document_id, visibility, passages = change
    ids = range(document_id * 10, document_id * 10 + len(passages))
    statistics.put(document_id, visibility, dict(zip(ids, map(packed, passages), strict=True)))


def told(statistics: TermStatistics) -> object:
    """Everything that is asked of statistics."""
    corpora = [statistics.within(entitlement) for entitlement in ENTITLEMENTS]
    return (
        statistics.visibilities(),
        statistics.passages(),
        statistics.average_lengths(),
        [statistics.passage_ids(document_id) for document_id in range(5)],
        [(corpus.passages, [corpus.frequency(term) for term in range(7)]) for corpus in corpora],
    )


@given(CHANGES, st.integers(0, 12))
def test_keeping_up_with_changes_is_counting_anew(changes: list[Change], asked_after: int) -> None:
    kept_up = TermStatistics()
    for number, change in enumerate(changes):
        put(kept_up, change)
        if number == asked_after:
            told(kept_up)
    anew = TermStatistics()
    for change in {change[0]: change for change in changes}.values():
        put(anew, change)
    assert told(kept_up) == told(anew)


@given(CHANGES, CHANGES)
def test_statistics_read_again_go_on_like_those_written(before: list[Change], after: list[Change]) -> None:
    written = TermStatistics()
    for change in before:
        put(written, change)
    read = unpack_statistics(pack_statistics(written, MADE_WITH), MADE_WITH)
    assert told(read) == told(written)
    for change in after:
        put(read, change)
        put(written, change)
    assert told(read) == told(written)


def a_few() -> bytes:
    statistics = TermStatistics()
    put(statistics, (1, VISIBILITIES[0], [frozenset({1, 2}), frozenset({2, 3})]))
    put(statistics, (2, VISIBILITIES[3], [frozenset({3, 4})]))
    return pack_statistics(statistics, MADE_WITH)


def test_one_damaged_byte_anywhere_is_noticed() -> None:
    whole = a_few()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        with pytest.raises(StatisticsUnusable):
            unpack_statistics(bytes(damaged), MADE_WITH)


@pytest.mark.parametrize("length", [0, 3, 15, 16, 40, len(a_few()) - 1])
def test_bytes_cut_off_are_noticed(length: int) -> None:
    with pytest.raises(StatisticsUnusable):
        unpack_statistics(a_few()[:length], MADE_WITH)


def test_statistics_of_another_analyser_are_refused() -> None:
    with pytest.raises(StatisticsUnusable, match="another analyser"):
        unpack_statistics(a_few(), "another")
