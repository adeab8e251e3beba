"""Which day a question is about: read from its words, never invented."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.answering.as_of import asks_before_revision, day_asked_about, without_day
from llm_service.masked import MaskedText

TODAY = date(2026, 11, 21)

DAYS = {
    "2020년에는?": "2020-12-31",
    "2020년에는 예금자보호 한도가 얼마였나요?": "2020-12-31",
    "예금자보호 한도가 2020년에는 얼마였어요?": "2020-12-31",
    "그럼 2019년에는?": "2019-12-31",
    "그럼 2019년은요?": "2019-12-31",
    "2019년 12월 기준 한도": "2019-12-31",
    "2025년 8월 기준으로 알려줘": "2025-08-31",
    "2024년 2월 현재 이자율": "2024-02-29",
    "2020-03-24 당시 과태료는?": "2020-03-24",
    "2020.3.24. 기준 과태료는?": "2020-03-24",
    "2020. 3. 24 기준 과태료는?": "2020-03-24",
    "2025년 8월 31일에는 한도가 얼마였나요?": "2025-08-31",
    "2025년 9월 1일자 기준": "2025-09-01",
    "작년에는 얼마였나요?": "2025-12-31",
    "작년 보호 한도는 얼마였나요?": "2025-12-31",
    "재작년 기준으로 보호 한도는?": "2024-12-31",
    "지난해 말 기준 한도": "2025-12-31",
    "지난달 기준 금리": "2026-10-31",
    "내년에는 한도가 바뀌나요?": "2027-12-31",
    "2027년에는 전자금융업자가 무엇을 해야 하나요?": "2027-12-31",
    "2027년부터는 어떻게 되나요?": "2027-01-01",
    "2026-12-17 이후에는 어떻게 되나요?": "2026-12-17",
    "2026-12-17 시행 전자금융거래법에서 과태료는?": "2026-12-17",
    "2025년 9월 1일 전에는 한도가 얼마였나요?": "2025-08-31",
    "2025년 9월 이전에는 얼마였나요?": "2025-08-31",
    "2025-09-01 시행 전에는 얼마였나요?": "2025-08-31",
    "2025년 상반기에는 얼마였나요?": "2025-06-30",
    "2025년 3분기 기준": "2025-09-30",
    "2025년 초에는 한도가 얼마였나요?": "2025-01-01",
    "2020년 예금자보호 한도는 얼마였나요?": "2020-12-31",
    "2020년에 보호 한도가 얼마였습니까?": "2020-12-31",
    "3년 전에는 한도가 얼마였나요?": "2023-11-21",
    "2019년에는 5천만원이었는데 2025년 말에는?": "2025-12-31",
    "What was the limit in 2020?": "2020-12-31",
    "What was the limit as of March 24, 2020?": "2020-03-24",
    "Deposit insurance limit as of 2020-03-24": "2020-03-24",
    "What was the limit in August 2025?": "2025-08-31",
    "What was the limit last year?": "2025-12-31",
    "How about 2019?": "2019-12-31",
    "What will the fine be in 2027?": "2027-12-31",
    "What was the limit before 2025-09-01?": "2025-08-31",
}
NO_DAY = [
    "예금자보호 한도는 얼마인가요?",
    "2020년에 가입한 적금의 이자는 얼마인가요?",
    "2020년 3월에 받은 대출의 수수료는 얼마였나요?",
    "작년에 예금을 해지했는데 이자가 얼마였나요?",
    "작년에 만든 계좌를 찾고 싶어요",
    "1990년 5월 3일생인데 가입할 수 있나요?",
    "1990년생은 가입할 수 있나요?",
    "<BIRTHDATE_1>에는 몇 살인가요?",
    "생일이 <BIRTHDATE_1>인데 가입되나요?",
    "「2020년 예금자보호 특례법」에는 뭐라고 되어 있나요?",
    "2024년형 청년적금 금리는?",
    "2024년도 청년도약계좌에는 이자가 붙나요?",
    "법률 제2020호는 무엇인가요?",
    "제2020조에는 뭐가 있나요?",
    "2020원에는 수수료가 붙나요?",
    "2,020년에는?",
    "010-2020-1234에는 전화가 되나요?",
    "2020-13-45 기준",
    "2025년 2월 30일 기준",
    "20년 기준 할부 이자는?",
    "해지 3개월 전에는 통지해야 하나요?",
    "만기 1년 전에는 해지할 수 있나요?",
    "약관을 변경하기 전에 며칠 전까지 알려야 하나요?",
    "2020년에는 5천만원이었는데 지금은 얼마인가요?",
    "2025-09-01 이후에는 얼마인가요?",
    "올해에는 얼마인가요?",
    "2026년에는 얼마인가요?",
    "2026년 11월 기준 한도",
    "I opened an account in 2020. What is the limit?",
    "What is the rate of the deposit opened in 2020?",
    "I was born in 1990, may I open an account?",
]
BEFORE_REVISION = [
    "개정 전에는 얼마였나요?",
    "개정 전에는?",
    "시행일 전에는 어떻게 하나요?",
    "법이 바뀌기 전에 한도가 얼마였나요?",
    "한도가 상향되기 전에는 얼마였나요?",
    "개정 전 보호 한도는?",
    "What was the limit before the amendment?",
]
NOT_BEFORE_REVISION = [
    "약관을 변경하기 전에 알려야 하나요?",
    "금리를 인상하기 전에 통지해야 하나요?",
    "해지 전에는 이자를 받나요?",
    "시행 전에 신고해야 하나요?",
    "개정된 내용이 뭔가요?",
]


@pytest.mark.parametrize(("question", "day"), DAYS.items())
def test_the_day_is_read_from_the_words_that_name_it(question: str, day: str) -> None:
    assert day_asked_about(question, TODAY) == date.fromisoformat(day)


@pytest.mark.parametrize("question", NO_DAY)
def test_a_date_that_is_not_the_day_of_asking_says_nothing(question: str) -> None:
    assert day_asked_about(question, TODAY) is None


@pytest.mark.parametrize("question", BEFORE_REVISION)
def test_what_held_before_a_revision_is_asked_without_a_date(question: str) -> None:
    assert asks_before_revision(question)
    assert day_asked_about(question, TODAY) is None


@pytest.mark.parametrize("question", [*NOT_BEFORE_REVISION, *NO_DAY])
def test_what_must_be_done_before_something_is_no_question_about_the_past(question: str) -> None:
    assert not asks_before_revision(question)


@pytest.mark.parametrize(
    ("question", "history", "asked"),
    [
        ("2020년에는 보호 한도가 얼마였나요?", (), "보호 한도가 얼마였나요?"),
        ("보호 한도는 얼마인가요?", ("이전 질문",), "보호 한도는 얼마인가요?"),
        ("그럼 2019년에는?", ("2020년에는 보호 한도가 얼마였나요?",), "보호 한도가 얼마였나요?"),
        ("2019년은요?", ("보호 한도가 얼마인가요?",), "보호 한도가 얼마인가요?"),
        ("개정 전에는?", ("보호 한도가 얼마인가요?",), "보호 한도가 얼마인가요?"),
        ("How about 2019?", ("What is the limit?",), "What is the limit?"),
        ("2019년에는?", (), "2019년에는?"),
        ("그럼 2019년에는 이자가?", ("보호 한도가 얼마인가요?",), "그럼 이자가?"),
    ],
)
def test_the_words_of_the_day_are_not_looked_for(question: str, history: tuple[str, ...], asked: str) -> None:
    earlier = tuple(map(MaskedText, history))
    assert without_day(MaskedText(question), earlier, TODAY) == asked


WORDS = st.sampled_from(
    [
        "2020년",
        "년",
        "월",
        "에는",
        "기준",
        "전",
        "작년",
        "<PERSON_1>",
        "「",
        "」",
        " ",
        "?",
        "99",
        "-",
        "얼마였나요",
        "in",
    ]
)


@given(st.one_of(st.text(), st.lists(WORDS, max_size=12).map("".join)))
def test_no_text_is_too_odd_to_read(text: str) -> None:
    day = day_asked_about(text, TODAY)
    assert day is None or 1899 <= day.year <= 2099
    assert isinstance(asks_before_revision(text), bool)
    assert without_day(MaskedText(text), (MaskedText(text),), TODAY) is not None


@given(st.text(alphabet="예금자보호한도는얼마인가요에기준당시이자율 ?.!12345678").filter(lambda text: "20" not in text))
def test_no_day_is_made_up_where_none_is_named(text: str) -> None:
    assert day_asked_about(text, TODAY) is None
