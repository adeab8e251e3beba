"""From a loaded document to drafts of passages: statutes by article, everything else by its own structure."""

from datetime import date

from llm_service.retrieval.draft import PassageDraft
from llm_service.retrieval.labels import Labels
from llm_service.retrieval.loaders.content import LoadedDocument
from llm_service.retrieval.regulations import draft_regulation, has_articles, with_articles
from llm_service.retrieval.sections import draft_sections
from llm_service.retrieval.statutes import draft_articles, is_statute

CHUNKING_VERSION = 1
"""Raised whenever a document would be cut or labelled differently; documents are then ingested again."""


def draft_passages(document: LoadedDocument, title: str, in_force_from: date | None) -> list[PassageDraft]:
    """The passages of a document in order. `title` is what it is cited as; a law's label also says since when it
    applies."""
    if is_statute(document):
        return draft_articles(document.blocks, title, Labels(in_force_from))
    document = with_articles(document)
    if has_articles(document):
        return draft_regulation(document, title, Labels(in_force_from))
    return draft_sections(document, title, Labels(None))
