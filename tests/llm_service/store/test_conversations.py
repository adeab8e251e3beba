"""Conversations and turns: who finds which, and the states a turn can move through."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from llm_service.errors import NotFound
from llm_service.masked import MaskedText
from llm_service.store import conversations, feedback
from llm_service.store.conversations import Outcome, RoutedBy, SourceRow
from llm_service.store.models import AuditEvent, Conversation, Turn, now
from llm_service.store.session import session_factory

TODAY = date(2026, 11, 21)
ROUTED = RoutedBy("ask_knowledge", 0.9, "rasa")
ANSWER = MaskedText("1억원입니다 [1]")
SOURCE = SourceRow(1, None, "「예금자보호법」 제32조", "laws/예금자보호법.md", MaskedText("1억원으로 한다."), 1.5)

MOVES: dict[str, Callable[[Session, str], object]] = {
    "claim": lambda session, turn_id: conversations.claim_for_answer(session, turn_id, ROUTED, TODAY),
    "answer": lambda session, turn_id: conversations.finish_answer(
        session, turn_id, Outcome("answered", ANSWER, "told", [SOURCE])
    ),
    "refuse": lambda session, turn_id: conversations.finish_answer(session, turn_id, Outcome("refused", ANSWER)),
    "fail": lambda session, turn_id: conversations.finish_answer(
        session, turn_id, Outcome("failed", error_code="answer_failed")
    ),
    "stop": lambda session, turn_id: conversations.finish_answer(session, turn_id, Outcome("stopped")),
    "stop early": conversations.stop_before_start,
    "reply": lambda session, turn_id: conversations.store_reply(session, turn_id, ROUTED, MaskedText("안녕하세요")),
}


@pytest.fixture
def session(database: Engine):
    with session_factory(database)() as session:
        yield session


def conversation(session: Session, thread: str = "t", user: str = "u") -> Conversation:
    return conversations.find_or_create_conversation(session, "web", thread * 64, user * 64, "customer", "ko")


def turn(session: Session, event_id: str = "event-1", question: str = "한도는?", thread: str = "t") -> Turn:
    held = conversation(session, thread)
    return conversations.add_turn(session, held, event_id, MaskedText(question), {"PHONE": 1}, {"mask": 1.0})


@pytest.mark.parametrize(
    ("moves", "state"),
    [
        (["claim"], "answering"),
        (["claim", "answer"], "answered"),
        (["claim", "refuse"], "refused"),
        (["claim", "fail"], "failed"),
        (["claim", "stop"], "stopped"),
        (["stop early"], "stopped"),
        (["reply"], "replied"),
    ],
)
def test_a_turn_moves_forward_and_then_stays(session: Session, moves: list[str], state: str) -> None:
    turn_id = turn(session).id
    assert all(MOVES[move](session, turn_id) for move in moves)
    assert session.get_one(Turn, turn_id).state == state
    ended = state != "answering"
    refused = MOVES if ended else ("claim", "stop early", "reply")
    assert not any(MOVES[move](session, turn_id) for move in refused)
    assert session.get_one(Turn, turn_id).state == state


@pytest.mark.parametrize("move", ["answer", "refuse", "fail", "stop"])
def test_an_answer_that_was_never_claimed_is_not_finished(session: Session, move: str) -> None:
    turn_id = turn(session).id
    assert not MOVES[move](session, turn_id)
    assert conversations.sources_of(session, turn_id) == []


def test_the_same_thread_is_the_same_conversation_and_its_locale_follows(session: Session) -> None:
    first = conversation(session)
    again = conversations.find_or_create_conversation(session, "web", "t" * 64, "u" * 64, "customer", "en")
    assert (again.id, again.locale) == (first.id, "en")
    assert conversation(session, thread="x").id != first.id


def test_turns_are_numbered_within_their_conversation(session: Session) -> None:
    assert [turn(session, f"event-{n}").position for n in range(3)] == [1, 2, 3]
    assert turn(session, thread="x").position == 1


def test_a_turn_is_found_by_its_event_in_its_thread_only(session: Session) -> None:
    made = turn(session)
    found = conversations.turn_by_event(session, "web", "t" * 64, "event-1")
    assert found is not None
    assert found.id == made.id
    assert conversations.turn_by_event(session, "web", "x" * 64, "event-1") is None
    assert conversations.turn_by_event(session, "slack", "t" * 64, "event-1") is None
    assert conversations.turn_by_event(session, "web", "t" * 64, "event-2") is None


@pytest.mark.parametrize("turn_id", ["", "\x00", "0" * 32, "0" * 31, "' OR 1=1 --", "가" * 32])
def test_a_turn_nobody_has_is_not_found(session: Session, turn_id: str) -> None:
    with pytest.raises(NotFound, match="turn_not_found"):
        conversations.owned_turn(session, turn_id, conversation(session).id)


def test_a_turn_of_another_conversation_is_not_found_either(session: Session) -> None:
    mine = turn(session)
    for other in (conversation(session, thread="x").id, "", "\x00"):
        with pytest.raises(NotFound, match="turn_not_found"):
            conversations.owned_turn(session, mine.id, other)
    assert conversations.owned_turn(session, mine.id, mine.conversation_id).id == mine.id


def test_the_history_is_the_latest_finished_turns_oldest_first(session: Session) -> None:
    turns = [turn(session, f"event-{n}", f"질문 {n}") for n in range(6)]
    for made in turns[:4]:
        MOVES["claim"](session, made.id)
        MOVES["answer"](session, made.id)
    MOVES["stop early"](session, turns[4].id)
    history = conversations.turns_before(session, turns[5], limit=3)
    assert [earlier.question for earlier in history] == ["질문 1", "질문 2", "질문 3"]


def test_only_old_claims_are_abandoned(session: Session) -> None:
    old, fresh, finished = (turn(session, f"event-{n}") for n in range(3))
    for made in (old, fresh, finished):
        MOVES["claim"](session, made.id)
    MOVES["answer"](session, finished.id)
    long_ago = now() - timedelta(seconds=100)
    session.execute(update(Turn).where(Turn.id != fresh.id).values(answering_since=long_ago))
    assert conversations.abandoned_turns(session, now() - timedelta(seconds=50)) == [old.id]


@pytest.mark.parametrize("passage_id", [None, 4711], ids=["no passage", "a passage deleted meanwhile"])
def test_the_sources_of_an_answer_stay_when_its_documents_go(session: Session, passage_id: int | None) -> None:
    made = turn(session)
    MOVES["claim"](session, made.id)
    shown_source = replace(SOURCE, passage_id=passage_id)
    assert conversations.finish_answer(session, made.id, Outcome("answered", ANSWER, "told", [shown_source]))
    [(shown, passage, document)] = conversations.sources_of(session, made.id)
    assert (shown.label, shown.text, passage, document) == (SOURCE.label, SOURCE.text, None, None)


def test_feedback_and_its_audit_row_come_together(session: Session) -> None:
    made = turn(session)
    given = feedback.add_feedback(session, made, "thumb-1", "down", "wrong", MaskedText("아닙니다"))
    known = feedback.feedback_by_event(session, made.id, "thumb-1")
    assert known is given
    assert (given.state, given.verdict) == ("pending", "down")
    [row] = session.query(AuditEvent).all()
    assert (row.actor, row.action, row.subject_id) == ("u" * 64, "feedback.given", given.id)
    assert row.details == {"turn_id": made.id, "verdict": "down", "reason": "wrong", "corrected": True}
