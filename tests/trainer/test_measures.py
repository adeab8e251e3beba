"""How answers are measured: tables of answers and the figures they must get."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from trainer.evaluation_set import Item, ItemMessage, ItemPassage
from trainer.measures import grounding, sentiment, text
from trainer.measures.intervals import mean_interval, paired_interval

KOREAN = "정기예금의 금리는 연 3.45%입니다."


def test_stock_rouge_scores_equal_korean_sentences_zero_and_ours_one() -> None:
    sentence = "약관에 따라 중도 해지할 수 있습니다."
    assert RougeScorer(["rougeL"]).score(sentence, sentence)["rougeL"].fmeasure == 0.0
    assert text.rouge_l(sentence, sentence) == 1.0


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("연 3.45%입니다.", "연 3.45%입니다", 1.0),
        ("연 3.45%입니다. [1]", "연  3.45%입니다.", 1.0),
        (unicodedata.normalize("NFD", "금리입니다."), "금리입니다.", 1.0),
        ("연 3.45%입니다.", "연 3.46%입니다.", 0.0),
        ("금리는", "금리가", 0.0),
        ("", "금리", 0.0),
    ],
)
def test_exact_match_compares_what_is_said_letter_for_letter(answer: str, reference: str, expected: float) -> None:
    assert text.exact_match(answer, reference) == expected


@pytest.mark.parametrize(
    ("answer", "reference", "low", "high"),
    [
        (KOREAN, KOREAN, 1.0, 1.0),
        ("전혀 다른 말", KOREAN, 0.0, 0.2),
        ("금리는 연 3.45%", KOREAN, 0.6, 0.95),
        ("", KOREAN, 0.0, 0.0),
    ],
)
def test_token_f1_rouge_and_chrf_agree_on_what_is_near(answer: str, reference: str, low: float, high: float) -> None:
    assert low <= text.token_f1(answer, reference) <= high
    assert low <= text.rouge_l(answer, reference) <= high
    assert 0 <= text.chrf(answer, reference) <= 1


def test_corpus_figures_are_full_for_equal_texts_and_fall_with_every_change() -> None:
    references = [KOREAN, "중도 해지하면 약정 금리의 절반을 적용합니다."]
    assert text.corpus_bleu(references, references) == pytest.approx(100)
    assert text.corpus_chrf(references, references) == pytest.approx(100)
    assert text.corpus_bleu([KOREAN, "모릅니다."], references) < 90


@given(st.text(max_size=80))
def test_every_text_is_its_own_exact_match(told: str) -> None:
    assert text.exact_match(told, told) == 1.0
    assert text.normalised(text.normalised(told)) == text.normalised(told)


@pytest.mark.parametrize(
    ("answer", "gold", "precision", "recall"),
    [
        ("연 3%입니다. [1]", (1,), 1.0, 1.0),
        ("연 3%입니다. [1, 2]", (1,), 0.5, 1.0),
        ("연 3%입니다. [2]", (1,), 0.0, 0.0),
        ("연 3%입니다.", (1,), 0.0, 0.0),
        ("가. [1] 나. [3]", (1, 2), 0.5, 0.5),
        ("문서에서 찾지 못했습니다.", (), 1.0, 1.0),
    ],
)
def test_citations_are_held_against_the_passages_that_bear_the_answer(
    answer: str, gold: tuple[int, ...], precision: float, recall: float
) -> None:
    assert grounding.citation_precision(answer, gold) == precision
    assert grounding.citation_recall(answer, gold) == recall


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("정기예금의 금리는 연 3.45%입니다. [1]", 1.0),
        ("정기예금의 금리는 연 9.99%입니다. [1]", 0.0),
        ("정기예금의 금리는 연 3.45%입니다.", 0.0),
        ("정기예금의 금리는 연 3.45%입니다. [1] 한도는 77억원입니다. [1]", 0.5),
    ],
)
def test_the_verifier_of_serving_judges_the_answers(answer: str, share: float) -> None:
    item = Item(
        id="1",
        kind="answer",
        messages=(ItemMessage(role="user", content="금리?"),),
        reference=KOREAN,
        passages=(ItemPassage(text=KOREAN),),
    )
    assert grounding.checked(answer, item.candidates, item.question).share == share


def test_words_of_the_trade_count_with_any_particle() -> None:
    assert grounding.term_use("변액보험은 적립식 펀드와 다릅니다.", ("변액보험", "적립식 펀드")) == 1.0
    assert grounding.term_use("잘 모르겠습니다.", ("변액보험",)) == 0.0


def test_a_value_that_stood_in_the_prompt_is_no_leak() -> None:
    def find(answer: str) -> list[str]:
        return [word for word in answer.split() if word.startswith("010")]

    assert grounding.leaked_values("번호는 010-1234-5678 입니다", "번호 알려줘", find) == 1
    assert grounding.leaked_values("번호는 010-1234-5678 입니다", "010-1234-5678 맞나요", find) == 0


@pytest.mark.parametrize(
    ("answer", "label"),
    [("긍정입니다.", "긍정"), ("부정적이지 않고 긍정", "부정"), ("중립", "중립"), ("모르겠습니다", ""), ("", "")],
)
def test_the_label_that_is_named_first_counts(answer: str, label: str) -> None:
    assert sentiment.named_label(answer, ("긍정", "부정", "중립")) == label


def test_classification_is_reported_as_a_whole_and_by_class() -> None:
    told = sentiment.classification(["a", "a", "b", "b"], ["a", "b", "b", ""])
    assert told["accuracy"] == 0.5
    assert told["by_class"]["a"] == {"precision": 1.0, "recall": 0.5, "f1": 0.6667, "n": 2}
    assert told["by_class"]["b"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5, "n": 2}
    assert told["f1"] == 0.5833


def test_a_difference_is_sure_when_every_item_agrees_and_unsure_when_they_do_not() -> None:
    sure = paired_interval([1.0] * 20, [0.0] * 20)
    unsure = paired_interval([1.0, 0.0] * 10, [0.0, 1.0] * 10)
    assert (sure.mean, sure.low, sure.excludes_zero) == (1.0, 1.0, True)
    assert (unsure.mean, unsure.excludes_zero) == (0.0, False)


def test_pairing_sees_a_small_gain_that_two_separate_intervals_hide() -> None:
    base = [0.1 * (number % 10) for number in range(40)]
    candidate = [score + 0.02 for score in base]
    assert paired_interval(candidate, base).excludes_zero
    assert mean_interval(candidate).low < mean_interval(base).high


def test_intervals_of_nothing_and_of_different_items_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        mean_interval([])
    with pytest.raises(ValueError, match="same items"):
        paired_interval([1.0], [1.0, 0.0])
