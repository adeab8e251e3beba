"""XLSX: visible sheets as rows, values as a person sees them, row numbers as the program shows them."""

import io
import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

from llm_service.retrieval.loaders.archive import check_archive
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.delimited import find_question_columns, row_blocks
from llm_service.retrieval.loaders.tables import is_heading_row

MAX_ROWS = 200_000
MAX_COLUMNS = 500
LOOKED_AT_ROWS = 20

Rows = list[tuple[int, list[str]]]


def load(content: bytes) -> LoadedDocument:
    """Blocks of an XLSX. Raises `UnreadableDocument`: `too_much_text`, `broken_file` and what `check_archive` raises.

    Formulas give the value that was stored with them; hidden sheets are left out and noted, since their reader cannot
    open them.
    """
    check_archive(content)
    try:
        workbook = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, TypeError) as error:
        raise UnreadableDocument("broken_file") from error
    blocks: list[Block] = []
    notes: list[str] = []
    questions = False
    for position, sheet in enumerate(workbook.worksheets, start=1):
        if sheet.sheet_state != "visible":
            notes.append(f"sheet_hidden:{position}")
            continue
        rows = _rows(sheet)
        questions = questions or (bool(rows) and find_question_columns(rows[0][1]) is not None)
        blocks += _sheet_blocks(rows, str(sheet.title))
    workbook.close()
    return LoadedDocument("qa" if questions else "xlsx", tuple(blocks), notes=tuple(notes))


def _rows(sheet: Any) -> Rows:
    # The stored dimension is whatever the writer said; a false one makes rows appear that nobody wrote.
    sheet.reset_dimensions()
    rows: Rows = []
    for number, cells in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS), start=1):
        values = [_shown(cell) for cell in cells]
        if any(values):
            rows.append((number, values))
        if len(rows) > MAX_ROWS:
            raise UnreadableDocument("too_much_text")
    return rows


def _sheet_blocks(rows: Rows, sheet: str) -> Iterator[Block]:
    """A title above the table stays a paragraph; the first row of several names begins the table."""
    start = next(
        (
            position
            for position, (_, row) in enumerate(rows[:LOOKED_AT_ROWS])
            if is_heading_row([cell for cell in row if cell] or [""])
        ),
        0,
    )
    for number, row in rows[:start]:
        yield Block("paragraph", " | ".join(filter(None, row)), sheet=sheet, row=number)
    yield from row_blocks(rows[start:], sheet)


def _shown(cell: Any) -> str:
    """A value as the sheet shows it: percentages, thousands, dates."""
    value, style = cell.value, str(getattr(cell, "number_format", "") or "")
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, style)
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time(0) else value.isoformat(" ", "minutes")
    if isinstance(value, date | time):
        return value.isoformat()
    return str(value).strip()


def _number(value: float, style: str) -> str:
    if "%" in style:
        decimals = style.partition("%")[0].partition(".")[2]
        return f"{value * 100:.{len(decimals)}f}%"
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return f"{whole:,}" if "#,#" in style else f"{whole}"
