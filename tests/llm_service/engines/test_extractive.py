"""An answer by quotation says nothing of its own, keeps together what belongs together, and knows when to decline."""

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.engines.base import EngineRequest
from llm_service.engines.extractive import MAXIMUM_CHARACTERS, MAXIMUM_SOURCES, ExtractiveEngine
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate
from llm_service.wiring import Analysers
from tests.llm_service.passages import Word, passage, words_between_blanks

ENGINE = ExtractiveEngine(words_between_blanks)
FILLER = "③ 공사는 매년 업무계획을 세운다.\n④ 공사는 그 밖의 업무를 할 수 있다.\n" * 8


def request(question: str, *passages: Candidate) -> EngineRequest:
    return EngineRequest(MaskedText(question), passages, (), "ko")


def answer(question: str, *passages: Candidate) -> str:
    return "".join(ENGINE.quotations(request(question, *passages)))


def squeezed(text: str) -> str:
    return "".join(text.split())


async def test_the_stream_is_the_quotations() -> None:
    asked = request("보험금 한도", passage("보험금의 한도는 1억원으로 한다."))
    assert [piece async for piece in ENGINE.stream(asked)] == ["“보험금의 한도는 1억원으로 한다.” [1]\n\n"]


def test_the_citation_names_the_passage_that_is_quoted() -> None:
    found = answer("보험금 한도", passage("총리는 공고한다."), passage("보험금의 한도는 1억원으로 한다.", number=2))
    assert found == "“보험금의 한도는 1억원으로 한다.” [2]\n\n"


def test_a_number_question_gets_the_unit_with_the_number() -> None:
    text = f"① 송금 한도는 따로 정한다.\n② 송금 한도는 100만원 이하로 한다.\n{FILLER}"
    assert "② 송금 한도는 100만원 이하로 한다." in answer("송금 한도 얼마", passage(text))


@pytest.mark.parametrize(
    ("question", "told", "other"),
    [
        ("송금 결과 며칠 안에 통보", "송금 결과는 10일 이내에 통보한다.", "송금 결과 통보 수수료는 500원으로 한다."),
        ("송금 수수료 얼마", "송금 수수료는 500원으로 한다.", "송금 수수료는 3일 이내에 낸다."),
        ("송금 수수료 얼마", "송금 수수료는 면제합니다.", "송금 수수료는 제81조제1항에 따른다."),
        ("가입 나이 몇 살부터", "가입 나이는 19세 이상으로 한다.", "가입 나이는 따로 정하여 1회 고시한다."),
        ("위원 몇 명", "위원은 7명으로 한다.", "위원의 임기는 3년으로 한다."),
        ("지분 몇 퍼센트까지", "지분은 100분의 10까지 보유한다.", "지분은 3일 이내에 보고한다."),
        ("송금 언제까지 취소", "송금은 취소를 지체 없이 처리한다.", "송금 취소 수수료는 500원으로 한다."),
        ("증명서 몇 장", "증명서는 2장을 낸다.", "증명서 수수료는 500원으로 한다."),
        ("금리 전망", "금리 전망을 내지 아니한다.", "금리는 연 3%로 한다."),
    ],
)
def test_what_is_quoted_tells_the_kind_of_thing_that_is_asked(question: str, told: str, other: str) -> None:
    assert told in answer(question, passage(f"① {other}\n{FILLER}"), passage(f"① {told}\n{FILLER}", number=2))
    assert answer(question, passage(f"① {other}\n{FILLER}")) == ""


def test_a_number_about_something_else_is_no_answer() -> None:
    text = f"① 육아휴직 급여 자료는 공단 이사장에게 요청한다.\n② 급여는 100만원 이하로 한다.\n{FILLER}"
    assert answer("육아휴직 급여 자료 요청 얼마", passage(text)) == ""


@pytest.mark.parametrize("question", ["송금 한도", "언제 송금 취소할 수 있나", "송금 비용이 얼마 들었는지 명세"])
def test_words_that_ask_for_no_quantity_demand_none(question: str) -> None:
    assert answer(question, passage("송금 한도와 비용, 취소, 명세는 따로 정한다."))


def test_a_second_source_is_quoted_for_what_the_first_one_lacks() -> None:
    first = passage("예금 보호 한도는 1억원으로 한다.")
    second = passage("예금 보호 신청 기한은 3년으로 한다.", number=2)
    assert answer("예금 보호 한도 신청 기한", first, second).count("”") == 2


def test_a_second_source_that_only_shares_words_with_the_first_is_left_out() -> None:
    first = passage("예금 보호 한도는 1억원으로 한다.")
    second = passage(f"① 예금 보호 재산은 정부가 공사에 무상으로 넘겨줄 수 있다.\n{FILLER}", number=2)
    assert answer("예금 보호 한도", first, second) == "“예금 보호 한도는 1억원으로 한다.” [1]\n\n"


def test_the_items_of_a_list_come_with_the_sentence_that_announces_them() -> None:
    text = f"① 동의서 내용은 다음 각 호와 같다.\n1. 제공받을 자\n2. 제공 목적\n3. 유효기간\n{FILLER}"
    assert answer("동의서 내용", passage(text)) == (
        "“① 동의서 내용은 다음 각 호와 같다.\n1. 제공받을 자\n2. 제공 목적\n3. 유효기간” [1]\n\n"
    )


def test_an_item_that_answers_brings_its_lead_and_an_ellipsis_for_what_is_left_out() -> None:
    text = f"① 확인하지 아니할 수 있는 거래는 다음 각호와 같다.\n1. 공과금 수납\n2. 100만원 이하 송금\n{FILLER}"
    assert answer("100만원 송금", passage(text)) == (
        "“① 확인하지 아니할 수 있는 거래는 다음 각호와 같다. …\n2. 100만원 이하 송금” [1]\n\n"
    )


def test_a_rule_is_never_quoted_without_its_proviso() -> None:
    text = f"① 보험금은 신청일부터 지급한다. 다만, 조사 중이면 지급을 보류한다.\n{FILLER}"
    assert "지급한다. 다만, 조사 중이면 지급을 보류한다.” [1]" in answer("보험금 신청일", passage(text))


def test_a_stored_answer_is_given_whole_and_alone() -> None:
    text = "Q. 엄마 대신 딸이 와도 되나요?\nA. 됩니다. 가족관계증명서를 받습니다. (안내 3.2)\n분류: 실명확인"
    assert answer("엄마 대신 딸이", passage(text)) == "“됩니다. 가족관계증명서를 받습니다. (안내 3.2)” [1]\n\n"


def test_a_short_section_is_quoted_whole() -> None:
    text = "기본금리는 연 4.00%입니다. 모두 받으면 연 5.50%입니다."
    assert answer("기본금리는", passage(text)) == f"“{text}” [1]\n\n"


def test_a_section_is_quoted_below_its_heading_because_its_text_may_not_name_its_subject() -> None:
    section = passage("밀린 보험료를 내고 계약을 되살리는 일입니다.", article=None, heading_path=("유지", "부활"))
    assert answer("보험료를 내고", section) == "부활\n“밀린 보험료를 내고 계약을 되살리는 일입니다.” [1]\n\n"


def test_another_wording_of_a_word_finds_its_unit() -> None:
    engine = ExtractiveEngine(lambda _: [Word("민증", meant=(("주민등록증",),)), Word("한도")])
    asked = request("민증", passage("① 총리는 공고한다."), passage("주민등록증으로 확인한다.", number=2))
    assert engine.quotations(asked) == ("“주민등록증으로 확인한다.” [2]\n\n",)


@pytest.mark.parametrize("question", ["주차장 영업시간 토요일", "?", ""])
def test_a_question_that_no_unit_supports_is_declined(question: str) -> None:
    assert answer(question, passage("보험금의 한도는 1억원으로 한다.")) == ""


@pytest.mark.parametrize(("score", "cited"), [(0.9, {"[1]", "[2]"}), (0.5, {"[1]"})])
def test_another_source_is_quoted_only_if_retrieval_thought_nearly_as_much_of_it(score: float, cited: set[str]) -> None:
    best = replace(passage("예금의 보호 한도는 1억원이다."), score=1.0)
    other = replace(passage("보험의 보호 한도는 1억원이다.", 2), score=score)
    assert set(re.findall(r"\[\d\]", answer("보호 한도 얼마", best, other))) == cited


def test_without_passages_everything_is_declined() -> None:
    assert answer("보험금 한도") == ""


def test_a_mark_inside_a_document_is_not_mistaken_for_a_citation() -> None:
    assert answer("보험금 한도", passage("보험금[7] 한도는 1억원[12]이다.")) == "“보험금 한도는 1억원이다.” [1]\n\n"


def test_a_sentence_without_end_is_cut_and_says_so() -> None:
    found = answer("보험금 한도", passage("보험금 한도 " + "그리고 또 " * 400))
    assert len(found) < MAXIMUM_CHARACTERS + 20
    assert found.endswith(" …” [1]\n\n")


PIECES = st.sampled_from(
    (
        "① 보험금의 한도는 1인당 1억원으로 한다.",
        "다만, 조사 중이면 그러하지 아니하다.",
        "1. 보험금 한도의 계산",
        "  가. 원금과 이자",
        "보험금 | 한도",
        "예금: 1억원",
        "- 이의신청은 30일 이내 <개정 2024.1.1>",
        "제32조(보험금의 한도)",
        "\n",
        "공사는 보험금을 지급한다[3]. 이 경우 서면으로 한다.",
        "Q. 한도는?",
        "A. 1억원입니다.",
    )
)
PASSAGES = st.lists(st.lists(PIECES, min_size=1, max_size=12).map("\n".join), min_size=1, max_size=5)


@settings(deadline=None)
@given(PASSAGES)
def test_every_quoted_line_stands_word_for_word_in_the_passage_it_cites(texts: list[str]) -> None:
    passages = [passage(text, number) for number, text in enumerate(texts, start=1)]
    blocks = ENGINE.quotations(request("보험금 한도 얼마", *passages))
    assert len(blocks) <= MAXIMUM_SOURCES
    for block in blocks:
        quoted = re.fullmatch(r"“(.*)” \[(\d)\]\n\n", block, re.DOTALL)
        assert quoted is not None
        source = squeezed(re.sub(r"\[\d\]", "", texts[int(quoted[2]) - 1]))
        assert all(squeezed(part) in source for part in re.split(r"…|\n", quoted[1]))


def test_with_the_real_analysis_everyday_words_find_the_wording_of_the_law(analysers: Analysers) -> None:
    engine = ExtractiveEngine(analysers.lexical.question_words)
    law = passage("② 보험금의 지급한도는 1인당 1억원으로 한다.", number=2)
    (found,) = engine.quotations(request("예금자보호 한도가 1인당 얼마까지예요?", passage("총리는 공고한다."), law))
    assert found == "“② 보험금의 지급한도는 1인당 1억원으로 한다.” [2]\n\n"
    assert engine.quotations(request("강남 지점 주차장은 몇 시까지 하나요?", law)) == ()
