"""Two spellings of a quantity compare equal, two different quantities do not, and hostile text costs no more."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.answering.numerals import value_of
from llm_service.answering.quantities import quantities_of


def found(text: str) -> list[tuple[str, str]]:
    return [(quantity.kind, quantity.value) for quantity in quantities_of(text)]


@pytest.mark.parametrize(
    ("kind", "value", "spellings"),
    [
        (
            "amount",
            "120000000원",
            ["1억2천만원", "120,000,000원", "1억 2,000만 원", "1.2억원", "일억 이천만원", "１２０,０００,０００원"],
        ),
        ("amount", "30000000원", ["3천만원", "삼천만원", "3,000만원", "30000000원", "3천만 원"]),
        ("amount", "35000000원", ["3천5백만원", "3천500만원", "3,500만원"]),
        ("amount", "10000원", ["1만원", "만원", "10,000원"]),
        ("amount", "50000달러", ["5만달러", "50,000달러", "미화 5만 달러"]),
        ("rate", "7/2%", ["3.5%", "3.50 퍼센트", "연 3.5프로", "1천분의 35", "３.５％"]),
        ("rate", "20%", ["20%", "100분의 20", "5분의 1", "이십퍼센트"]),
        ("rate", "1/5%p", ["0.2%p", "0.20 %p", "0.2퍼센트포인트", "0.2%포인트"]),
        ("date", "2024-3-1", ["2024년 3월 1일", "2024.3.1.", "2024. 3. 1.", "2024-03-01", "2024/03/01"]),
        ("date", "2024-3", ["2024년 3월"]),
        ("date", "-3-31", ["3월 31일"]),
        ("time", "16:30", ["오후 4시 30분", "16:30", "오후 4시 반", "16시 30분"]),
        ("period", "10일", ["10일", "열흘", "십일 이내"]),
        ("period", "14일", ["14일", "2주", "2주일"]),
        ("period", "12개월", ["1년", "12개월", "열두 달"]),
        ("period", "3개월", ["3개월", "석 달", "3월 이내", "세 달", "삼개월"]),
        ("period", "5영업일", ["5영업일", "5 영업일"]),
        ("count", "2명", ["2명", "2인", "두 명", "두 사람"]),
        ("count", "3회", ["3회", "세 번", "3차례"]),
        ("age", "14세", ["만 14세", "14세", "14살"]),
        (
            "article",
            "제4조의2/제1항/제3호",
            ["제4조의2제1항제3호", "제4조의2 제1항 제3호", "제 4 조의2 제1항제3호", "4조의2 1항 3호"],
        ),
        ("article", "별표2", ["별표 2", "별표2"]),
        ("phone", "15880000", ["1588-0000"]),
        ("phone", "1332", ["국번 없이 1332"]),
        ("name", "행정기본법", ["「행정기본법」", "「행정 기본법」"]),
    ],
)
def test_every_spelling_of_a_quantity_reads_the_same(kind: str, value: str, spellings: list[str]) -> None:
    for spelling in spellings:
        assert found(spelling) == [(kind, value)], spelling


@pytest.mark.parametrize(
    "text",
    [
        "세대주와 회원이 공원에서 직원을 만난다",
        "한 번 더 확인합니다",
        "하루빨리 신청하세요",
        "<PHONE_1>으로 연락합니다",
        "1. 신분증\n2. 통장",
        "대통령령으로 정하는 사항",
        "",
    ],
)
def test_what_only_looks_like_a_quantity_is_none(text: str) -> None:
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("100만원 이하", "at_most"),
        ("30일 이내", "at_most"),
        ("1천분의 5를 넘지 아니하는", "at_most"),
        ("5명 이상", "at_least"),
        ("3개월을 초과하여", "over"),
        ("14세 미만", "under"),
        ("7일 전까지", "before"),
        ("1년이 지난", "after"),
        ("1억원으로 한다", None),
    ],
)
def test_the_word_that_bounds_a_quantity_is_read_with_it(text: str, bound: str | None) -> None:
    assert [quantity.bound for quantity in quantities_of(text)] == [bound]


def test_both_ends_of_a_range_have_its_unit() -> None:
    assert found("3~5년") == [("period", "36개월"), ("period", "60개월")]


def test_a_sentence_yields_its_quantities_in_order() -> None:
    text = "제6조를 위반한 자는 5년 이하의 징역 또는 5천만원 이하의 벌금에 처한다."
    assert found(text) == [("article", "제6조"), ("period", "60개월"), ("amount", "50000000원")]


@settings(deadline=None)
@given(st.integers(1, 10**12 - 1))
def test_an_amount_reads_the_same_in_digits_and_in_units_of_ten_thousand(won: int) -> None:
    in_units = "".join(
        f"{part}{unit}"
        for part, unit in ((won // 10**8, "억"), (won // 10**4 % 10**4, "만"), (won % 10**4, ""))
        if part
    )
    assert found(f"{won:,}원") == found(f"{in_units}원") == [("amount", f"{won}원")]


@settings(deadline=None)
@given(st.text(max_size=300))
def test_any_text_can_be_read_and_every_quantity_lies_within_it(text: str) -> None:
    quantities = quantities_of(text)
    assert all(0 <= quantity.start < quantity.end <= len(text) for quantity in quantities)
    assert list(quantities) == sorted(quantities, key=lambda quantity: quantity.start)


@pytest.mark.parametrize(
    "unit",
    ["1", "1,", "제1", "1억", "십", "「", "1 ", "2024.", "제1조제1", "한 ", "오후 ", "<A", "1-", "1~", "1.1", "일억 "],
)
def test_four_times_the_hostile_text_takes_about_four_times_as_long(unit: str) -> None:
    short, long = unit * 1_500, unit * 6_000
    quickest = [min(_seconds(text) for _ in range(3)) for text in (short, long)]
    assert quickest[1] < 10 * quickest[0] + 0.02


def _seconds(text: str) -> float:
    started = time.process_time()
    quantities_of.__wrapped__(text)
    return time.process_time() - started


def test_a_text_without_a_numeral_has_no_value() -> None:
    with pytest.raises(ValueError, match="no numeral in a text of 2 characters"):
        value_of("없음")
