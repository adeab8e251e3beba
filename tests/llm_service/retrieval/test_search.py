"""The retriever finds what a person may see, as of the day asked for, and knows when it has found nothing."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Entitlement, Retrieved
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.lexical import Lexical
from llm_service.store.models import OPEN_END
from llm_service.store.session import SessionFactory
from tests.llm_service.retrieval.conftest import OpenOwner
from tests.llm_service.retrieval.rows import Part, add_document

TODAY = date(2026, 11, 21)
CUSTOMER = Entitlement("customer", TODAY)
STAFF = Entitlement("staff", TODAY)
ARTICLES: list[Part] = [
    ("은행법 제1조(목적)", "이 법은 은행의 건전한 운영을 도모하고 자금중개기능의 효율성을 높인다."),
    (
        "은행법 제30조의2(금리인하 요구)",
        "은행과 신용공여 계약을 체결한 자는 재산 증가나 신용평점 상승이 있으면 금리인하를 요구할 수 있다.",
    ),
    (
        "은행법 제35조(신용공여의 한도)",
        "은행은 동일한 개인에 대하여 자기자본의 100분의 20을 초과하는 신용공여를 할 수 없다.",
    ),
    (
        "예금자보호법 제32조(보험금의 계산)",
        "보험금의 한도는 1억원으로 한다. 예금자 1인당 예금등 채권의 합계액으로 한다.",
    ),
    ("예금자보호법 제35조(채권의 취득)", "공사는 보험금을 지급하면 예금자등의 권리를 취득한다."),
    (
        "전자금융거래법 제10조(접근매체의 분실과 도난 책임)",
        "금융회사는 접근매체의 분실이나 도난의 통지를 받은 때부터 생긴 손해를 배상한다.",
    ),
]


@pytest.fixture
def owner(open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical) -> IndexOwner:
    add_document(sessions, lexical, ARTICLES)
    return open_owner()


def ask(owner: IndexOwner, question: str, entitlement: Entitlement = CUSTOMER, k: int = 5, *history: str) -> Retrieved:
    return owner.retriever.search(MaskedText(question), entitlement, k, [MaskedText(turn) for turn in history])


def labels(found: Retrieved) -> list[str]:
    return [candidate.label for candidate in found.candidates]


@pytest.mark.parametrize(
    ("question", "article"),
    [
        ("금리 인하를 요구할 수 있나요", "제30조의2"),
        ("금리인하요구어떻게해요", "제30조의2"),
        ("금리이나 요규", "제30조의2"),
        ("예금자 보호 한도 1억원", "제32조"),
        ("100,000,000원까지 보호되나요", "제32조"),
        ("신용공여의 한도", "제35조"),
        ("접근매체를 분실하면 누구 책임인가요", "제10조"),
    ],
)
def test_the_right_article_comes_first(owner: IndexOwner, question: str, article: str) -> None:
    assert ask(owner, question).candidates[0].article == article


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("은행법 제35조", "은행법 제35조(신용공여의 한도)"),
        ("예금자보호법 35조 내용", "예금자보호법 제35조(채권의 취득)"),
        ("은행법 30조의 2 알려줘", "은행법 제30조의2(금리인하 요구)"),
    ],
)
def test_an_article_is_found_by_its_number(owner: IndexOwner, question: str, label: str) -> None:
    assert labels(ask(owner, question))[0] == label


def test_no_more_than_k_candidates_are_handed_on_best_first(owner: IndexOwner) -> None:
    found = ask(owner, "은행 예금 보험금 신용공여", k=2)
    assert len(found.candidates) == 2
    assert found.candidates[0].score >= found.candidates[1].score


def test_a_follow_up_is_read_with_the_question_before(owner: IndexOwner) -> None:
    assert ask(owner, "그럼 한도는?", CUSTOMER, 5, "신용공여가 뭐예요").candidates[0].article == "제35조"
    assert ask(owner, "그럼 한도는?", CUSTOMER, 5, "예금 보험금이 뭐예요").candidates[0].article == "제32조"


def test_a_customer_never_sees_staff_passages(owner: IndexOwner, sessions: SessionFactory, lexical: Lexical) -> None:
    add_document(
        sessions, lexical, [("직원 지침", "금리인하 요구 접수 요령과 심사 기준")] * 40, ("staff",), path="s.md"
    )
    owner.apply_changes()
    assert "직원 지침" in labels(ask(owner, "금리인하 요구 접수", STAFF))
    assert "직원 지침" not in labels(ask(owner, "금리인하 요구 접수"))


def test_staff_documents_leave_no_trace_in_what_a_customer_gets(
    owner: IndexOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    before = ask(owner, "금리인하 요구 접수")
    add_document(sessions, lexical, [("직원 지침", "금리인하 요구 접수 요령")] * 2, ("staff",), path="s.md")
    owner.apply_changes()
    after = ask(owner, "금리인하 요구 접수")
    assert after.candidates == before.candidates
    assert after.features == before.features


@pytest.mark.parametrize(("as_of", "amount"), [(date(2025, 8, 31), "5천만원"), (date(2025, 9, 1), "1억원")])
def test_the_edition_in_force_on_the_day_answers(
    open_owner: OpenOwner, sessions: SessionFactory, lexical: Lexical, as_of: date, amount: str
) -> None:
    change = date(2025, 9, 1)
    for text, in_force in (("5천만원", (date(2001, 1, 1), change)), ("1억원", (change, OPEN_END))):
        add_document(
            sessions,
            lexical,
            [("예금자보호법 시행령 제18조(한도)", f"보험금의 한도는 {text}으로 한다.")],
            in_force=in_force,
        )
    found = ask(open_owner(), "예금 보험금 한도", Entitlement("customer", as_of))
    assert [amount in candidate.text for candidate in found.candidates] == [True]


@pytest.mark.parametrize(
    "question",
    [
        "",
        " ",
        "😀",
        "?!",
        "<KR_RRN_1>",
        "안녕하세요",
        "오늘 날씨 어때",
        "김치찌개 끓이는 법",
        "ㅋㅋㅋ",
        "파이썬 코드 짜줘",
    ],
)
def test_questions_from_another_world_have_no_confidence(owner: IndexOwner, question: str) -> None:
    assert ask(owner, question).confidence < 0.5


def test_the_story_of_a_search_is_handed_on(owner: IndexOwner) -> None:
    found = ask(owner, "금리 인하를 요구할 수 있나요")
    assert set(found.timings) == {"analyse", "index", "rank", "rows"}
    assert {"score", "window", "noun_coverage", "heading"} <= set(found.features)
    assert all(milliseconds >= 0 for milliseconds in found.timings.values())


def test_a_long_question_is_answered_like_a_short_one(owner: IndexOwner) -> None:
    assert labels(ask(owner, "금리 인하를 요구할 수 있나요. " * 250))[0] == "은행법 제30조의2(금리인하 요구)"


def test_searches_from_many_threads_while_documents_arrive_agree(
    owner: IndexOwner, sessions: SessionFactory, lexical: Lexical
) -> None:
    question = "접근매체를 분실하면 누구 책임인가요"
    with ThreadPoolExecutor(4) as threads:
        searches = [threads.submit(ask, owner, question) for _ in range(40)]
        for number in range(5):
            add_document(sessions, lexical, [("안내", f"새 문서 {number}")], path=f"{number}.md")
            owner.apply_changes()
        found = [search.result() for search in searches]
    assert {labels(one)[0] for one in found} == {"전자금융거래법 제10조(접근매체의 분실과 도난 책임)"}
