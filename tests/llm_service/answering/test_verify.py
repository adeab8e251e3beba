"""A sentence is believed only if what it cites bears it out: its quantities, its polarity, its words."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.altered_answers import altered_answers
from llm_service.answering.verify import SentenceVerdict, Verifier
from llm_service.retrieval.candidate import Candidate
from tests.llm_service.passages import passage

ALTERED_ANSWERS = Path(__file__).parents[2] / "data" / "altered_answers.jsonl"
NUMBERS = frozenset(("digit", "unit", "article", "date", "phone"))

LIMIT = passage("② 보험금의 지급한도는 1억원으로 하며, 청구한 날부터 10일 이내에 지급하여야 한다.")
EXEMPTION = passage(
    "① 금융회사는 100만원 이하의 송금에 대하여 실명을 확인하지 아니할 수 있다.\n② 그 밖에는 3천만원까지 확인한다.",
    number=2,
    article="제3조",
)


def verdict(sentence: str, *cited: Candidate, question: str = "") -> SentenceVerdict:
    (found,) = Verifier().check(f"{sentence} [1]", cited, question)
    return found


@pytest.mark.parametrize(
    "sentence",
    [
        "② 보험금의 지급한도는 1억원으로 하며, 청구한 날부터 10일 이내에 지급하여야 한다.",
        "보험금의 지급한도는 100,000,000원입니다.",
        "청구한 날부터 열흘 이내에 보험금을 지급해야 합니다.",
        "제32조 제2항에 따라 보험금의 지급한도는 1억 원으로 합니다.",
        "2026년 1월 2일부터 시행된 보험금의 지급한도는 1억원으로 합니다.",
    ],
)
def test_what_the_source_says_in_other_spelling_passes(sentence: str) -> None:
    assert verdict(sentence, LIMIT).passed


@pytest.mark.parametrize(
    ("sentence", "failure", "kind"),
    [
        ("보험금의 지급한도는 5천만원으로 한다.", "quantity_not_in_source", "amount"),
        ("청구한 날부터 10영업일 이내에 지급하여야 한다.", "quantity_not_in_source", "period"),
        ("제33조에 따라 보험금의 지급한도는 1억원으로 한다.", "quantity_not_in_source", "article"),
        ("「은행법」에 따라 보험금의 지급한도는 1억원으로 한다.", "quantity_not_in_source", "name"),
        ("보험금의 지급한도는 1억원으로 하며 문의는 1588-0000입니다.", "quantity_not_in_source", "phone"),
    ],
)
def test_a_quantity_that_stands_in_no_source_fails_and_its_kind_is_named(
    sentence: str, failure: str, kind: str
) -> None:
    found = verdict(sentence, LIMIT)
    assert not found.passed
    assert failure in found.failures
    assert kind in found.unsupported


def test_the_right_amount_of_another_paragraph_is_wrong_here() -> None:
    found = verdict("금융회사는 3천만원 이하의 송금에 대하여 실명을 확인하지 아니할 수 있다.", EXEMPTION)
    assert "quantity_not_in_source" in found.failures


def test_a_bound_turned_round_fails() -> None:
    found = verdict("금융회사는 100만원 이상의 송금에 대하여 실명을 확인하지 아니할 수 있다.", EXEMPTION)
    assert found.failures == ("bound_not_in_source",)


@pytest.mark.parametrize("ending", ["확인하여야 한다.", "확인할 수 있다.", "확인한다."])
def test_a_polarity_turned_round_fails(ending: str) -> None:
    found = verdict(f"금융회사는 100만원 이하의 송금에 대하여 실명을 {ending}", EXEMPTION)
    assert "polarity_not_in_source" in found.failures


def test_a_number_cut_out_of_a_longer_one_is_not_word_for_word() -> None:
    assert not verdict("0만원 이하의 송금에 대하여 실명을 확인하지 아니할 수 있다.", EXEMPTION).passed


def test_a_sentence_that_follows_another_is_found_word_for_word() -> None:
    found = verdict("10일 이내에 지급한다.", passage("한도는 1억원이다. 10일 이내에 지급한다."))
    assert (found.passed, found.entailment) == (True, 1.0)


def test_what_the_question_says_may_be_repeated() -> None:
    sentence = "70만원 송금도 100만원 이하의 송금에 대하여 실명을 확인하지 아니할 수 있다."
    assert "quantity_not_in_source" in verdict(sentence, EXEMPTION).failures
    assert "quantity_not_in_source" not in verdict(sentence, EXEMPTION, question="70만원 보내도 되나요").failures


def test_a_sentence_without_a_source_fails() -> None:
    (found,) = Verifier().check("보험금은 지급됩니다.", (), "")
    assert found.failures == ("uncited",)


def test_a_sentence_that_the_source_does_not_carry_fails() -> None:
    assert verdict("주말에는 영업점 주차장을 무료로 개방합니다.", LIMIT).failures == ("not_carried",)


def test_an_english_sentence_on_a_korean_source_is_judged_by_its_quantities() -> None:
    assert verdict("The limit is 100 million won.", LIMIT).passed
    assert not verdict("The limit is 200 million won.", LIMIT).passed


def test_every_sentence_of_a_segment_has_its_own_verdict() -> None:
    found = Verifier().check("“보험금의 지급한도는 1억원으로 합니다. 지급한도는 7억원입니다.” [1]", (LIMIT,), "")
    assert [verdict.passed for verdict in found] == [True, False]
    assert found[0].cited == (1,)


def test_another_judge_of_entailment_fits_the_slot() -> None:
    class Never:
        def score(self, sentence: str, passages: Sequence[Candidate]) -> float:
            return 0.0

    (found,) = Verifier(Never()).check("보험금의 지급한도는 100,000,000원입니다. [1]", (LIMIT,), "")
    assert found.failures == ("not_carried",)


def test_a_table_cell_may_have_its_unit_in_the_head_of_the_column() -> None:
    table = passage("가입 기간 | 금리(단위: %)\n정기예금 12개월 | 3.1\n정기예금 24개월 | 3.3", article=None)
    assert verdict("정기예금 12개월 금리는 3.1%입니다.", table).passed
    assert not verdict("정기예금 12개월 금리는 3.4%입니다.", table).passed


def test_at_least_97_of_100_altered_numbers_are_stopped() -> None:
    outcomes = [stopped for kind, stopped in _outcomes() if kind in NUMBERS]
    assert len(outcomes) >= 150
    assert sum(outcomes) >= 0.97 * len(outcomes)


def test_at_least_97_of_100_alterations_of_any_kind_are_stopped() -> None:
    outcomes = [stopped for kind, stopped in _outcomes() if kind != "none"]
    assert len(outcomes) >= 200
    assert sum(outcomes) >= 0.97 * len(outcomes)


def test_at_most_3_of_100_unaltered_sentences_are_stopped() -> None:
    outcomes = [stopped for kind, stopped in _outcomes() if kind == "none"]
    assert len(outcomes) >= 200
    assert sum(outcomes) <= 0.03 * len(outcomes)


def _outcomes() -> list[tuple[str, bool]]:
    passages, cases = altered_answers(ALTERED_ANSWERS)
    verifier = Verifier()
    return [
        (case.kind, not all(v.passed for v in verifier.check(f"{case.sentence} [1]", [passages[case.passage]], "")))
        for case in cases
    ]
