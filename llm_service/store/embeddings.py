"""Reads and keeps the dense vectors of passages. Knows no model: vectors are bytes, models are names."""

from collections.abc import Mapping, Sequence

from sqlalchemy import and_, delete, exists, select
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store.embedding_models import PassageEmbedding
from llm_service.store.models import Document, Passage


def passages_without(
    session: Session, model: str, after: int, limit: int
) -> list[tuple[int, int, MaskedText, MaskedText]]:
    """(passage id, document id, header, text) of ready passages that lack a vector of this model, by id, from `after`
    on."""
    held = and_(PassageEmbedding.passage_id == Passage.id, PassageEmbedding.model == model)
    statement = (
        select(Passage.id, Passage.document_id, Passage.header, Passage.text)
        .join(Document)
        .where(Document.state == "ready", Passage.id > after, ~exists().where(held))
        .order_by(Passage.id)
        .limit(limit)
    )
    return [(id_, document_id, header, text) for id_, document_id, header, text in session.execute(statement)]


def vectors_of(session: Session, model: str, passage_ids: Sequence[int]) -> dict[int, bytes]:
    """The vectors of these passages by this model; those without one are left out."""
    statement = select(PassageEmbedding.passage_id, PassageEmbedding.vector)
    found = session.execute(
        statement.where(PassageEmbedding.model == model, PassageEmbedding.passage_id.in_(passage_ids))
    )
    return {row[0]: row[1] for row in found}


def keep_vectors(session: Session, model: str, vectors: Mapping[int, bytes]) -> None:
    """Store vectors of passages that had none. Passages deleted meanwhile are left out."""
    alive = session.execute(select(Passage.id).where(Passage.id.in_(vectors))).scalars()
    session.add_all([PassageEmbedding(passage_id=id_, model=model, vector=vectors[id_]) for id_ in alive])


def forget_other_models(session: Session, model: str) -> None:
    """Delete the vectors of every model but this one."""
    session.execute(delete(PassageEmbedding).where(PassageEmbedding.model != model))
