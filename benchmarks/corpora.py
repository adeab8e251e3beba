"""Corpora and question sets that retrieval is measured on, and an index over them in a folder of its own."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from llm_service.masked import MaskedText
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.lexical import Lexical, pack_terms
from llm_service.store.models import Base, Document, IndexChange, Passage
from llm_service.store.session import open_database, session_factory

SPLIT_ABOVE_CHARACTERS = 800
ARTICLE_HEADING = re.compile(r"^##### (제\d+조(?:의\d+)?)\s*(?:\((.*)\))?\s*$")
REVISION_NOTE = re.compile(r"[<\[](?:개정|신설|본조신설|전문개정|제목개정|종전|삭제|시행일|단순위헌|헌법불합치)[^>\]]*[>\]]")
PARAGRAPH = re.compile(r"(?m)^(?=\*\*[①-⑳㉑-㉟]+\*\*)")


@dataclass(frozen=True)
class Question:
    """A question and the articles any of which answers it; none means that nothing here does."""

    id: str
    text: MaskedText
    gold: frozenset[str]


@dataclass(frozen=True)
class Part:
    """A passage to be indexed: its article's id, header and text."""

    gold: str
    article: str
    header: str
    text: str


def questions(path: Path) -> list[Question]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [Question(row["id"], MaskedText(row["question"]), frozenset(row.get("gold", ()))) for row in rows]


def statutes(folder: Path, split_above: int = SPLIT_ABOVE_CHARACTERS) -> dict[str, list[Part]]:
    """Passages of each statute file below `folder`, by path without suffix; addenda and deleted articles are left out."""
    return {
        str(path.relative_to(folder).with_suffix("")): list(_parts(path, folder, split_above))
        for path in sorted(folder.glob("*/*.md"))
    }


def _parts(path: Path, folder: Path, split_above: int) -> Iterator[Part]:
    content = path.read_text(encoding="utf-8")
    title = re.search(r"^제목: *['\"]?(.*?)['\"]?$", content, re.M)
    name = title.group(1) if title else path.parent.name
    document = str(path.relative_to(folder).with_suffix(""))
    for article, heading, text in _articles(content):
        header = f"{name} {article}({heading})" if heading else f"{name} {article}"
        pieces = PARAGRAPH.split(text) if len(text) > split_above else [text]
        for piece in pieces:
            if plain := piece.replace("**", "").replace("\\.", ".").strip():
                yield Part(f"{document}/{article}", article, header, plain)


def _articles(content: str) -> Iterator[tuple[str, str, str]]:
    article, heading, lines = "", "", list[str]()
    for line in [*content.splitlines(), "## end"]:
        match = ARTICLE_HEADING.match(line)
        if match or line.startswith("#"):
            text = REVISION_NOTE.sub("", "\n".join(lines)).strip()
            if article and text and not text.startswith("삭제"):
                yield article, heading, text
            article, heading = (match.group(1), match.group(2) or "") if match else ("", "")
            lines = []
        else:
            lines.append(line)


def index(
    home: Path, documents: dict[str, list[Part]], lexical: Lexical, audience: Sequence[str] = ("customer", "staff")
) -> IndexOwner:
    """An index over these documents in an empty folder, in force since 2000-01-01."""
    engine = open_database(f"sqlite:///{home / 'haechi.db'}")
    Base.metadata.create_all(engine)
    sessions = session_factory(engine)
    with sessions() as session, session.begin():
        for path, parts in documents.items():
            terms = lexical.passages_terms((part.header, part.text) for part in parts)
            document = Document(
                path=path,
                series=path,
                title=path,
                kind="statute",
                audience=list(audience),
                content_sha256="0" * 64,
                in_force_from=date(2000, 1, 1),
                state="ready",
                passages=[
                    Passage(
                        position=position,
                        header=MaskedText(part.header),
                        text=MaskedText(part.text),
                        label=part.gold,
                        article=part.article,
                        heading_path=[],
                        vectors=pack_terms(found),
                    )
                    for position, (part, found) in enumerate(zip(parts, terms, strict=True))
                ],
            )
            session.add(document)
            session.flush()
            session.add(IndexChange(document_id=document.id, action="upsert"))
    return IndexOwner(EdgeIndexes(home / "index"), sessions, lexical)
