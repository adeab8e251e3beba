"""Answers as they travel: rows in, the shapes of `llm_service.client` out."""

from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from llm_service.client import Source, TurnView
from llm_service.store import conversations
from llm_service.store.conversations import Ending
from llm_service.store.models import Document, Passage, Turn, TurnSource


def turn_view(session: Session, turn: Turn) -> TurnView:
    """A turn with everything that is kept of it."""
    return TurnView(
        turn_id=turn.id,
        conversation_id=turn.conversation_id,
        state=turn.state,
        question=turn.question,
        answer=turn.answer,
        refused=turn.state == "refused",
        engine=turn.engine,
        intent=turn.intent,
        sources=[_source(*row) for row in conversations.sources_of(session, turn.id)],
        timings=turn.timings,
    )


def wire_sources(session: Session, turn_id: str) -> list[dict[str, Any]]:
    """The sources of a turn as the data of a `sources` event."""
    return [asdict(_source(*row)) for row in conversations.sources_of(session, turn_id)]


def done_data(turn: Turn | Ending) -> dict[str, Any]:
    """The data of a `done` event."""
    return {
        "turn_id": turn.id,
        "state": turn.state,
        "refused": turn.state == "refused",
        "engine": turn.engine,
        "timings": turn.timings,
    }


def _source(shown: TurnSource, passage: Passage | None, document: Document | None) -> Source:
    return Source(
        number=shown.number,
        passage_id=shown.passage_id,
        label=shown.label,
        document=shown.document_path,
        title=document.title if document else shown.document_path,
        article=passage.article if passage else None,
        page=passage.page if passage else None,
        heading_path=list(passage.heading_path) if passage else [],
        text=shown.text,
        score=shown.score,
        in_force_from=document.in_force_from.isoformat() if document else None,
    )
