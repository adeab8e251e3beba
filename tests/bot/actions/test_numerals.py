"""Tables of what people write for amounts, terms and rates, and what is read."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.actions.numerals import read_amount, read_number, read_rate_percent, read_term_months

AMOUNTS = [
    ("3천만원", 30_000_000),
    ("3천만원이요", 30_000_000),
    ("3,000만원 정도", 30_000_000),
    ("30,000,000원", 30_000_000),
    ("30000000", 30_000_000),
    ("1억", 100_000_000),
    ("1억만요", 100_000_000),
    ("1억5천만원", 150_000_000),
    ("1억 5천", 150_000_000),
    ("1억 2천이요", 120_000_000),
    ("2.5억", 250_000_000),
    ("1억 3만원", 100_030_000),
    ("삼천만원", 30_000_000),
    ("이천만원", 20_000_000),
    ("이억 오천", 250_000_000),
    ("일억 이천만 원", 120_000_000),
    ("사천오백만원", 45_000_000),
    ("천만원", 10_000_000),
    ("만원", 10_000),
    ("3천", 30_000_000),
    ("삼천오백", 35_000_000),
    ("100 million won", 100_000_000),
    ("1.5 billion", 1_500_000_000),
    ("1억 30년 4% 월 상환금", 100_000_000),
    ("일억 삼십년 사 퍼센트", 100_000_000),
    ("5년 동안 2억", 200_000_000),
    ("0원", 0),
    # Nothing is guessed.
    ("300", None),
    ("-5원", None),
    ("천조억", None),
    ("바나나", None),
    ("이건 얼마죠", None),
    ("", None),
    ("5년", None),
]
TERMS = [
    ("5년", 60),
    ("5년이요", 60),
    ("2년 6개월", 30),
    ("60개월로 해주세요", 60),
    ("오년", 60),
    ("오 년이요", 60),
    ("십오년", 180),
    ("삼십년", 360),
    ("이년 육개월", 30),
    ("백이십개월", 120),
    ("10 years", 120),
    ("36 months", 36),
    ("5", None),
    ("-5년", None),
    ("2026년 5월", None),
    ("바나나", None),
]
RATES = [
    ("4.5%", "4.5"),
    ("4.5 %", "4.5"),
    ("4.5％", "4.5"),
    ("연 4.5퍼센트", "4.5"),
    ("5프로요", "5"),
    ("4.5 percent", "4.5"),
    ("4.5", "4.5"),
    ("사 점 오 퍼센트", "4.5"),
    ("사점오퍼센트", "4.5"),
    ("사점 이오 퍼센트", "4.25"),
    ("영점오퍼센트", "0.5"),
    ("삼프로", "3"),
    ("십이점삼오 프로", "12.35"),
    ("-4%", None),
    ("1억", None),
    ("바나나", None),
]


@pytest.mark.parametrize(("text", "won"), AMOUNTS)
def test_an_amount_is_read_in_won_or_not_at_all(text: str, won: int | None) -> None:
    assert read_amount(text) == won


@pytest.mark.parametrize(("text", "months"), TERMS)
def test_a_term_is_read_in_months_or_not_at_all(text: str, months: int | None) -> None:
    assert read_term_months(text) == months


@pytest.mark.parametrize(("text", "percent"), RATES)
def test_a_rate_is_read_in_percent_or_not_at_all(text: str, percent: str | None) -> None:
    assert read_rate_percent(text) == (None if percent is None else Decimal(percent))


@given(st.integers(min_value=1, max_value=10**16 - 1))
def test_every_number_survives_being_spoken_in_korean(number: int) -> None:
    assert read_number(spoken(number)) == number


@given(st.text(max_size=40))
def test_no_text_makes_the_readers_fail(text: str) -> None:
    read_amount(text), read_term_months(text), read_rate_percent(text)


def spoken(number: int) -> str:
    """The number in Sino-Korean, written from the rules of the language and not from the reader."""
    digits, small, large = "영일이삼사오육칠팔구", ["", "십", "백", "천"], ["", "만", "억", "조"]
    parts: list[str] = []
    for place in range(4):
        section = number // 10 ** (4 * place) % 10**4
        if section == 0:
            continue
        words = ""
        for power in (3, 2, 1, 0):
            digit = section // 10**power % 10
            if digit:
                words += ("" if digit == 1 and power else digits[digit]) + small[power]
        parts.append(words + large[place])
    return " ".join(reversed(parts))
