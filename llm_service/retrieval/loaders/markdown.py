"""Markdown, line by line: front matter, headings, tables, lists; inline marks are removed, every line of text is kept.

A full Markdown parser is not used on purpose: the statutes' indented items (호, 목) are code blocks and loose lists to
it, and their lines would be joined or escaped. What the headings mean (장, 조) is decided in `chunking.py`.
"""

import re
from collections.abc import Iterator

import yaml

from llm_service.retrieval.loaders.content import Block, LoadedDocument
from llm_service.retrieval.loaders.tables import table_rows
from llm_service.retrieval.loaders.text import decode

MAX_FRONT_MATTER_CHARACTERS = 20_000
MAX_PROPERTY_CHARACTERS = 500

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)[ \t]*#*\s*")
_FENCE = re.compile(r"\s*(?:`{3,}[^`]*|~{3,}.*)")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(\|\s*:?-{2,}:?\s*)*\|?\s*")
_THEMATIC_BREAK = re.compile(r"\s*([-*_])(\s*\1){2,}\s*")
_ESCAPE = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|<>~])")
# Bounded, so that a line of nothing but marks stays cheap.
_EMPHASIS = re.compile(r"(\*\*\*|\*\*|__)(?=\S)(.{1,500}?)(?<=\S)\1")
_LINK = re.compile(r"!?\[([^\[\]]*)\]\((?:[^()\s]|\([^()\s]{0,500}\)){0,2000}(?:\s+\"[^\"]*\")?\)")
_CODE = re.compile(r"`([^`]+)`")


def load(content: bytes) -> LoadedDocument:
    """Blocks of a Markdown file; the first level-1 heading is its title unless the front matter names one."""
    properties, body = split_front_matter(decode(content))
    blocks = tuple(_blocks(body.splitlines()))
    first = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), None)
    return LoadedDocument("markdown", blocks, properties.get("제목") or properties.get("title") or first, properties)


def split_front_matter(text: str) -> tuple[dict[str, str], str]:
    """The scalars of a YAML front matter, and the text after it; without a readable one, nothing and the whole text."""
    if not text.startswith("---\n") and not text.startswith("---\r\n"):
        return {}, text
    end = re.search(r"^(---|\.\.\.)[ \t]*\r?$", text[4:MAX_FRONT_MATTER_CHARACTERS], re.MULTILINE)
    if end is None:
        return {}, text
    try:
        fields = yaml.safe_load(text[4 : 4 + end.start()])
    except (yaml.YAMLError, ValueError):  # ValueError: an impossible date such as 2026-13-01
        return {}, text
    if not isinstance(fields, dict):
        return {}, text
    scalars = {
        str(name): str(value)[:MAX_PROPERTY_CHARACTERS]
        for name, value in fields.items()
        if value is not None and not isinstance(value, list | dict | tuple | set)
    }
    return scalars, text[4 + end.end() :]


def _blocks(lines: list[str]) -> Iterator[Block]:
    table_number, position, fenced = 0, 0, False
    while position < len(lines):
        line = lines[position]
        position += 1
        if _FENCE.fullmatch(line):
            fenced = not fenced
        elif fenced:
            if line.strip():
                yield Block("paragraph", line.rstrip())
        elif heading := _HEADING.fullmatch(line):
            if heading[2]:
                yield Block("heading", plain(heading[2]), level=len(heading[1]))
        elif _starts_table(lines, position - 1):
            end = position
            while end < len(lines) and "|" in lines[end]:
                end += 1
            table_number += 1
            rows = [line, *lines[position + 1 : end]]
            yield from table_rows([split_cells(row) for row in rows], table_number)
            position = end
        elif line.strip() and not _THEMATIC_BREAK.fullmatch(line):
            yield Block("paragraph", plain(line.rstrip()))


def _starts_table(lines: list[str], position: int) -> bool:
    following = lines[position + 1] if position + 1 < len(lines) else ""
    return "|" in lines[position] and "|" in following and _TABLE_RULE.fullmatch(following) is not None


def split_cells(row: str) -> list[str]:
    """The cells of a Markdown table row; an escaped bar belongs to its cell."""
    cells = re.split(r"(?<!\\)\|", row.strip().removeprefix("|"))
    if cells and not cells[-1].strip():
        cells.pop()
    return [plain(cell.strip()) for cell in cells]


def plain(line: str) -> str:
    """A line without inline marks: emphasis, links (their text stays), code ticks, escapes."""
    line = _LINK.sub(r"\1", line)
    line = _EMPHASIS.sub(r"\2", line)
    return _ESCAPE.sub(r"\1", _CODE.sub(r"\1", line))
