"""Rows that the tests of learning begin with: a judged turn, a draft, an approved example."""

from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store import review
from llm_service.store.conversations import (
    Outcome,
    RoutedBy,
    add_turn,
    claim_for_answer,
    find_or_create_conversation,
    finish_answer,
)
from llm_service.store.feedback import add_feedback
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import Feedback, Mention, new_id
from llm_service.store.review import Draft

ANA, BEN, CHO, DEE = (letter * 64 for letter in "abcd")
"""Keys of four persons."""
MENTION_KEY = "e" * 64


def judged_turn(
    session: Session,
    user_key: str = "9" * 64,
    correction: str | None = "연 3.5%입니다.",
    verdict: str = "down",
    question: str = "정기예금 금리가 어떻게 되나요?",
) -> Feedback:
    """A question that was answered and judged, in a conversation of its own that mentions one value."""
    conversation = find_or_create_conversation(session, "web", new_id() * 2, user_key, "customer", "ko")
    session.add(Mention(conversation_id=conversation.id, mention_key=MENTION_KEY))
    turn = add_turn(session, conversation, "1", MaskedText(question), {}, {})
    claim_for_answer(session, turn.id, RoutedBy("ask_knowledge", 0.9, "rasa"), None)
    finish_answer(session, turn.id, Outcome("answered", MaskedText("연 3.0%입니다. [1]"), "extractive"))
    session.refresh(turn)
    masked = MaskedText(correction) if correction is not None else None
    return add_feedback(session, turn, "1", verdict, "wrong", masked)


def item_of(session: Session, feedback: Feedback) -> ReviewItem:
    """The review item that a verdict opened."""
    return session.query(ReviewItem).filter_by(feedback_id=feedback.id).one()


def draft(question: str = "예금자보호란?", answer: str = "예금자보호법에 따른 보호입니다.", **changes: object) -> Draft:
    """A draft of a builder."""
    given = {"kind": "curated", "made_by": "builder:test", "group_key": "documents/1", "licence": "bank", **changes}
    return Draft(question=MaskedText(question), answer=MaskedText(answer), **given)  # type: ignore[arg-type]


def approved(session: Session, item_id: str, first: str = ANA, second: str = BEN) -> ReviewItem:
    """The item with both approvals."""
    found = review.approve(session, first, item_id, review.item(session, item_id).version, "correct")
    return review.approve(session, second, item_id, found.version)


def approved_draft(session: Session, question: str = "예금자보호란?", **changes: object) -> ReviewItem:
    """A draft that two people approved."""
    item_id = review.add_draft(session, draft(question, **changes))  # type: ignore[arg-type]
    assert item_id is not None
    return approved(session, item_id)
