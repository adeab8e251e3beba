"""PPTX: a slide is a section; titles, text, tables and speaker's notes in the order of the slides."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

from pptx import Presentation
from pptx.exc import PackageNotFoundError

from llm_service.retrieval.loaders.archive import check_archive
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.tables import table_rows

MAX_GROUP_DEPTH = 16


def load(content: bytes) -> LoadedDocument:
    """Blocks of a PPTX. Raises `UnreadableDocument`: `broken_file`, `nesting_too_deep`, and what `check_archive`
    raises."""
    check_archive(content)
    try:
        presentation = Presentation(io.BytesIO(content))
        slides = list(presentation.slides)
    except (PackageNotFoundError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise UnreadableDocument("broken_file") from error
    tables = count(1)
    blocks = [block for number, slide in enumerate(slides, start=1) for block in _slide(slide, number, tables)]
    title = next((block.text for block in blocks if block.kind == "heading"), None)
    return LoadedDocument("pptx", tuple(blocks), title)


def _slide(slide: Any, number: int, tables: Iterator[int]) -> Iterator[Block]:
    title = slide.shapes.title
    if title is not None and title.text_frame.text.strip():
        yield Block("heading", " ".join(title.text_frame.text.split()), level=1, slide=number)
    others = [shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id]
    yield from _shapes(others, number, tables, 0)
    if slide.has_notes_slide and slide.notes_slide.notes_text_frame is not None:
        yield from _lines(slide.notes_slide.notes_text_frame.text, number)


def _shapes(shapes: Iterable[Any], number: int, tables: Iterator[int], depth: int) -> Iterator[Block]:
    if depth > MAX_GROUP_DEPTH:
        raise UnreadableDocument("nesting_too_deep")
    for shape in shapes:
        if hasattr(shape, "shapes"):
            yield from _shapes(shape.shapes, number, tables, depth + 1)
        elif getattr(shape, "has_table", False):
            rows = [[cell.text for cell in row.cells if not cell.is_spanned] for row in shape.table.rows]
            yield from table_rows(rows, next(tables), slide=number)
        elif shape.has_text_frame:
            yield from _lines(shape.text_frame.text, number)


def _lines(text: str, number: int) -> Iterator[Block]:
    for line in text.replace("\v", "\n").splitlines():
        if line.strip():
            yield Block("paragraph", line.strip(), slide=number)
