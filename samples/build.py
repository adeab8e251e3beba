"""Builds the sample PDF and DOCX from their Markdown sources beside this file; knows nothing of the platform.

Run `python samples/build.py` after a change of a source. It needs reportlab, python-docx and the NanumGothic fonts
(Debian: `fonts-nanum`); what it makes is committed, so that nobody else needs them.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from xml.sax.saxutils import escape

import docx
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Flowable, Frame, PageTemplate, Paragraph, Spacer, Table, TableStyle

SAMPLES = Path(__file__).parent
FONT_FOLDER = Path("/usr/share/fonts/truetype/nanum")
FONTS = {"Nanum": "NanumGothic.ttf", "NanumBold": "NanumGothicBold.ttf"}
MARGIN_MM = 22
BODY_POINTS = 10.5
WRITTEN_ON = datetime(2026, 8, 17, tzinfo=UTC)

Kind = Literal["heading", "paragraph", "bullet", "table"]


@dataclass(frozen=True)
class Block:
    """One piece of a source: a heading with its level, a paragraph, a bullet, or a table with its rows of cells."""

    kind: Kind
    text: str = ""
    level: int = 0
    rows: tuple[tuple[str, ...], ...] = ()


def blocks(source: Path) -> Iterator[Block]:
    """Reads the part of Markdown the sources use: `#` headings, `-` bullets, `|` tables (first row = head), text."""
    rows: list[tuple[str, ...]] = []
    for line in [*source.read_text(encoding="utf-8").splitlines(), ""]:
        if line.startswith("|"):
            rows.append(tuple(cell.strip() for cell in line.strip("|").split("|")))
            continue
        if rows:
            yield Block("table", rows=tuple(rows))
            rows = []
        if line.startswith("#"):
            marks, _, text = line.partition(" ")
            yield Block("heading", text, level=len(marks))
        elif line.startswith("- "):
            yield Block("bullet", line[2:])
        elif line.strip():
            yield Block("paragraph", line)


def build_pdf(source: Path, target: Path) -> None:
    """Writes an A4 PDF with the document's title on top of each page and "page / pages" below it."""
    for name, file in FONTS.items():
        pdfmetrics.registerFont(TTFont(name, str(FONT_FOLDER / file)))
    parts = list(blocks(source))
    title = parts[0].text
    pages = _pages_of(parts, title, None)
    _pages_of(parts, title, (target, pages))


def _pages_of(parts: list[Block], title: str, written: tuple[Path, int] | None) -> int:
    """Lays the document out and answers its number of pages; without `written` (file, pages) it is thrown away."""
    sink = str(written[0]) if written else io.BytesIO()
    total = written[1] if written else 0

    def furniture(canvas: Canvas, template: BaseDocTemplate) -> None:
        canvas.setFont("Nanum", 8)
        canvas.drawString(MARGIN_MM * mm, A4[1] - 14 * mm, title)
        canvas.drawCentredString(A4[0] / 2, 12 * mm, f"{template.page} / {total}")

    margin = MARGIN_MM * mm
    document = BaseDocTemplate(sink, pagesize=A4, title=title, author="해치은행", lang="ko", invariant=1)
    frame = Frame(margin, margin, A4[0] - 2 * margin, A4[1] - 2 * margin)
    document.addPageTemplates([PageTemplate(frames=[frame], onPage=furniture)])
    document.build(list(_flowables(parts, A4[0] - 2 * margin)))
    return int(document.page)


def _flowables(parts: list[Block], width: float) -> Iterator[Flowable]:
    body = ParagraphStyle("body", fontName="Nanum", fontSize=BODY_POINTS, leading=17, spaceAfter=5)
    cell = ParagraphStyle("cell", parent=body, fontSize=9.5, leading=14, spaceAfter=0)
    bullet = ParagraphStyle("bullet", parent=body, leftIndent=12, bulletIndent=2)
    for part in parts:
        if part.kind == "heading":
            size = {1: 20, 2: 14, 3: 11.5}[part.level]
            yield Paragraph(
                escape(part.text),
                ParagraphStyle(
                    "heading", parent=body, fontName="NanumBold", fontSize=size, leading=size * 1.5, spaceBefore=8
                ),
            )
        elif part.kind == "table":
            columns = len(part.rows[0])
            grid = [[Paragraph(escape(text), cell) for text in row] for row in part.rows]
            style = TableStyle(
                [("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("BACKGROUND", (0, 0), (-1, 0), colors.whitesmoke)]
            )
            yield Table(grid, colWidths=[width / columns] * columns, style=style, repeatRows=1)
            yield Spacer(1, 8)
        else:
            mark = "•" if part.kind == "bullet" else None
            yield Paragraph(escape(part.text), bullet if mark else body, bulletText=mark)


def build_docx(source: Path, target: Path) -> None:
    """Writes a DOCX with real heading styles and tables, and fixed dates in its properties."""
    document = docx.Document()
    document.core_properties.title = next(blocks(source)).text
    document.core_properties.author = "해치은행"
    document.core_properties.created = document.core_properties.modified = WRITTEN_ON
    for part in blocks(source):
        if part.kind == "heading":
            document.add_heading(part.text, level=part.level)
        elif part.kind == "table":
            table = document.add_table(rows=0, cols=len(part.rows[0]), style="Table Grid")
            for row in part.rows:
                for target_cell, text in zip(table.add_row().cells, row, strict=True):
                    target_cell.text = text
        else:
            document.add_paragraph(part.text, style="List Bullet" if part.kind == "bullet" else None)
    document.save(str(target))


if __name__ == "__main__":
    build_pdf(SAMPLES / "sources/전자금융_이용안내.md", SAMPLES / "public/전자금융_이용안내.pdf")
    build_docx(SAMPLES / "sources/여신상담_업무절차.md", SAMPLES / "staff/여신상담_업무절차.docx")
