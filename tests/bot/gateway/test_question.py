"""What is let in as a question, as a table: text → the code it is declined with, or none."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.gateway.errors import Declined
from bot.gateway.question import COMMAND, MARKUP, STATEMENT, check_question

MAXIMUM_CHARACTERS = 4000
# A rule that goes back over a text holds it up for minutes; half a second is what a busy machine may take without that.
LONGEST_SEARCH_SECONDS = 0.5

DECLINED = [
    ("", "text_empty"),
    (" \n\t ", "text_empty"),
    ("가" * 4001, "text_too_long"),
    ("가" * 20_000, "text_too_long"),
    ("😀🎉👍🏽", "text_without_words"),
    ("?!…", "text_without_words"),
    ("\u200b\u200d", "text_without_words"),
    ("예금\x00금리", "text_unreadable"),
    ("\x7fELF\x02\x01", "text_unreadable"),
    ("\ufffd\ufffd금리", "text_unreadable"),
    ("\ud83d금리", "text_unreadable"),
    ("/restart", "text_is_command"),
    ('  /intent{"loan_amount": "1억"}', "text_is_command"),
    ("/loan_calculator", "text_is_command"),
    ("<script>alert(1)</script>", "text_is_markup"),
    ("금리 <img src=x onerror=alert(1)>", "text_is_markup"),
    ("<!-- --> 금리", "text_is_markup"),
    ("<A HREF='javascript:x'>금리</A>", "text_is_markup"),
    ("'; DROP TABLE turns; --", "text_is_statement"),
    ("1' OR '1'='1", "text_is_statement"),
    ("x UNION ALL SELECT password FROM users", "text_is_statement"),
    ("select * from accounts where 1=1", "text_is_statement"),
    ("select name, number\n  from accounts;", "text_is_statement"),
    ("SELECT a.b FROM c; select *from accounts --", "text_is_statement"),
    ("DELETE FROM feedback;", "text_is_statement"),
    ("insert into turns values (1)", "text_is_statement"),
    ("update accounts set balance = 0", "text_is_statement"),
]

LET_IN = [
    "고객 가족이 와서 거래내역을 달라는데 줘도 되나요?",
    "금리 < 3% 이고 기간 > 1년인 예금은?",
    "금융실명법 제4조/제4조의2 차이는?",
    "1/2만 상환해도 되나요?",
    "수수료 0원 👍 인가요?",
    "제 번호는 <KR_PHONE_1>인데 문자가 안 와요",
    "Which card should I select from the list?",
    "Please update my address and set an alert",
    "I want to drop the table insurance rider",
    "외화통장으로 union pay 되나요",
    "첫째 줄\n둘째 줄\t탭",
    "가" * 4000,
    "9",
]


@pytest.mark.parametrize(("text", "code"), DECLINED)
def test_what_is_no_question_is_declined_with_its_code(text: str, code: str) -> None:
    with pytest.raises(Declined) as declined:
        check_question(text, MAXIMUM_CHARACTERS)
    assert declined.value.code == code
    assert declined.value.status == (413 if code == "text_too_long" else 422)


@pytest.mark.parametrize("text", LET_IN)
def test_a_question_is_let_in(text: str) -> None:
    check_question(text, MAXIMUM_CHARACTERS)


REPEATED = [
    *(" ", "\n", "'", "' ", "/", "<", "<a", "<a ", "</a ", "<!-", "a,", "1 ", "1' "),
    *("select ", "select * ", "select from ", "select a from ", "drop table ", "union ", "union all "),
    *("insert into a ", "delete from a ", "update a ", "update a set a ", "' or ", "' or 1 "),
]
BEGUN = [
    "",
    "select",
    "select a from",
    "select a from a",
    "union",
    "union all",
    "' or",
    "delete from a",
    "update a set a",
]


@pytest.mark.parametrize("pattern", [COMMAND, MARKUP, STATEMENT], ids=["command", "markup", "statement"])
@pytest.mark.parametrize("repeated", REPEATED)
def test_no_text_holds_a_rule_up(pattern: re.Pattern[str], repeated: str) -> None:
    for begun in BEGUN:
        text = (begun + repeated * MAXIMUM_CHARACTERS)[: MAXIMUM_CHARACTERS - 1] + "!"
        started = time.process_time()
        pattern.search(text)
        assert time.process_time() - started < LONGEST_SEARCH_SECONDS, begun


@given(st.text(max_size=300))
def test_any_text_is_either_let_in_or_declined_without_being_quoted(text: str) -> None:
    try:
        check_question(text, MAXIMUM_CHARACTERS)
    except Declined as error:
        declined = error
    else:
        return
    assert str(declined) == f"{declined.code} ({declined.status})"
