"""Documents other than statutes as drafts of passages: by heading, page, slide, sheet and question.

A passage never spans two pages or headings, never cuts a table row, and a table continued in the next passage repeats
its heading row. Knows neither formats nor the index.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from llm_service.retrieval.draft import ANSWER_MARK, QUESTION_MARK, PassageDraft
from llm_service.retrieval.labels import Labels
from llm_service.retrieval.loaders.content import Block, LoadedDocument
from llm_service.retrieval.sentences import pack, sentence_pieces

MAX_PASSAGE_CHARACTERS = 800
MAX_SHEET_PASSAGE_CHARACTERS = 400
"""Rows of a sheet are cited by number: fewer of them together keep the citation exact."""
MAX_HEADER_CHARACTERS = 300
SHEET_FORMATS = {"csv", "qa", "xlsx"}


@dataclass(frozen=True)
class _Section:
    """Neighbouring blocks that share everything a citation names."""

    heading_path: tuple[str, ...]
    blocks: tuple[Block, ...]
    question: str | None = None
    in_sheet: bool = False


def draft_sections(document: LoadedDocument, title: str, labels: Labels) -> list[PassageDraft]:
    """Passages in reading order."""
    drafts: list[PassageDraft] = []
    in_sheet = document.format in SHEET_FORMATS
    for found in _sections(document.blocks, title):
        section = replace(found, in_sheet=in_sheet)
        parts = list(_parts(section))
        parent = len(drafts) if len(parts) > 1 else None
        for part in parts:
            drafts.append(replace(_draft(section, part, title, labels), parent=parent))
    return drafts


def _draft(section: _Section, part: Sequence[Block], title: str, labels: Labels) -> PassageDraft:
    first = part[0]
    rows = [block.row for block in part if block.row is not None] if section.in_sheet else []
    path = section.heading_path if section.question is None else (*section.heading_path, section.question)
    header = " ".join((title, *path))
    return PassageDraft(
        text=_text(section, part),
        header=header[:MAX_HEADER_CHARACTERS],
        label=labels.section(
            title,
            path,
            page=first.page,
            slide=first.slide,
            sheet=first.sheet,
            rows=(min(rows), max(rows)) if rows else None,
        ),
        heading_path=path,
        page=first.page,
    )


def _text(section: _Section, part: Sequence[Block]) -> str:
    lines = [block.text for block in part]
    first = part[0]
    if first.kind == "row" and first.columns and first.text != first.columns:
        lines.insert(0, first.columns)
    if section.question is not None:
        return f"{QUESTION_MARK}{section.question}\n{ANSWER_MARK}" + "\n".join(lines)
    return "\n".join(lines)


def _sections(blocks: Sequence[Block], title: str) -> Iterator[_Section]:
    path: list[tuple[int, str]] = []
    question: str | None = None
    collected: list[Block] = []
    bare_heading: Block | None = None
    for block in (*blocks, None):
        starts_new = block is None or block.kind in {"heading", "question"} or _place_changes(collected, block)
        if starts_new and collected:
            yield _Section(_names(path, title), tuple(collected), question)
            collected = []
        if block is None or block.kind == "heading":
            if bare_heading is not None and (block is None or block.level <= bare_heading.level):
                # Nothing stands below this heading: it is all the text there is in its place (a title slide, a cover).
                yield _Section(_names(path[:-1], title), (bare_heading,))
            question, bare_heading = None, block
            if block is not None:
                path = [*((level, name) for level, name in path if level < block.level), (block.level, block.text)]
        elif block.kind == "question":
            question, bare_heading = block.text, None
        else:
            bare_heading = None
            collected.append(block)


def _place_changes(collected: Sequence[Block], block: Block) -> bool:
    if not collected:
        return False
    last = collected[-1]
    return (last.page, last.slide, last.sheet) != (block.page, block.slide, block.sheet)


def _names(path: Sequence[tuple[int, str]], title: str) -> tuple[str, ...]:
    names = [name for _, name in path]
    return tuple(names[1:] if names and names[0] == title else names)


def _parts(section: _Section) -> Iterator[list[Block]]:
    limit = MAX_SHEET_PASSAGE_CHARACTERS if section.in_sheet else MAX_PASSAGE_CHARACTERS
    total = sum(len(block.text) for block in section.blocks)
    # Even parts: 900 characters become 450 + 450 rather than 800 + 100.
    room = limit if total <= limit else min(limit, math.ceil(total / math.ceil(total / limit) * 1.1))
    pieces = [
        replace(block, text=piece) if piece != block.text else block
        for block in section.blocks
        for piece in ([block.text] if block.kind == "row" else sentence_pieces(block.text, room))
    ]
    yield from pack(pieces, room, lambda block: len(block.text) + 1)
