"""Regulations in office formats: finds the articles of a text whose headings are only lines (`제3조(한도) ① …`).

A bank's own rules come as PDF, DOCX or HWP, where nothing but the wording marks an article. What stands before the
first article and after the last (addenda, annexes) is kept as ordinary sections. Knows neither formats nor the index.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from llm_service.retrieval.draft import PassageDraft
from llm_service.retrieval.labels import Labels
from llm_service.retrieval.loaders.content import Block, LoadedDocument
from llm_service.retrieval.sections import draft_sections
from llm_service.retrieval.statutes import ARTICLE_HEADING, draft_articles

MIN_ARTICLES = 3
MAX_ARTICLES_SKIPPED = 30
"""A number this much higher than the last article's is a reference at the start of a line, not the next article."""

_OPENING = re.compile(r"(제\s?(\d+)\s?조(?:의\s?(\d+))?)\s*\(((?:[^()]|\([^()]*\)){1,80})\)(?:\s+|(?=[①-⑳])|$)(.*)")
_DELETED = re.compile(r"(제\s?(\d+)\s?조(?:의\s?(\d+))?)\s*(삭제\s*(?:<[^<>]*>)?)")
_CHAPTER = re.compile(r"제\s?\d+\s?(편|장|절|관)(?:의\s?\d+)?\s.{1,40}")
_CHAPTER_LEVELS = {"편": 2, "장": 3, "절": 4, "관": 5}
_ENDING = re.compile(r"부\s*칙(?:\s*[<(].*)?|[\[<(【]?\s*(?:별표|별지|서식)\s*(?:제?\s*\d+.*)?")
_ARTICLE_LEVEL = 6


def with_articles(document: LoadedDocument) -> LoadedDocument:
    """The document with its articles and chapters as headings, or as it is if it is not made of articles."""
    if any(block.kind == "heading" and ARTICLE_HEADING.fullmatch(block.text) for block in document.blocks):
        return document
    blocks = tuple(_marked(document.blocks))
    articles = sum(block.kind == "heading" and block.level == _ARTICLE_LEVEL for block in blocks)
    return replace(document, blocks=blocks) if articles >= MIN_ARTICLES else document


def has_articles(document: LoadedDocument) -> bool:
    """True if enough headings are articles for the document to be cited by them."""
    articles = sum(block.kind == "heading" and _is_article(block) for block in document.blocks)
    return articles >= MIN_ARTICLES


def draft_regulation(document: LoadedDocument, title: str, labels: Labels) -> list[PassageDraft]:
    """Articles cited by number, everything around them as sections."""
    before, articles, after = _divide(document.blocks)
    drafts: list[PassageDraft] = []
    for part in (
        draft_sections(replace(document, blocks=before), title, labels),
        draft_articles(articles, title, labels),
        draft_sections(replace(document, blocks=after), title, labels),
    ):
        offset = len(drafts)
        drafts += [draft if draft.parent is None else replace(draft, parent=draft.parent + offset) for draft in part]
    return drafts


def _divide(blocks: Sequence[Block]) -> tuple[tuple[Block, ...], tuple[Block, ...], tuple[Block, ...]]:
    first = next(position for position, block in enumerate(blocks) if _is_article(block))
    start = first
    while start > 0 and blocks[start - 1].kind == "heading":
        start -= 1
    end = next(
        (position for position in range(first, len(blocks)) if _ends_articles(blocks[position])),
        len(blocks),
    )
    return tuple(blocks[:start]), tuple(blocks[start:end]), tuple(blocks[end:])


def _marked(blocks: Sequence[Block]) -> Iterator[Block]:
    last = (0, 0)
    ended = False
    for block in blocks:
        if block.kind == "paragraph" and last != (0, 0) and _ENDING.fullmatch(block.text.strip()):
            ended = True
            yield replace(block, kind="heading", level=2)
        elif block.kind != "paragraph" or ended:
            yield block
        elif chapter := _CHAPTER.fullmatch(block.text.strip()):
            yield replace(block, kind="heading", level=_CHAPTER_LEVELS[chapter[1]], text=" ".join(block.text.split()))
        elif opening := _opening(block.text, last):
            last = _number(opening)
            yield from _opened(block, opening)
        else:
            yield block


def _opening(text: str, last: tuple[int, int]) -> re.Match[str] | None:
    """The match if the line opens the article after `last`; a reference at the start of a line does not follow it."""
    match = _OPENING.fullmatch(text.strip()) or _DELETED.fullmatch(text.strip())
    follows = match is not None and last < _number(match) and _number(match)[0] - last[0] <= MAX_ARTICLES_SKIPPED
    return match if follows else None


def _opened(block: Block, opening: re.Match[str]) -> Iterator[Block]:
    name = opening[1].replace(" ", "")
    is_deleted = opening.re is _DELETED
    yield replace(block, kind="heading", level=_ARTICLE_LEVEL, text=name if is_deleted else f"{name} ({opening[4]})")
    rest = opening[4] if is_deleted else opening[5]
    if rest:
        yield replace(block, text=rest)


def _number(opening: re.Match[str]) -> tuple[int, int]:
    return int(opening[2]), int(opening[3] or 0)


def _is_article(block: Block) -> bool:
    return block.kind == "heading" and ARTICLE_HEADING.fullmatch(block.text) is not None


def _ends_articles(block: Block) -> bool:
    return block.kind == "heading" and _ENDING.fullmatch(block.text) is not None
