"""Corpora and question sets that retrieval is measured on, read and cut as ingest does it, in an index of their own.

Masking is left out: the texts are public law and documents of a bank that does not exist.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from llm_service.masked import MaskedText
from llm_service.retrieval.chunking import draft_passages
from llm_service.retrieval.draft import searchable_text
from llm_service.retrieval.edge import EdgeIndexes
from llm_service.retrieval.embedding import Embedder
from llm_service.retrieval.generations import IndexOwner
from llm_service.retrieval.lexical import Lexical, pack_terms
from llm_service.retrieval.loaders.formats import LOADERS, load
from llm_service.retrieval.rerank import Reranker
from llm_service.store.models import Base, Document, IndexChange, Passage
from llm_service.store.session import open_database, session_factory

IN_FORCE_FROM = date(2000, 1, 1)


@dataclass(frozen=True)
class Question:
    """A question and the places any of which answers it; none means that nothing in its corpus does."""

    id: str
    text: MaskedText
    gold: frozenset[str]


@dataclass(frozen=True)
class Part:
    """A passage to be indexed. `place` is what a question's gold names: a statute's article, or a document."""

    place: str
    article: str | None
    header: str
    text: str


Corpus = Mapping[str, Sequence[Part]]
"""Documents by path: their passages in order."""


def questions(path: Path) -> list[Question]:
    """Questions of a JSONL file; `gold` lists places, `document` names one."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [Question(row["id"], MaskedText(row["question"]), _gold(row)) for row in rows]


def statutes(folder: Path) -> Corpus:
    """The statutes below `folder`; places are `<law>/<kind>/<article>`."""
    corpus: dict[str, list[Part]] = {}
    for path in sorted(folder.glob("*/*.md")):
        document = str(path.relative_to(folder).with_suffix(""))
        corpus[document] = [
            Part(f"{document}/{part.article}", part.article, part.header, part.text) for part in _parts(path, document)
        ]
    return corpus


def documents(folder: Path, below: Sequence[str]) -> Corpus:
    """The documents in these subfolders of `folder`; places are their paths."""
    paths = sorted(path for name in below for path in (folder / name).rglob("*") if path.suffix in LOADERS)
    return {str(path.relative_to(folder)): _parts(path, str(path.relative_to(folder))) for path in paths}


@contextmanager
def indexed(
    home: Path,
    corpus: Corpus,
    lexical: Lexical,
    embedder: Embedder | None = None,
    reranker: Reranker | None = None,
) -> Iterator[IndexOwner]:
    """An index over the corpus in an empty folder, everything visible to everybody and in force since 2000."""
    home.mkdir(parents=True, exist_ok=True)
    engine = open_database(f"sqlite:///{home / 'haechi.db'}")
    Base.metadata.create_all(engine)
    sessions = session_factory(engine)
    with sessions() as session, session.begin():
        for path, parts in corpus.items():
            document = _document(path, parts, lexical)
            session.add(document)
            session.flush()
            session.add(IndexChange(document_id=document.id, action="upsert"))
    owner = IndexOwner(EdgeIndexes(home / "vectors"), sessions, lexical, embedder, reranker)
    yield owner
    owner.close()
    engine.dispose()


def _gold(row: Mapping[str, object]) -> frozenset[str]:
    document = row.get("document")
    if isinstance(document, str):
        return frozenset([document])
    gold = row.get("gold")
    return frozenset(map(str, gold)) if isinstance(gold, list) else frozenset()


def _parts(path: Path, place: str) -> list[Part]:
    loaded = load(str(path), path.read_bytes())
    drafts = draft_passages(loaded, loaded.title or path.stem, None)
    return [Part(place, draft.article, draft.header, searchable_text(draft.text)) for draft in drafts]


def _document(path: str, parts: Sequence[Part], lexical: Lexical) -> Document:
    terms = lexical.passages_terms((part.header, part.text) for part in parts)
    return Document(
        path=path,
        series=path,
        title=path,
        kind="benchmark",
        audience=["customer", "staff"],
        content_sha256="0" * 64,
        in_force_from=IN_FORCE_FROM,
        state="ready",
        passage_count=len(parts),
        passages=[
            Passage(
                position=position,
                header=MaskedText(part.header),
                text=MaskedText(part.text),
                label=part.place[:512],
                article=part.article,
                heading_path=[],
                vectors=pack_terms(found),
            )
            for position, (part, found) in enumerate(zip(parts, terms, strict=True))
        ],
    )
