"""Korean text becomes the terms a question can be found by."""

import random
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.masked import MaskedText
from llm_service.retrieval.lexical import (
    Lexical,
    PackedTerms,
    PassageTerms,
    articles_of,
    normalised_numbers,
    pack_terms,
    term_id,
    unpack_terms,
    won,
)
from llm_service.retrieval.vocabulary import Synonym, Vocabulary

TERM_IDS = st.integers(0, 2**32 - 1)
COUNTS = st.dictionaries(TERM_IDS, st.integers(1, 1000).map(float), max_size=40)


def ids(terms: Iterable[str]) -> set[int]:
    return set(map(term_id, terms))


@pytest.fixture(scope="module")
def small() -> Lexical:
    """An analyser with a vocabulary of its own, so that these tests do not move with the edited files."""
    return Lexical(
        Vocabulary(
            terms={"주택담보대출": ("주택", "담보", "대출"), "특금법": ("특금법",)},
            synonyms=(
                Synonym(("빚",), ("채무",)),
                Synonym(("특금법",), ("특정 금융거래정보의 보고",)),
                Synonym(("금리 낮추다",), ("금리 인하",)),
            ),
            question_words=frozenset({"얼마"}),
            follow_up_words=frozenset({"그럼"}),
            terms_version="test",
        )
    )


@pytest.mark.parametrize(
    ("written", "amount"),
    [
        ("1,000만", 10_000_000),
        ("7천만", 70_000_000),
        ("2억5천만", 250_000_000),
        ("1조2천억", 1_200_000_000_000),
        ("3천5백", 3_500),
        ("70,000,000", 70_000_000),
    ],
)
def test_an_amount_is_read_as_a_number(written: str, amount: int) -> None:
    assert won(written) == amount


@pytest.mark.parametrize(
    ("text", "articles"),
    [
        ("제4조의2", ["제4조의2"]),
        ("제 12 조 의 3 제1항", ["제12조의3"]),
        ("30조의2가 뭐예요", ["제30조의2"]),
        ("제3조의 2년", ["제3조"]),
        ("3조원과 5조 원", []),
        ("제5조와 제6조", ["제5조", "제6조"]),
    ],
)
def test_articles_are_named_one_way(text: str, articles: list[str]) -> None:
    assert list(articles_of(text)) == articles


@pytest.mark.parametrize("text", ["5천만원", "5,000만 원", "50,000,000원"])
def test_the_same_amount_is_the_same_term_however_it_is_written(text: str) -> None:
    assert list(normalised_numbers(text)) == ["50000000원"]


@pytest.mark.parametrize("text", ["연 3.50%", "연 3.5 퍼센트", "3.5프로"])
def test_the_same_rate_is_the_same_term_however_it_is_written(text: str) -> None:
    assert list(normalised_numbers(text)) == ["3.5%"]


def test_a_compound_term_is_found_by_itself_and_by_its_parts(small: Lexical) -> None:
    terms = next(small.passages_terms([("", "주택담보대출을 갚는다")]))
    assert ids(["주택담보대출", "주택", "담보", "대출", "주택_담보", "담보_대출"]) <= set(terms.kiwi)


def test_particles_and_endings_do_not_matter(small: Lexical) -> None:
    passage = next(small.passages_terms([("", "은행은 예금을 지급하여야 한다")]))
    question = small.question_terms(MaskedText("은행이 예금 지급하나요"))
    assert ids(["은행", "예금", "지급"]) <= set(passage.kiwi) & set(question.kiwi)


def test_header_and_text_are_both_searched_and_told_apart(small: Lexical) -> None:
    terms = next(small.passages_terms([("은행법 제1조(목적)", "건전한 운영")]))
    assert ids(["목적", "제1조", "운영"]) <= set(terms.kiwi)
    assert term_id("목적") in terms.sequence[: terms.header_length]
    assert term_id("운영") in terms.sequence[terms.header_length :]


def test_passages_keep_their_order_and_none_is_lost(small: Lexical) -> None:
    texts = [f"은행 {number}호" for number in range(50)]
    found = list(small.passages_terms(("", text) for text in texts))
    assert [term_id(str(number)) in terms.kiwi for number, terms in enumerate(found)] == [True] * 50


@pytest.mark.parametrize(
    "text",
    ["", "   ", "😀🎉", "\x00", "ㅋㅋㅋㅋ", "가" * 20_000, "1" * 5_000 + "원", "1" * 5_000 + "조", "1" * 5_000 + "%"],
)
def test_any_text_can_be_analysed(small: Lexical, text: str) -> None:
    small.question_terms(MaskedText(text))
    assert len(list(small.passages_terms([("", text)]))) == 1


def test_placeholders_are_not_searched_for(small: Lexical) -> None:
    with_placeholder = small.question_terms(MaskedText("<KR_ACCOUNT_1> 예금 지급"))
    assert with_placeholder.kiwi == small.question_terms(MaskedText("예금 지급")).kiwi


def test_a_lay_word_also_asks_for_the_legal_term_at_less_weight(small: Lexical) -> None:
    terms = small.question_terms(MaskedText("빚을 못 갚으면"))
    assert 0 < terms.kiwi[term_id("채무")] < terms.kiwi[term_id("빚")] == 1.0


def test_a_phrase_of_synonyms_is_found_in_any_inflection(small: Lexical) -> None:
    terms = small.question_terms(MaskedText("금리 좀 낮춰 달라고 해도 되나요"))
    assert term_id("인하") in terms.kiwi


@pytest.mark.parametrize("text", ["특금법상 보고", "특 금 법 보고", "특금법"])
def test_an_abbreviation_is_found_whatever_follows_it_and_however_it_is_spaced(small: Lexical, text: str) -> None:
    assert ids(["금융", "거래", "정보"]) <= set(small.question_terms(MaskedText(text)).kiwi)


def test_words_that_only_ask_weigh_little_where_passages_are_judged(small: Lexical) -> None:
    weights = {unit.term: unit.weight for unit in small.question_terms(MaskedText("한도가 얼마")).units}
    assert weights[term_id("얼마")] < weights[term_id("한도")]


def test_misspelt_words_are_mended_on_request(small: Lexical) -> None:
    assert term_id("면제") in small.question_terms(MaskedText("수수료 면재"), mend_typos=True).kiwi


def test_a_follow_up_keeps_its_own_weight_and_recalls_the_last_question_at_less(small: Lexical) -> None:
    previous = small.question_terms(MaskedText("청약 철회 되나요"))
    followed = small.question_terms(MaskedText("그럼 기한은?")).after(previous)
    assert followed.is_incomplete
    assert 0 < followed.kiwi[term_id("철회")] < followed.kiwi[term_id("기한")]


def test_a_whole_question_needs_no_history(small: Lexical) -> None:
    assert not small.question_terms(MaskedText("대출 계약 철회 기간과 수수료 면제")).is_incomplete


def test_the_version_changes_with_the_terms() -> None:
    def version(terms_version: str) -> str:
        return Lexical(Vocabulary({}, (), frozenset(), frozenset(), terms_version)).version

    assert version("a") != version("b")


@given(
    kiwi=COUNTS,
    char=COUNTS,
    sequence=st.lists(TERM_IDS, max_size=40).map(tuple),
    header_length=st.integers(0, 9),
    analyser=TERM_IDS,
)
def test_packed_terms_come_back_as_they_were(
    kiwi: dict[int, float], char: dict[int, float], sequence: tuple[int, ...], header_length: int, analyser: int
) -> None:
    terms = PassageTerms(kiwi, char, sequence, header_length, analyser)
    assert unpack_terms(pack_terms(terms)) == terms


@given(st.binary(max_size=200))
def test_bytes_that_were_not_packed_are_refused(blob: bytes) -> None:
    if blob[:4] == struct.pack("<I", 1):
        blob = b"\x00" + blob
    with pytest.raises(ValueError, match="packed terms"):
        PackedTerms(blob)


def test_cut_off_packed_terms_are_refused() -> None:
    blob = pack_terms(PassageTerms({1: 1.0}, {2: 1.0}, (1,)))
    with pytest.raises(ValueError, match="packed terms"):
        PackedTerms(blob[:-1])


@given(
    texts=st.lists(st.text(alphabet="은행은 예금을 대출 금리3.5%제4조의2(가) \n원만주택담보", max_size=60), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_a_passage_has_the_same_terms_whatever_was_read_before(
    small: Lexical, texts: list[str], order: random.Random
) -> None:
    together = dict(zip(texts, small.passages_terms(("", text) for text in texts), strict=True))
    shuffled = order.sample(texts, len(texts))
    for text in shuffled:
        assert next(small.passages_terms([("", text)])) == together[text]


def test_readings_are_forgotten_before_they_fill_the_memory(small: Lexical, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_service.retrieval.lexical.MAXIMUM_READINGS", 10)
    before = next(small.passages_terms([("", "건전한 금융거래")]))
    list(small.passages_terms(("", f"낱말{number}번") for number in range(200)))
    assert len(small._readings._known) <= 10 + 64
    assert next(small.passages_terms([("", "건전한 금융거래")])) == before
