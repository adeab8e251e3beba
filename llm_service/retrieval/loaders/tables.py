"""Turns the cells of a table into rows a person can read alone: each value keeps the name of its column.

Knows no format. A two-column table reads `key: value`; a wider one `key | column: value | …`.
"""

import re
from collections.abc import Iterator, Sequence

from llm_service.retrieval.loaders.content import Block

MAX_COLUMN_NAME_CHARACTERS = 40
_NUMBER = re.compile(r"[\d.,%~\-+()원₩$\s]+")


def table_rows(
    cells: Sequence[Sequence[str]], table: int, page: int | None = None, slide: int | None = None
) -> Iterator[Block]:
    """The rows of one table as blocks; the heading row, if there is one, comes first and stands on each row as
    `columns`."""
    rows = [[" ".join(cell.split()) for cell in row] for row in cells]
    rows = [row for row in rows if any(row)]
    if not rows:
        return
    names = rows[0] if len(rows) > 1 and is_heading_row(rows[0]) else None
    columns = " | ".join(names) if names else None
    for number, row in enumerate(rows, start=1):
        text = " | ".join(filter(None, row)) if names is None or row is names else named_cells(names, row)
        yield Block("row", text, page=page, slide=slide, row=number, table=table, columns=columns)


def is_heading_row(row: Sequence[str]) -> bool:
    """True if every cell is a short name and none is a mere number."""
    return len(row) > 1 and all(
        0 < len(cell) <= MAX_COLUMN_NAME_CHARACTERS and not _NUMBER.fullmatch(cell) for cell in row
    )


def named_cells(names: Sequence[str], row: Sequence[str]) -> str:
    """One row in words; cells beyond the named columns are kept as they are."""
    if len(names) == 2 and len(row) == 2 and all(row):
        return f"{row[0]}: {row[1]}"
    named = [
        f"{names[index]}: {cell}" if 0 < index < len(names) and names[index] else cell
        for index, cell in enumerate(row)
        if cell
    ]
    return " | ".join(named)
