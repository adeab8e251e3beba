"""PDF: text by page with pdfium, tables by pdfplumber on pages with ruling lines, running headers and footers dropped.

A page without text is a scan: recognised where OCR is allowed (`ocr.py`), else named in the notes; a file of nothing
but scans that were not recognised is refused.
"""

import ctypes
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pdfplumber
import pypdfium2
import pypdfium2.raw as pdfium
from pdfplumber.utils.exceptions import PdfminerException

from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.ocr import PageReader
from llm_service.retrieval.loaders.tables import table_rows

MAX_PAGES = 5_000
MAX_TABLE_PAGES = 200
"""pdfplumber takes some 0.3 s a page; beyond this the remaining pages are read as running text and noted."""
MIN_PAGE_CHARACTERS = 20
MIN_RULING_PATHS = 4
EDGE_LINES = 2
MIN_REPEATING_PAGES = 3
REPEATING_SHARE = 0.6
MAX_OBJECTS_LOOKED_AT = 20_000
NEEDS_OCR, POOR_SCAN, RECOGNISED = "page_needs_ocr", "page_poor_scan", "page_by_ocr"
"""Notes on scanned pages, each followed by the page's number."""

FULL_LINE_SHARE = 0.85
SPACED_LINES_SHARE = 0.2
MIN_WRAPPING_WIDTH = 40
"""Columns, a Hangul syllable counting as two: narrower text is a list or a form, not running text."""

_ENDS_SENTENCE = re.compile(r"[.!?:;。](?:[\])」』”\"']|\s)*$")
_OPENS = re.compile(
    r"[①-⑳㉑-㉟㊱-㊿❶-❿•·∙○●◎□■◇◆▶▷◦▪※☞*\-–—○ㅇ]|\(?\d{1,3}[.)](?!\d)|\(?[가-하][.)]|[Ⅰ-Ⅻⅰ-ⅻ]|[QA][.:]"
    r"|제\d+(?:조|장|절|관|편)|부\s?칙|[\[<【]"
)
_PAGE_NUMBER = re.compile(
    r"[-–—\s]*(?:p\.?\s*|page\s*|쪽\s*)?\d{1,4}(?:\s*(?:/|of)\s*\d{1,4})?(?:\s*쪽)?[-–—\s]*", re.IGNORECASE
)
_SPACED_ARTICLE = re.compile(r"제 ?(\d+) ?(조|항|호|장|절)(?: ?의 ?(\d+))?(?=[\s(,.\d]|$)")


@dataclass
class _Page:
    number: int
    blocks: list[Block]
    is_scan: bool
    note: str | None = None


def load(content: bytes) -> LoadedDocument:
    """Blocks of a PDF with their pages.

    Raises `UnreadableDocument`: `password_protected`, `broken_file`, `too_many_pages`, `needs_ocr`, `poor_scan`.
    """
    document = _open(content)
    try:
        if len(document) > MAX_PAGES:
            raise UnreadableDocument("too_many_pages")
        pages, notes = _read_pages(document, content)
    finally:
        document.close()
    if all(page.is_scan for page in pages):
        is_poor = any(page.note == POOR_SCAN for page in pages)
        raise UnreadableDocument("poor_scan" if is_poor else "needs_ocr")
    notes += [f"{page.note}:{page.number}" for page in pages if page.note]
    repeating = _repeating_edges(pages)
    blocks = [block for page in pages for block in unwrapped(list(_without_edges(page.blocks, repeating)))]
    return LoadedDocument("pdf", tuple(blocks), notes=tuple(notes))


def _open(content: bytes) -> Any:
    try:
        return pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        locked = getattr(error, "err_code", None) in {pdfium.FPDF_ERR_PASSWORD, pdfium.FPDF_ERR_SECURITY}
        raise UnreadableDocument("password_protected" if locked else "broken_file") from error


def _read_pages(document: Any, content: bytes) -> tuple[list[_Page], list[str]]:
    pages: list[_Page] = []
    notes: list[str] = []
    plumber: Any = None
    tables = table_pages = 0
    reader = PageReader()
    for index in range(len(document)):
        number = index + 1
        try:
            page = document[index]
        except pypdfium2.PdfiumError:
            notes.append(f"page_unreadable:{number}")
            continue
        text_page = page.get_textpage()
        text = text_page.get_text_range(errors="ignore")
        blocks = [Block("paragraph", line, page=number) for line in _lines(text)]
        if _has_ruling_lines(page):
            table_pages += 1
            if table_pages <= MAX_TABLE_PAGES:
                plumber = plumber or pdfplumber.open(io.BytesIO(content))
                blocks = _blocks_with_tables(plumber, index, page, text_page, tables) or blocks
                tables = max((block.table or 0 for block in blocks), default=0) or tables
        is_scan = sum(len(block.text) for block in blocks) < MIN_PAGE_CHARACTERS and _has_content(page)
        pages.append(_recognised(page, number, reader) if is_scan else _Page(number, blocks, is_scan=False))
        text_page.close()
        page.close()
    if not pages:
        raise UnreadableDocument("broken_file")
    if table_pages > MAX_TABLE_PAGES:
        notes.append(f"tables_as_text_after:{MAX_TABLE_PAGES}")
    return pages, notes


def _recognised(page: Any, number: int, reader: PageReader) -> _Page:
    found = reader.read(page)
    if found is None:
        return _Page(number, [], is_scan=True, note=NEEDS_OCR)
    if not found.is_reliable:
        return _Page(number, [], is_scan=True, note=POOR_SCAN)
    blocks = [Block("paragraph", line, page=number) for line in _lines("\n".join(found.lines))]
    return _Page(number, blocks, is_scan=False, note=RECOGNISED)


def _has_content(page: Any) -> bool:
    # An empty page (the back of a cover) is no scan: there is nothing to recognise on it.
    return any(True for _ in page.get_objects(max_depth=1))


def _has_ruling_lines(page: Any) -> bool:
    paths = 0
    for looked_at, item in enumerate(page.get_objects(max_depth=2)):
        paths += item.type == pdfium.FPDF_PAGEOBJ_PATH
        if paths >= MIN_RULING_PATHS:
            return True
        if looked_at >= MAX_OBJECTS_LOOKED_AT:
            return False
    return False


def _blocks_with_tables(plumber: Any, index: int, page: Any, text_page: Any, tables: int) -> list[Block]:
    """The page in reading order with tables as rows; empty if pdfplumber finds none or cannot read the page."""
    try:
        plumbed = plumber.pages[index]
        found = [(table.bbox, table.extract()) for table in plumbed.find_tables()]
        plumbed.close()
    except (PdfminerException, ValueError, KeyError, IndexError, TypeError, ctypes.ArgumentError):
        return []
    found = [(bbox, rows) for bbox, rows in found if len(rows) > 1 and max(map(len, rows)) > 1]
    if not found:
        return []
    height, width, number = page.get_height(), page.get_width(), index + 1
    blocks: list[Block] = []
    upper = 0.0
    for offset, ((left, top, right, bottom), rows) in enumerate(sorted(found, key=lambda item: item[0][1]), start=1):
        blocks += _strip(text_page, number, 0, height - top, width, height - upper)
        blocks += _strip(text_page, number, 0, height - bottom, left, height - top)
        cells = [[_joined_cell(cell or "") for cell in row] for row in rows]
        blocks += table_rows(cells, tables + offset, page=number)
        blocks += _strip(text_page, number, right, height - bottom, width, height - top)
        upper = max(upper, bottom)
    return blocks + _strip(text_page, number, 0, 0, width, height - upper)


def _strip(text_page: Any, number: int, left: float, bottom: float, right: float, top: float) -> list[Block]:
    if right - left < 1 or top - bottom < 1:
        return []
    text = text_page.get_text_bounded(left=left, bottom=bottom, right=right, top=top, errors="ignore")
    return [Block("paragraph", line, page=number) for line in _lines(text)]


def _joined_cell(cell: str) -> str:
    # A cell wraps within words as well as between them; between two Hangul syllables the break is most often a wrap.
    return " ".join(part.strip() for part in cell.splitlines())


def _lines(text: str) -> Iterator[str]:
    for line in text.replace("￾", "").replace("\x02", "").splitlines():
        cleaned = " ".join(line.split())
        if cleaned:
            # The blank at the end of a line tells that it was wrapped between words; `unwrapped` needs it.
            yield _SPACED_ARTICLE.sub(_close_up, cleaned) + (" " if line[-1:].isspace() else "")


def _close_up(match: re.Match[str]) -> str:
    # pdfium separates "제 1 조" where the digits are of another font.
    return f"제{match[1]}{match[2]}" + (f"의{match[3]}" if match[3] else "")


def _repeating_edges(pages: Sequence[_Page]) -> set[str]:
    counts: Counter[str] = Counter()
    for page in pages:
        edges = page.blocks[:EDGE_LINES] + page.blocks[-EDGE_LINES:]
        counts.update({_edge_key(block.text) for block in edges if block.kind == "paragraph"})
    needed = max(MIN_REPEATING_PAGES, round(REPEATING_SHARE * len(pages)))
    return {key for key, count in counts.items() if count >= needed}


def _without_edges(blocks: list[Block], repeating: set[str]) -> Iterator[Block]:
    last = len(blocks) - 1
    for position, block in enumerate(blocks):
        at_edge = position < EDGE_LINES or position > last - EDGE_LINES
        furniture = _edge_key(block.text) in repeating or (
            position in {0, last} and _PAGE_NUMBER.fullmatch(block.text.strip()) is not None
        )
        if not (at_edge and furniture and block.kind == "paragraph"):
            yield block


def _edge_key(line: str) -> str:
    return re.sub(r"\d+", "#", line.strip())


def unwrapped(lines: list[Block]) -> list[Block]:
    """The lines of a page with wrapped ones joined to the paragraphs they were.

    A line is wrapped if it is about as wide as the page's widest, ends no sentence, and the next one opens nothing.
    Korean is wrapped within words by some programs and between words by others: where full lines of a page end in
    blanks, a line without one was cut within a word.
    """
    widest = max((_width(line.text) for line in lines if line.kind == "paragraph"), default=0)
    is_full = [line.kind == "paragraph" and _width(line.text) >= FULL_LINE_SHARE * widest for line in lines]
    spaced = sum(full and line.text.endswith(" ") for full, line in zip(is_full, lines, strict=True))
    keeps_blanks = spaced >= SPACED_LINES_SHARE * max(sum(is_full), 1)
    joined: list[Block] = []
    continues = False
    for line, full in zip(lines, is_full, strict=True):
        text = line.text
        if continues and line.kind == "paragraph" and not _OPENS.match(text):
            before = joined.pop().text
            glue = "" if keeps_blanks or before.endswith(" ") else " "
            text = f"{before}{glue}{text}"
        joined.append(replace(line, text=text))
        continues = full and widest >= MIN_WRAPPING_WIDTH and not _ENDS_SENTENCE.search(text)
    return [replace(line, text=line.text.strip()) for line in joined]


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text.rstrip())
