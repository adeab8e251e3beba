"""Editions from upload to answer: which one answers, what it changed, and whether approved answers still stand."""

import os
from datetime import date
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.client import ConversationKey, Route, ServiceError, TurnView
from llm_service.store import documents
from llm_service.store.models import AuditEvent, Feedback, Turn

STATUTES = Path(os.environ.get("STATUTES", Path(__file__).parents[3] / "shared" / "data" / "statutes"))
needs_statutes = pytest.mark.skipif(not STATUTES.is_dir(), reason="the statutes are not on this machine")
TODAY = date(2026, 11, 21)
ROUTE = Route("ask_knowledge", 0.97, "rasa")
LIMIT = "보험금의 지급한도는 얼마인가요?"
REPEALED = "이용자가 정산대상금액을 우선하여 지급받을 권리가 있나요?"
RULES = """# 여신 업무 규정

## 제1조(한도)
신용대출의 한도는 {limit}으로 한다.

## 제2조(수수료)
중도상환수수료율은 {rate}로 한다.

## 제3조(서류)
재직증명서와 소득증빙을 받는다.
"""


@pytest.fixture(autouse=True)
def on_a_fixed_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """The editions on the table are of certain days; the tests must say the same on every other day."""
    monkeypatch.setattr("llm_service.wiring.today_in_korea", lambda: TODAY)


@needs_statutes
async def test_the_same_question_is_answered_from_the_edition_of_its_day(service) -> None:
    await _upload_statutes(service, "revisions/예금자보호법", "current/예금자보호법")
    answers = {
        "지금": await _ask(service, LIMIT),
        "전": await _ask(service, f"2025년 8월 31일 기준 {LIMIT}"),
        "첫날": await _ask(service, f"2025년 9월 1일 기준 {LIMIT}"),
        "해": await _ask(service, "2024년에는 보험금의 지급한도가 얼마였나요?"),
        "개정 전": await _ask(service, "개정 전에는 보험금의 지급한도가 얼마였나요?"),
        "stated": await _ask(service, LIMIT, as_of=date(2025, 8, 31)),
        "both": await _ask(service, f"2024년 기준 {LIMIT}", as_of=date(2025, 9, 1)),
    }
    assert {name for name, view in answers.items() if "1억원" in view.answer} == {"지금", "첫날", "both"}
    assert {name for name, view in answers.items() if "5천만원" in view.answer} == {"전", "해", "개정 전", "stated"}
    assert answers["해"].answer.endswith("2024-12-31 현재 시행 기준. 오늘(2026-11-21) 시행 중인 판은 이와 다릅니다.")
    assert answers["첫날"].answer.endswith("2025-09-01 현재 시행 기준")
    assert answers["개정 전"].answer.splitlines()[-1].startswith("2025-08-31 현재 시행 기준.")


@needs_statutes
async def test_a_follow_up_asks_the_question_before_about_another_year(service) -> None:
    await _upload_statutes(service, "revisions/예금자보호법", "current/예금자보호법")
    assert "1억원" in (await _ask(service, LIMIT, thread="t")).answer
    assert "5천만원" in (await _ask(service, "그럼 2024년에는?", thread="t")).answer


@needs_statutes
async def test_a_law_whose_newest_edition_is_yet_to_come_does_not_vanish(service) -> None:
    await _upload_statutes(service, "current/전자금융거래법", "revisions/전자금융거래법")
    question = "전자금융거래법에서 접근매체의 위조로 생긴 손해는 누가 책임지나요?"
    today = await _ask(service, question)
    coming = await _ask(service, f"2027년에는 {question}")
    assert _days_of_law(today) == {"2024-09-15"}
    assert _days_of_law(coming) == {"2026-12-17"}


@needs_statutes
async def test_the_clauses_that_a_revision_changed_are_listed_word_by_word(service) -> None:
    await _upload_statutes(service, "revisions/예금자보호법")
    newest = await _document(service, in_force_from="2025-09-01")
    found = await service.client.document_changes(newest)
    assert found.previous_in_force_from == "2025-01-31"
    changed = {(clause.place, clause.mark): clause for clause in found.clauses}
    limit = changed["제18조", "⑦"]
    assert limit.kind == "changed"
    words = [(word.kind, word.text.partition("(")[0]) for word in limit.words if word.kind != "same"]
    assert words == [("removed", "5천만원"), ("added", "1억원")]
    assert "<개정" not in limit.after


@needs_statutes
async def test_new_articles_are_listed_as_added(service) -> None:
    await _upload_statutes(service, "revisions/전자금융거래법")
    found = await service.client.document_changes(await _document(service, in_force_from="2026-12-17"))
    added = {clause.place for clause in found.clauses if clause.kind == "added" and not clause.mark}
    assert {"제25조의4", "제25조의5", "제33조의3", "제36조의3", "제42조의2"} <= added
    assert all(not clause.before for clause in found.clauses if clause.kind == "added")


async def test_a_first_edition_changed_nothing_and_an_unknown_document_is_not_found(service) -> None:
    document = await _upload(service, "1억원", "연 1.2%")
    found = await service.client.document_changes(document)
    assert (found.previous_id, found.clauses) == (None, [])
    for call in (service.client.document_changes, service.client.retest_document):
        with pytest.raises(ServiceError) as refused:
            await call(4711)
        assert (refused.value.status, refused.value.code) == (404, "document_not_found")


async def test_new_content_under_a_path_is_a_new_edition_and_old_turns_keep_their_sources(service) -> None:
    await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    before = await _ask(service, "신용대출의 한도는 얼마인가요?")
    await _upload(service, "2억원", "연 1.2%", date(2026, 6, 1))
    after = await _ask(service, "신용대출의 한도는 얼마인가요?")
    assert "1억원" in before.answer
    assert "2억원" in after.answer
    assert "1억원" in (await _ask(service, "2025년에는 신용대출의 한도가 얼마였나요?")).answer
    again = await service.client.turn(before.turn_id, before.conversation_id)
    assert (again.answer, again.sources) == (before.answer, before.sources)


async def test_of_two_editions_of_one_day_the_later_one_answers_and_is_compared_with_the_earlier(service) -> None:
    first = await _upload(service, "1억원", "연 1.2%")
    before = await _ask(service, "신용대출의 한도는 얼마인가요?")
    second = await _upload(service, "2억원", "연 1.2%")
    assert "2억원" in (await _ask(service, "신용대출의 한도는 얼마인가요?")).answer
    found = await service.client.document_changes(second)
    assert (found.previous_id, [clause.place for clause in found.clauses]) == (first, ["제1조"])
    again = await service.client.turn(before.turn_id, before.conversation_id)
    assert [source.text for source in again.sources] == [source.text for source in before.sources]


async def test_a_document_without_a_day_answers_about_the_past_and_says_so(service) -> None:
    await _upload(service, "1억원", "연 1.2%")
    view = await _ask(service, "2019년에는 신용대출의 한도가 얼마였나요?")
    assert "1억원" in view.answer
    assert view.answer.splitlines()[-1] == (
        "2026-11-21 현재 시행 기준. "
        "문서에 시행일이 적혀 있지 않아 2019-12-31 당시에도 같은 내용이었는지는 확인되지 않습니다."
    )


async def test_a_document_with_a_day_does_not_answer_about_the_time_before_it(service) -> None:
    await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    view = await _ask(service, "2019년에는 신용대출의 한도가 얼마였나요?")
    assert view.refused
    assert "1억원" not in view.answer
    assert view.answer.endswith("2019-12-31 현재 시행 기준")


async def test_approved_answers_are_asked_again_under_a_new_edition(service) -> None:
    await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    limit = await _ask(service, "신용대출의 한도는 얼마인가요?")
    fee = await _ask(service, "중도상환수수료율은 얼마인가요?")
    papers = await _ask(service, "재직증명서와 소득증빙을 받나요?")
    past = await _ask(service, "2025년에는 신용대출의 한도가 얼마였나요?")
    unapproved = await _ask(service, "신용대출 한도를 알려 주세요")
    for view in (limit, fee, papers, past):
        _approve(service, view.turn_id)
    _approve(service, unapproved.turn_id, state="pending")
    newest = await _upload(service, "2억원", "연 1.2%", date(2026, 6, 1))
    report = await service.client.retest_document(newest)
    assert report.as_of == "2026-06-01"
    assert [(answer.turn_id, answer.state, answer.clauses) for answer in report.answers] == [
        (limit.turn_id, "changed", ["제1조"])
    ]
    assert report.answers[0].failures == ["quantity_not_in_source"]
    assert "1억원" in report.answers[0].approved_answer
    assert "2억원" in report.answers[0].new_answer
    assert report.counts == {"still_right": 0, "changed": 1, "gone": 0}


async def test_an_answer_whose_words_still_stand_is_still_right_and_a_repealed_one_is_gone(service) -> None:
    text = RULES.format(limit="1억원", rate="연 1.2%")
    await _upload_text(service, text, date(2024, 1, 1))
    fee = await _ask(service, "중도상환수수료율은 얼마인가요?")
    limit = await _ask(service, "신용대출의 한도는 얼마인가요?")
    for view in (fee, limit):
        _approve(service, view.turn_id)
    amended = text.replace("연 1.2%로 한다.", "연 1.2%로 한다. 다만, 만기 한 달 전부터는 받지 아니한다.")
    amended = amended.replace("## 제1조(한도)\n신용대출의 한도는 1억원으로 한다.\n", "")
    report = await service.client.retest_document(await _upload_text(service, amended, date(2026, 6, 1)))
    assert {answer.turn_id: answer.state for answer in report.answers} == {
        fee.turn_id: "still_right",
        limit.turn_id: "gone",
    }


async def test_an_edition_of_the_past_that_arrives_late_unsettles_no_answer(service) -> None:
    await _upload(service, "5천만원", "연 1.2%", date(2020, 1, 1))
    await _upload(service, "2억원", "연 1.2%", date(2026, 6, 1))
    view = await _ask(service, "신용대출의 한도는 얼마인가요?")
    _approve(service, view.turn_id)
    late = await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    assert [clause.place for clause in (await service.client.document_changes(late)).clauses] == ["제1조"]
    assert (await service.client.retest_document(late)).answers == []


async def test_an_answer_whose_document_was_deleted_is_asked_again(service) -> None:
    await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    view = await _ask(service, "신용대출의 한도는 얼마인가요?")
    _approve(service, view.turn_id)
    with Session(service.database) as session, session.begin():
        documents.delete_path(session, "규정/여신.md")
    await _upload(service, "1억원", "연 1.2%", date(2026, 6, 1))
    report = await service.client.retest_document(await _upload(service, "2억원", "연 1.2%", date(2026, 7, 1)))
    assert [(answer.turn_id, answer.state) for answer in report.answers] == [(view.turn_id, "changed")]


async def test_an_approved_correction_stands_for_the_answer(service) -> None:
    await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    view = await _ask(service, "신용대출의 한도는 얼마인가요?")
    _approve(service, view.turn_id, verdict="down", correction="신용대출의 한도는 2억원으로 한다.")
    newest = await _upload(service, "2억원", "연 1.2%", date(2026, 6, 1))
    report = await service.client.retest_document(newest)
    assert [(answer.state, answer.approved_answer) for answer in report.answers] == [
        ("still_right", "신용대출의 한도는 2억원으로 한다.")
    ]


async def test_taking_in_a_new_edition_retests_on_its_own_and_leaves_an_audit_row_of_counts(service) -> None:
    await _upload(service, "1억원", "연 1.2%", date(2024, 1, 1))
    view = await _ask(service, "신용대출의 한도는 얼마인가요?")
    _approve(service, view.turn_id)
    newest = await _upload(service, "2억원", "연 1.2%", date(2026, 6, 1))
    await service.parts.revisions.close(30)
    rows = _audit(service, "document.retested")
    assert [(row.subject_id, row.details) for row in rows] == [
        (str(newest), {"still_right": 0, "changed": 1, "gone": 0})
    ]


def _days_of_law(view: TurnView) -> set[str | None]:
    return {source.in_force_from for source in view.sources if "/법률" in source.document}


async def _upload_statutes(service, *folders: str) -> None:
    for folder in folders:
        for file in sorted((STATUTES / folder).glob("*.md")):
            report = await service.client.upload_document(
                f"{folder}/{file.name}", file.read_bytes(), ["staff", "customer"]
            )
            assert report.state in ("ready", "unchanged")


async def _upload(service, limit: str, rate: str, since: date | None = None) -> int:
    return await _upload_text(service, RULES.format(limit=limit, rate=rate), since)


async def _upload_text(service, text: str, since: date | None) -> int:
    report = await service.client.upload_document("규정/여신.md", text.encode(), ["customer"], in_force_from=since)
    assert report.state == "ready"
    assert report.document_id is not None
    return int(report.document_id)


async def _document(service, in_force_from: str) -> int:
    held = await service.client.documents()
    return next(
        entry["document_id"] for entry in held if entry["in_force_from"] == in_force_from and entry["state"] == "ready"
    )


async def _ask(service, question: str, thread: str = "", as_of: date | None = None) -> TurnView:
    key = ConversationKey(channel="web", thread=thread or uuid4().hex, user="user-1", audience="customer")
    accepted = await service.client.create_turn(uuid4().hex, key, question)
    await service.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE, as_of)
    async for _ in service.client.events(accepted.turn_id, accepted.conversation_id):
        pass
    return await service.client.turn(accepted.turn_id, accepted.conversation_id)


def _approve(
    service, turn_id: str, state: str = "approved", verdict: str = "up", correction: str | None = None
) -> None:
    """What the review page will do: a verdict that a reviewer has approved."""
    with Session(service.database) as session, session.begin():
        turn = session.get_one(Turn, turn_id)
        # The tests' day is not the machine's: the turn was asked on the tests' day.
        turn.created_at = turn.created_at.replace(year=TODAY.year, month=TODAY.month, day=TODAY.day, hour=3)
        session.add(Feedback(turn_id=turn_id, event_id="e", verdict=verdict, state=state, correction=correction))


def _audit(service, action: str) -> list[AuditEvent]:
    with Session(service.database) as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.action == action)))
