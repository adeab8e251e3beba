"""Hashes in place of names: stable under one key, different for what must be kept apart, useless without the key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.store.identities import Identities

KEY = b"k" * 32
NAMES = st.tuples(st.text(), st.text(), st.text(), st.sampled_from(["staff", "customer"]))


@given(NAMES, NAMES)
def test_two_threads_share_a_key_only_if_they_are_the_same(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    identities = Identities(KEY)
    same = identities.thread_key(*one) == identities.thread_key(*other)
    assert same == (one == other)


def test_where_one_name_ends_and_the_next_begins_matters() -> None:
    identities = Identities(KEY)
    assert identities.user_key("web", "ab") != identities.user_key("weba", "b")


def test_another_key_makes_other_hashes() -> None:
    assert Identities(KEY).user_key("web", "kim") != Identities(b"x" * 32).user_key("web", "kim")
    assert Identities(KEY).user_key("web", "kim") == Identities(KEY).user_key("web", "kim")


def test_a_hash_is_sixty_four_digits_and_says_nothing() -> None:
    key = Identities(KEY).user_key("web", "kim.minsu@example.com")
    assert len(key) == 64
    assert int(key, 16)
    assert "kim" not in key


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Identities(b"short")
