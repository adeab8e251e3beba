"""Questions about feedback rows: one verdict per event, pending until somebody reviews it."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store import audit, review
from llm_service.store.models import Feedback, Turn


def feedback_by_event(session: Session, turn_id: str, event_id: str) -> Feedback | None:
    """What was stored for this event, if it came before."""
    return session.scalar(select(Feedback).where(Feedback.turn_id == turn_id, Feedback.event_id == event_id))


def add_feedback(
    session: Session, turn: Turn, event_id: str, verdict: str, reason: str | None, correction: MaskedText | None
) -> Feedback:
    """A pending verdict on an answer, in the review queue, with its audit row in the same transaction."""
    given = Feedback(turn_id=turn.id, event_id=event_id, verdict=verdict, reason=reason, correction=correction)
    session.add(given)
    session.flush()
    review.open_for_feedback(session, given, turn)
    audit.record(
        session,
        actor=turn.conversation.user_key,
        action="feedback.given",
        subject_kind="feedback",
        subject_id=given.id,
        details={"turn_id": turn.id, "verdict": verdict, "reason": reason, "corrected": correction is not None},
    )
    return given
