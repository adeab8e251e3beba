"""Counts in arrays add up as counts in a dictionary do."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llm_service.retrieval.term_counts import NO_COUNTS, TermCounts, added_up, counted

TERMS = st.integers(0, 2**32 - 1) | st.integers(0, 5)
PARTS = st.lists(st.dictionaries(TERMS, st.integers(1, 2**20)), max_size=5)


def counts_of(part: dict[int, int]) -> TermCounts:
    terms = sorted(part)
    return TermCounts(np.array(terms, np.uint32), np.array([part[term] for term in terms], np.int32))


def as_dictionary(counts: TermCounts) -> dict[int, int]:
    assert counts.terms.tolist() == sorted(set(counts.terms.tolist()))
    return dict(zip(counts.terms.tolist(), counts.counts.tolist(), strict=True))


@given(PARTS)
def test_parts_add_up_term_by_term(parts: list[dict[int, int]]) -> None:
    expected: Counter[int] = Counter()
    for part in parts:
        expected.update(part)
    assert as_dictionary(added_up([counts_of(part) for part in parts])) == expected


@given(PARTS, st.dictionaries(TERMS, st.integers(1, 9)))
def test_what_is_taken_away_again_leaves_no_trace(parts: list[dict[int, int]], gone: dict[int, int]) -> None:
    kept = [counts_of(part) for part in parts]
    with_and_without = added_up([*kept, counts_of(gone), counts_of(gone).negative()])
    assert as_dictionary(with_and_without) == as_dictionary(added_up([NO_COUNTS, *kept]))


@given(st.dictionaries(TERMS, st.integers(1, 9)), TERMS)
def test_a_term_is_looked_up_like_in_a_dictionary(part: dict[int, int], term: int) -> None:
    assert counts_of(part).of(term) == part.get(term, 0)


@given(st.lists(st.sets(TERMS), max_size=5))
def test_a_term_counts_once_for_each_array_that_holds_it(arrays: list[set[int]]) -> None:
    expected = Counter(term for terms in arrays for term in terms)
    assert as_dictionary(counted([np.array(sorted(terms), np.uint32) for terms in arrays])) == expected
