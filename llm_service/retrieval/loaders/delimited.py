"""CSV and TSV: a question/answer table becomes questions with their answers, any other table rows of named values."""

import csv
import io
from collections.abc import Iterator, Sequence

from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.tables import is_heading_row, named_cells
from llm_service.retrieval.loaders.text import decode

QUESTION_COLUMNS = {"질문", "문의", "문의내용", "question", "questions", "q"}
ANSWER_COLUMNS = {"답변", "답", "응답", "답변내용", "answer", "answers", "a"}
MAX_CELL_CHARACTERS = 1_000_000
SNIFFED_CHARACTERS = 16_384


def load(content: bytes) -> LoadedDocument:
    """Blocks of a delimited file. Raises `UnreadableDocument` with `empty_file` if it has no data rows."""
    text = decode(content)
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    try:
        numbered = _numbered_rows(text, _delimiter(text))
    except csv.Error as error:
        raise UnreadableDocument("broken_file") from error
    blocks = tuple(row_blocks(numbered))
    if not blocks:
        raise UnreadableDocument("empty_file")
    columns = find_question_columns(numbered[0][1])
    return LoadedDocument("qa" if columns else "csv", blocks)


def row_blocks(numbered: Sequence[tuple[int, list[str]]], sheet: str | None = None) -> Iterator[Block]:
    """Blocks of the rows of one sheet, given with their row numbers as a spreadsheet shows them."""
    if not numbered:
        return
    names = numbered[0][1]
    columns = find_question_columns(names)
    if columns:
        yield from _questions(numbered[1:], names, columns, sheet)
        return
    headed = len(numbered) > 1 and is_heading_row([name for name in names if name] or [""])
    for number, row in numbered[1:] if headed else numbered:
        text = " | ".join(_named_values(names, row) if headed else filter(None, row))
        if text:
            yield Block("row", text, sheet=sheet, row=number, table=1, columns=None)


def find_question_columns(names: Sequence[str]) -> tuple[int, int] | None:
    """Positions of the question and answer columns, or None if this is another kind of table."""
    lowered = ["".join(name.lower().split()) for name in names]
    question = next((index for index, name in enumerate(lowered) if name in QUESTION_COLUMNS), None)
    answer = next((index for index, name in enumerate(lowered) if name in ANSWER_COLUMNS), None)
    return None if question is None or answer is None else (question, answer)


def _questions(
    numbered: Sequence[tuple[int, list[str]]], names: list[str], columns: tuple[int, int], sheet: str | None
) -> Iterator[Block]:
    question_column, answer_column = columns
    for number, row in numbered:
        padded = row + [""] * (len(names) - len(row))
        question, answer = padded[question_column], padded[answer_column]
        if not question or not answer:
            continue
        yield Block("question", question, sheet=sheet, row=number)
        yield from (
            Block("paragraph", line.strip(), sheet=sheet, row=number) for line in answer.splitlines() if line.strip()
        )
        others = [index for index in range(len(padded)) if index not in columns and padded[index]]
        if others:
            text = named_cells(
                ["", *(names[i] if i < len(names) else "" for i in others)], ["", *(padded[i] for i in others)]
            )
            yield Block("paragraph", text, sheet=sheet, row=number)


def _named_values(names: Sequence[str], row: Sequence[str]) -> Iterator[str]:
    for index, cell in enumerate(row):
        if cell:
            yield f"{names[index]}: {cell}" if index < len(names) and names[index] else cell


def _numbered_rows(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    stripped = ((number, [cell.strip() for cell in row]) for number, row in enumerate(rows, start=1))
    return [(number, row) for number, row in stripped if any(row)]


def _delimiter(text: str) -> str:
    head = text[:SNIFFED_CHARACTERS].split("\n", 1)[0]
    return max((",", "\t", ";", "|"), key=head.count)
