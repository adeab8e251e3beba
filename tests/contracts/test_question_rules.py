"""What counts as a question, at both doors: the gateway's for people and llm_service's own for services.

The gateway imports nothing of llm_service but its client, so each has its rules; this table holds them together.
"""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.gateway.errors import Declined
from bot.gateway.question import check_question
from llm_service.answering.text_rules import require_question
from llm_service.errors import HaechiError
from llm_service.masked import RawText

MAXIMUM_CHARACTERS = 100
TAKEN = ""
ONLY_OF_PEOPLE = {"text_is_markup", "text_is_statement"}
"""Programs are declined where people type; services search and correct with whatever a document may hold."""

AT_BOTH_DOORS = [
    ("", "text_empty"),
    (" \n\t\u3000", "text_empty"),
    ("가" * 101, "text_too_long"),
    (" " * 101, "text_too_long"),
    ("예금\x00금리", "text_unreadable"),
    ("예금\x1b금리", "text_unreadable"),
    ("예금\x85금리", "text_unreadable"),
    ("\ud83d금리", "text_unreadable"),
    ("\ufffd\ufffd금리", "text_unreadable"),
    ("?!…", "text_without_words"),
    ("👍🏽👨‍👩‍👧", "text_without_words"),
    ("3️⃣", "text_without_words"),
    ("\u200b\u2060", "text_without_words"),
    ("/restart", "text_is_command"),
    ("  / restart", "text_is_command"),
    ("\u2060/\u200drestart", "text_is_command"),
    ("／restart", "text_is_command"),
    ("/ 금리", TAKEN),
    ("1/2만 상환해도 되나요?", TAKEN),
    ("워드에서\v옮긴\f글", TAKEN),
    ("깨진 글자 하나 \ufffd 는 읽을 수 있습니다", TAKEN),
    ("새 그림 문자 \U0001fae8 도 됩니다", TAKEN),
    ("사용자 정의 글자 \ue000 도 됩니다", TAKEN),
    ("3️⃣번 상품은?", TAKEN),
    ("9", TAKEN),
    ("가" * 100, TAKEN),
]
AT_PEOPLES_DOOR = [
    ("금리 <img src=x onerror=alert(1)>", "text_is_markup"),
    ("'; DROP TABLE turns; --", "text_is_statement"),
]


@pytest.mark.parametrize(("text", "code"), AT_BOTH_DOORS)
def test_a_text_is_told_the_same_at_both_doors(text: str, code: str) -> None:
    assert (_at_peoples_door(text), _at_services_door(text)) == (code, code)


@pytest.mark.parametrize(("text", "code"), AT_PEOPLES_DOOR)
def test_programs_are_declined_where_people_type(text: str, code: str) -> None:
    assert (_at_peoples_door(text), _at_services_door(text)) == (code, TAKEN)


@given(st.text(max_size=120))
@example("\u2028/a")
@example("½")
def test_no_text_is_told_two_things(text: str) -> None:
    of_people, of_services = _at_peoples_door(text), _at_services_door(text)
    assert of_people == of_services or (of_people in ONLY_OF_PEOPLE and of_services == TAKEN)


def _at_peoples_door(text: str) -> str:
    try:
        check_question(text, MAXIMUM_CHARACTERS)
    except Declined as declined:
        return declined.code
    return TAKEN


def _at_services_door(text: str) -> str:
    try:
        require_question(RawText(text), MAXIMUM_CHARACTERS)
    except HaechiError as refused:
        return refused.code
    return TAKEN
