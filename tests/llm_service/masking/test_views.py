"""The views undo disguises and lead every character back to where it stood."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.masking.views import base_view, guessed_views

BASE_FORMS = [
    ("０１０－１２３４", "010-1234"),
    ("①②③ ⁴⁵⁶ ➐🄋", "123 456 70"),
    ("𝟎𝟏𝟎", "010"),
    ("1\ufe0f\u20e32\ufe0f\u20e3", "12"),
    ("1\u03362\u0336", "12"),
    ("٠١٢ ०१२", "012 012"),
    ("0\u200b1\u20600\u00ad", "010"),
    ("1—2−3‐4", "1-2-3-4"),
    ("a\u00a0b\u3000c", "a b c"),
    ("&#48;1&#x30; &commat;", "010 @"),
    ("%30%31%30 %EA%B9%80", "010 김"),
    ("\u1100\u1175\u11b7", "김"),
    ("ㅋㅋㅠㅠ", "ㅋㅋㅠㅠ"),
    ("3.5% &amp; 100%", "3.5% & 100%"),
]
GUESSES = [
    ("0 1 0 1 2 3 4", "0101234"),
    ("010★1234★5678", "01012345678"),
    ("010 다시 1234 다시 5678", "01012345678"),
    ("공일공 일이삼사 오육칠팔이에요", "01012345678이에요"),
    ("공1공-12삼4", "0101234"),
    ("O1O-l234-5678", "01012345678"),
]


@pytest.mark.parametrize(("original", "base"), BASE_FORMS)
def test_the_base_view_undoes_what_cannot_change_a_meaning(original: str, base: str) -> None:
    assert base_view(original).text == base


@pytest.mark.parametrize(("original", "guess"), GUESSES)
def test_a_guessed_view_reads_disguised_digits(original: str, guess: str) -> None:
    assert guess in [view.text for view in guessed_views(base_view(original))]


@pytest.mark.parametrize("original", ["안녕하세요", "금리 3.5%", "이 일 저 일", "1,234원", "2024.01.15, 2025.02.16"])
def test_nothing_is_guessed_where_nothing_calls_for_it(original: str) -> None:
    assert not any(len(view.text) < len(original) - 3 for view in guessed_views(base_view(original)))


@given(st.text(max_size=200))
def test_every_character_of_every_view_comes_from_the_original(original: str) -> None:
    base = base_view(original)
    for view in (base, *guessed_views(base)):
        spans = [view.original_span(offset, offset + 1) for offset in range(len(view.text))]
        assert all(0 <= start < end <= len(original) for start, end in spans)
        assert all(left[0] <= right[0] for left, right in pairwise(spans))
