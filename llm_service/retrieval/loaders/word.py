"""DOCX: headings by style, paragraphs and tables in the order of the document. Page numbers do not exist in the
file."""

import io
import re
from collections.abc import Iterator
from typing import Any

import docx
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table
from docx.text.paragraph import Paragraph

from llm_service.retrieval.loaders.archive import check_archive
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.tables import table_rows

MAX_TABLE_DEPTH = 8
_HEADING_STYLE = re.compile(r"(?:heading|제목|개요)\s*(\d)", re.IGNORECASE)


def load(content: bytes) -> LoadedDocument:
    """Blocks of a DOCX. Raises `UnreadableDocument`: `password_protected`, `broken_file`, and what `check_archive`
    raises."""
    check_archive(content)
    try:
        document = docx.Document(io.BytesIO(content))
    except (PackageNotFoundError, KeyError, ValueError) as error:
        raise UnreadableDocument("broken_file") from error
    numbering = iter(range(1, 1_000_000))
    blocks = tuple(_blocks(document, numbering, 0))
    title = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), None)
    titled = next((item.text.strip() for item in document.paragraphs if _style_name(item).lower() == "title"), None)
    return LoadedDocument("docx", blocks, titled or title)


def _blocks(container: Any, numbering: Iterator[int], depth: int) -> Iterator[Block]:
    if depth > MAX_TABLE_DEPTH:
        raise UnreadableDocument("nesting_too_deep")
    for item in container.iter_inner_content():
        if isinstance(item, Paragraph):
            yield from _paragraph(item)
        elif isinstance(item, Table):
            yield from _table(item, numbering, depth)


def _paragraph(paragraph: Paragraph) -> Iterator[Block]:
    text = paragraph.text.strip()
    if not text:
        return
    style = _style_name(paragraph)
    heading = _HEADING_STYLE.match(style)
    if heading or style.lower() == "title":
        yield Block("heading", " ".join(text.split()), level=int(heading[1]) + 1 if heading else 1)
    else:
        yield from (Block("paragraph", line.strip()) for line in text.splitlines() if line.strip())


def _style_name(paragraph: Paragraph) -> str:
    return (paragraph.style.name if paragraph.style is not None else None) or ""


def _table(table: Table, numbering: Iterator[int], depth: int) -> Iterator[Block]:
    number = next(numbering)
    rows: list[list[str]] = []
    nested: list[Block] = []
    for row in table.rows:
        cells: list[str] = []
        seen: set[Any] = set()
        for cell in row.cells:
            if cell._tc in seen:  # a merged cell is listed once for each column it spans
                continue
            seen.add(cell._tc)
            cells.append(cell.text.strip())
            for inner in cell.tables:
                if depth + 1 > MAX_TABLE_DEPTH:
                    raise UnreadableDocument("nesting_too_deep")
                nested += _table(inner, numbering, depth + 1)
        rows.append(cells)
    if rows and all(len(row) == 1 for row in rows):
        # A one-cell table is a frame around text, common in Korean office documents.
        yield from (Block("paragraph", line.strip()) for row in rows for line in row[0].splitlines() if line.strip())
    else:
        yield from table_rows(rows, number)
    yield from nested
