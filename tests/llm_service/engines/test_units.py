"""What can be quoted from a passage: sentences, items with what announces them, rows, and never half of something."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.engines.units import Unit, units_of

STATUTE = """제8조(명의인의 동의)
① 금융회사등은 다음 각 호의 사항을 적은 동의서를 받아야 한다. 다만, 명령이 있으면 그러하지 아니하다. <개정 2017.6.20>
1. 제공받을 자
2. 거래정보등의 범위
  가. 계좌번호
3. 삭제 <2017.6.20>
② 동의서는 5년간 보존한다."""


def texts(units: tuple[Unit, ...]) -> list[str]:
    return [unit.text for unit in units]


def test_paragraphs_items_and_sentences_of_a_statute_are_units() -> None:
    assert texts(units_of(STATUTE)) == [
        "제8조(명의인의 동의)",
        "① 금융회사등은 다음 각 호의 사항을 적은 동의서를 받아야 한다.",
        "다만, 명령이 있으면 그러하지 아니하다.",
        "1. 제공받을 자",
        "2. 거래정보등의 범위",
        "가. 계좌번호",
        "② 동의서는 5년간 보존한다.",
    ]


def test_an_item_hangs_from_the_sentence_that_announces_it_and_a_proviso_from_its_rule() -> None:
    units = units_of(STATUTE)
    assert [unit.lead for unit in units] == [None, None, 1, 1, 1, 4, None]
    assert units[2].is_proviso


def test_the_article_line_is_a_heading_of_everything_below_it() -> None:
    units = units_of(STATUTE)
    assert units[0].is_heading
    assert {unit.heading for unit in units[1:]} == {0}


@pytest.mark.parametrize(
    ("passage", "expected"),
    [
        ("기준일은 2024. 3. 1. 시행일이다. 끝.", ["기준일은 2024. 3. 1. 시행일이다.", "끝."]),
        ("금리는 연 3.5%입니다. 세금은 따로입니다.", ["금리는 연 3.5%입니다.", "세금은 따로입니다."]),
        ("동의서(전자문서를 포함한다. 이하 같다)를 받는다.", ["동의서(전자문서를 포함한다. 이하 같다)를 받는다."]),
        ("- 만 19세 이상\n- 1인 1계좌", ["- 만 19세 이상", "- 1인 1계좌"]),
        ("가입 | 금리\n1년: 연 2%\n2년: 연 3%", ["가입 | 금리", "1년: 연 2%", "2년: 연 3%"]),
        ("| 항목 | 수수료 |\n|---|---|\n| 송금 | 600원 |", ["항목 | 수수료", "송금 | 600원"]),
        (
            "출금은 하루 1,000만원까지이며, 처음으로 계좌를 등록\n한 날부터 3일 동안은 300만원까지입니다.",
            ["출금은 하루 1,000만원까지이며, 처음으로 계좌를 등록\n한 날부터 3일 동안은 300만원까지입니다."],
        ),
        ("삭제 <2002.6.29>", []),
        ("", []),
    ],
)
def test_units_end_where_sentences_items_and_rows_end(passage: str, expected: list[str]) -> None:
    assert texts(units_of(passage)) == expected


def test_rows_that_repeat_their_columns_need_no_head_to_be_quoted() -> None:
    head, *rows = units_of("구분 | 한도\n기본: 200만원\n상향: 1,000만원")
    assert head.is_heading
    assert [row.lead for row in rows] == [None, None]


def test_rows_that_do_not_hang_from_the_head_of_their_table() -> None:
    head, *rows = units_of("구분 | 한도\n기본 | 200만원\n상향 | 1,000만원")
    assert not head.is_heading
    assert [row.lead for row in rows] == [0, 0]


@settings(deadline=None)
@given(st.text(alphabet="가나다 법은한다요.①②1.2|-:\n()<>개정2024“”「」다만,#", max_size=200))
def test_every_unit_stands_in_the_passage_where_it_says(passage: str) -> None:
    units = units_of(passage)
    for index, unit in enumerate(units):
        assert passage[unit.start : unit.start + len(unit.text)] == unit.text
        assert unit.lead is None or unit.lead < index
