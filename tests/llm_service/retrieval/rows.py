"""Rows as ingest writes them, for tests of what reads them."""

from collections.abc import Sequence
from datetime import date

from sqlalchemy import delete, select

from llm_service.masked import MaskedText
from llm_service.retrieval.lexical import Lexical, pack_terms
from llm_service.store.models import OPEN_END, Document, IndexChange, Passage
from llm_service.store.session import SessionFactory

Part = tuple[str, str]
"""(header, text); a header like 은행법 제30조의2(금리인하 요구) makes the passage a part of that article."""


def add_document(
    sessions: SessionFactory,
    lexical: Lexical,
    parts: Sequence[Part],
    audience: Sequence[str] = ("customer", "staff"),
    in_force: tuple[date, date] = (date(2000, 1, 1), OPEN_END),
    path: str = "document.md",
) -> int:
    """Store a ready document and its change for the index, in one transaction; returns its id."""
    terms = lexical.passages_terms(parts)
    with sessions() as session, session.begin():
        document = Document(
            path=path,
            series=path,
            title="제목",
            kind="text",
            audience=list(audience),
            content_sha256=f"{len(parts)}-{in_force[0]}-{audience}"[:64],
            in_force_from=in_force[0],
            in_force_to=in_force[1],
            state="ready",
            passage_count=len(parts),
            passages=[
                Passage(
                    position=position,
                    header=MaskedText(header),
                    text=MaskedText(text),
                    label=header,
                    article=_article_of(header),
                    heading_path=[],
                    vectors=pack_terms(found),
                )
                for position, ((header, text), found) in enumerate(zip(parts, terms, strict=True))
            ],
        )
        session.add(document)
        session.flush()
        session.add(IndexChange(document_id=document.id, action="upsert"))
        return document.id


def remove_document(sessions: SessionFactory, document_id: int) -> None:
    """Delete a document's rows and tell the index."""
    with sessions() as session, session.begin():
        session.execute(delete(Document).where(Document.id == document_id))
        session.add(IndexChange(document_id=document_id, action="delete"))


def close_edition(sessions: SessionFactory, document_id: int, in_force_to: date) -> None:
    """A newer edition has come: the document is in force until the day before `in_force_to`."""
    with sessions() as session, session.begin():
        session.execute(select(Document).where(Document.id == document_id)).scalar_one().in_force_to = in_force_to
        session.add(IndexChange(document_id=document_id, action="upsert"))


def _article_of(header: str) -> str | None:
    named = [word.partition("(")[0] for word in header.split() if word.startswith("제") and "조" in word]
    return named[0] if named else None
