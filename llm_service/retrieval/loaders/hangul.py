"""Hancom Office: HWPX and HWP 5, read by python-hwpx into one model; headings by outline style, tables in order.

Page numbers are made when the program lays a document out; the file has none.
"""

import warnings
import zipfile
from collections.abc import Iterator
from itertools import count
from typing import Any

from hwpx import Hwp5ConversionWarning, Hwp5Error, HwpxDocument, HwpxError
from lxml import etree

from llm_service.retrieval.loaders.archive import COMPOUND_FILE_MAGIC, check_archive
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.tables import table_rows

MAX_TABLE_DEPTH = 8
_OUTLINE_STYLES = ("개요", "outline", "heading")
_ENCRYPTION_WORDS = ("encrypt", "password", "distribution", "drm")


def load(content: bytes) -> LoadedDocument:
    """Blocks of an HWPX or HWP file. Raises `UnreadableDocument`: `password_protected`, `broken_file`,
    `nesting_too_deep` and what `check_archive` raises.

    An HWP file for distribution only (배포용 문서) counts as protected.
    """
    is_binary = content.startswith(COMPOUND_FILE_MAGIC)
    if not is_binary:
        check_archive(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Hwp5ConversionWarning)
            document = HwpxDocument.open(content)
    except (HwpxError, zipfile.BadZipFile, etree.LxmlError, ValueError, KeyError) as error:
        raise UnreadableDocument(_code_of(error)) from error
    blocks = tuple(_Reader(document).blocks())
    title = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), None)
    report = document.conversion_report
    skipped = sorted(report.unconverted.items()) if report else []
    document.close()
    return LoadedDocument(
        "hwp" if is_binary else "hwpx",
        blocks,
        title,
        notes=tuple(f"not_read:{kind}:{times}" for kind, times in skipped),
    )


def _code_of(error: Exception) -> Any:
    told = f"{getattr(error, 'code', '')} {error}".lower()
    locked = isinstance(error, HwpxError | Hwp5Error) and any(word in told for word in _ENCRYPTION_WORDS)
    return "password_protected" if locked else "broken_file"


class _Reader:
    """Paragraphs of one document in order, each table where its paragraph stands."""

    def __init__(self, document: Any) -> None:
        self._document = document
        self._tables = count(1)
        self._levels: dict[str, int] = {}

    def blocks(self) -> Iterator[Block]:
        for paragraph in self._document.paragraphs:
            yield from self._paragraph(paragraph, 0)

    def _paragraph(self, paragraph: Any, depth: int) -> Iterator[Block]:
        if depth > MAX_TABLE_DEPTH:
            raise UnreadableDocument("nesting_too_deep")
        text = str(paragraph.text or "").strip()
        level = self._level(str(paragraph.style_id_ref))
        if text and level and "\n" not in text:
            yield Block("heading", " ".join(text.split()), level=level)
        elif text:
            yield from (Block("paragraph", line.strip()) for line in text.splitlines() if line.strip())
        for table in paragraph.tables:
            yield from self._table(table, depth)

    def _table(self, table: Any, depth: int) -> Iterator[Block]:
        rows = [list(row.cells) for row in table.rows]
        if all(len(row) == 1 for row in rows):
            # A one-cell table is a frame around text; Korean office documents are full of them.
            for row in rows:
                for paragraph in row[0].paragraphs:
                    yield from self._paragraph(paragraph, depth + 1)
            return
        yield from table_rows([[str(cell.text or "") for cell in row] for row in rows], next(self._tables))
        for row in rows:
            for cell in row:
                for inner in cell.tables:
                    if depth + 1 > MAX_TABLE_DEPTH:
                        raise UnreadableDocument("nesting_too_deep")
                    yield from self._table(inner, depth + 1)

    def _level(self, style_id: str) -> int:
        """1 for the style 개요 1 and so on; 0 for a style that is no outline."""
        if style_id not in self._levels:
            style = self._document.styles.get(style_id)
            name = str(getattr(style, "name", "") or "").strip().lower()
            digits = "".join(filter(str.isdigit, name))
            outlined = name.startswith(_OUTLINE_STYLES) and 0 < len(digits) < 3
            self._levels[style_id] = int(digits) if outlined else 0
        return self._levels[style_id]
