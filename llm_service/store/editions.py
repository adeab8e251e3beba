"""Questions about the editions of one document and about the approved answers that rest on them. Changes nothing.

Knows neither how texts are compared nor how an answer is checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from llm_service.errors import NotFound
from llm_service.masked import MaskedText
from llm_service.store.conversations import turns_before
from llm_service.store.documents import REPLACED, succession
from llm_service.store.learning_models import ReviewItem
from llm_service.store.models import Document, Feedback, Passage, Turn, TurnSource

HISTORY_TURNS = 3
"""How many questions before it an approved question is asked again with: as many as it was asked with."""


@dataclass(frozen=True)
class EditionPassage:
    """A passage as it is compared with another edition's: `label` cites it, `article` is None outside statutes."""

    id: int
    article: str | None
    heading_path: tuple[str, ...]
    label: str
    text: MaskedText


@dataclass(frozen=True)
class Edition:
    """One edition with its passages in order."""

    document_id: int
    path: str
    series: str
    title: str
    in_force_from: date
    in_force_to: date
    passages: tuple[EditionPassage, ...]


@dataclass(frozen=True)
class CitedSource:
    """A source as an approved answer showed it; `passage` is None once its document has been deleted."""

    label: str
    document_path: str
    text: MaskedText
    passage: EditionPassage | None
    document_id: int | None
    series: str | None
    in_force_from: date | None


@dataclass(frozen=True)
class ApprovedAnswer:
    """A question with the answer that a reviewer approved: the answer itself, or the correction in its place."""

    feedback_id: str
    turn_id: str
    question: MaskedText
    history: tuple[MaskedText, ...]
    answer: MaskedText
    as_of: date | None
    asked_at: datetime
    audience: str
    groups: tuple[str, ...]
    locale: str
    sources: tuple[CitedSource, ...]


def edition(session: Session, document_id: int) -> Edition:
    """An edition in whatever state it is. Raises `NotFound` (document_not_found)."""
    document = session.get(Document, document_id)
    if document is None:
        raise NotFound("document_not_found", "there is no such document")
    return _edition(session, document)


def preceding_edition(session: Session, document_id: int) -> Edition | None:
    """The edition whose place this one took, one of the same first day included; None for the first of its series."""
    document = session.get(Document, document_id)
    if document is None:
        raise NotFound("document_not_found", "there is no such document")
    earlier = [other for other in _editions(session, document.series) if succession(other) < succession(document)]
    return _edition(session, earlier[-1]) if earlier else None


def editions_until(session: Session, passage_id: int) -> list[Edition]:
    """The ready editions of a passage's series up to its own, the newest first; empty if the passage is gone."""
    document = session.scalar(select(Document).join(Passage).where(Passage.id == passage_id))
    if document is None:
        return []
    ready = [other for other in _editions(session, document.series) if other.state == "ready"]
    until = [other for other in ready if other.in_force_from <= document.in_force_from]
    return [_edition(session, other) for other in reversed(until)]


def without_stated_day(session: Session, passage_ids: Sequence[int]) -> set[int]:
    """Those of the passages whose document does not say since when it applies."""
    rows = session.execute(select(Passage.id, Document.details).join(Document).where(Passage.id.in_(passage_ids)))
    return {id_ for id_, details in rows if not details.get("date_is_stated", True)}


def approved_answers_citing(session: Session, series: str) -> list[ApprovedAnswer]:
    """Approved answers with a source in this series, oldest first. A source of a deleted edition counts by its path."""
    paths = list(session.scalars(select(Document.path).where(Document.series == series)))
    statement = (
        select(Feedback)
        .join(TurnSource, TurnSource.turn_id == Feedback.turn_id)
        .outerjoin(Passage, TurnSource.passage_id == Passage.id)
        .outerjoin(Document, Passage.document_id == Document.id)
        .where(
            Feedback.state == "approved",
            or_(Document.series == series, TurnSource.passage_id.is_(None) & TurnSource.document_path.in_(paths)),
        )
        .order_by(Feedback.created_at, Feedback.id)
    )
    rows = session.scalars(statement).unique()
    return [found for feedback in rows if (found := _approved(session, feedback)) is not None]


def _approved(session: Session, feedback: Feedback) -> ApprovedAnswer | None:
    turn = session.get_one(Turn, feedback.turn_id)
    reviewed = session.scalar(select(ReviewItem.proposed_answer).where(ReviewItem.feedback_id == feedback.id))
    answer = reviewed or feedback.correction or (turn.answer if feedback.verdict == "up" else None)
    if answer is None:
        return None
    conversation = turn.conversation
    return ApprovedAnswer(
        feedback_id=feedback.id,
        turn_id=turn.id,
        question=turn.question,
        history=tuple(earlier.question for earlier in turns_before(session, turn, HISTORY_TURNS)),
        answer=answer,
        as_of=turn.as_of,
        asked_at=turn.created_at,
        audience=conversation.audience,
        groups=tuple(conversation.groups),
        locale=conversation.locale,
        sources=_sources(session, turn.id),
    )


def _sources(session: Session, turn_id: str) -> tuple[CitedSource, ...]:
    rows = session.execute(
        select(TurnSource, Passage, Document)
        .outerjoin(Passage, TurnSource.passage_id == Passage.id)
        .outerjoin(Document, Passage.document_id == Document.id)
        .where(TurnSource.turn_id == turn_id)
        .order_by(TurnSource.number)
    )
    return tuple(
        CitedSource(
            label=shown.label,
            document_path=shown.document_path,
            text=shown.text,
            passage=_passage(passage) if passage else None,
            document_id=document.id if document else None,
            series=document.series if document else None,
            in_force_from=document.in_force_from if document else None,
        )
        for shown, passage, document in rows
    )


def _editions(session: Session, series: str) -> list[Document]:
    """The editions that are or were answered from, in the order in which they followed one another."""
    statement = select(Document).where(
        Document.series == series, or_(Document.state == "ready", Document.reason == REPLACED)
    )
    return sorted(session.scalars(statement), key=succession)


def _edition(session: Session, document: Document) -> Edition:
    passages = session.scalars(select(Passage).where(Passage.document_id == document.id).order_by(Passage.position))
    return Edition(
        document.id,
        document.path,
        document.series,
        document.title,
        document.in_force_from,
        document.in_force_to,
        tuple(map(_passage, passages)),
    )


def _passage(passage: Passage) -> EditionPassage:
    return EditionPassage(passage.id, passage.article, tuple(passage.heading_path), passage.label, passage.text)
