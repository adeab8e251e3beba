"""Which texts are taken: a table of what people type, and the code each refusal carries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.answering.text_rules import require_question, require_readable
from llm_service.errors import HaechiError
from llm_service.masked import RawText

LIMIT = 100


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("", "text_empty"),
        ("\u3000\n", "text_empty"),
        ("가" * 101, "text_too_long"),
        ("a\x00b", "text_unreadable"),
        ("a\x1bb", "text_unreadable"),
        ("a\x85b", "text_unreadable"),
        ("\ud83d 한도", "text_unreadable"),
        ("���깂", "text_unreadable"),
        ("👍🏽👨‍👩‍👧", "text_without_words"),
        ("3️⃣", "text_without_words"),
        ("...", "text_without_words"),
        ("\u200b\u200b", "text_without_words"),
        ("/restart", "text_is_command"),
        ("/ restart", "text_is_command"),
        ("/greet{}", "text_is_command"),
        ("\u2060/\u200drestart", "text_is_command"),
    ],
)
def test_what_is_no_question_is_refused_with_its_code(typed: str, code: str) -> None:
    with pytest.raises(HaechiError) as refused:
        require_question(RawText(typed), LIMIT)
    assert refused.value.code == code


@pytest.mark.parametrize(
    "typed",
    [
        "한도?",
        "ㅎㅇ",
        "1억",
        "가" * 100,
        "워드에서\v옮긴\f글",
        "금리/수수료",
        "/ 금리",
        "1/2",
        "http://127.0.0.1/restart",
        "좋아요 👍",
        "깨진 글자 하나 \ufffd 는 읽을 수 있습니다",
    ],
)
def test_what_people_ask_passes(typed: str) -> None:
    require_question(RawText(typed), LIMIT)


@given(st.text())
def test_a_refusal_never_says_what_was_typed(typed: str) -> None:
    for require in (lambda raw: require_question(raw, LIMIT), require_readable):
        try:
            require(RawText(typed))
        except HaechiError as refused:
            told = str(refused)
            assert len(typed.strip()) < 4 or typed.strip() not in told
