"""Reads a scanned page with Tesseract, inside the parsing process and under its limits; nothing of a page is written.

The page goes to the program through a pipe: Tesseract's usual wrappers write it to a temporary file, which would stay
behind if the process is killed. Knows PDF pages only as something to render.
"""

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LANGUAGES: Final = ("kor", "eng")
PROGRAM: Final = "tesseract"
ALLOWED_VARIABLE: Final = "HAECHI_PARSER_OCR"
"""Set in the parsing process by its parent, where the settings allow OCR."""
DOTS_PER_INCH: Final = 300
MAX_PIXELS: Final = 30_000_000
"""A page of A4 has 8.7 million at 300 dots an inch; larger ones are rendered coarser."""
PAGE_FORM: Final = "6"
"""One block of text, line after line: with columns found by itself (3), Tesseract 5.3 tore pages of few lines apart."""
PAGE_SECONDS: Final = 30.0
DOCUMENT_SECONDS: Final = 600.0
LEAST_CONFIDENCE: Final = 60.0
"""Mean confidence of a page's words (Tesseract's own, 0 to 100) below which its text is not used: a wrong digit in a
bank's document is worse than a page that is known to be missing."""
_WORD_LEVEL: Final = "5"


@dataclass(frozen=True)
class RecognisedPage:
    """Lines of a page from top to bottom, and the mean confidence of its words by their length."""

    lines: tuple[str, ...]
    confidence: float

    @property
    def is_reliable(self) -> bool:
        return bool(self.lines) and self.confidence >= LEAST_CONFIDENCE


class PageReader:
    """Recognises pages of one document until its time is up; where OCR is not allowed or not there, none."""

    def __init__(self) -> None:
        self._program = shutil.which(PROGRAM) if os.environ.get(ALLOWED_VARIABLE) else None
        self._deadline = time.monotonic() + DOCUMENT_SECONDS

    def read(self, page: Any) -> RecognisedPage | None:
        """The text of a pdfium page; None if it was not recognised: not allowed, no program, no time, a failure."""
        seconds = min(PAGE_SECONDS, self._deadline - time.monotonic())
        if self._program is None or seconds <= 0:
            return None
        form = ["--psm", PAGE_FORM, "--dpi", str(DOTS_PER_INCH)]
        command = [self._program, "stdin", "stdout", "-l", "+".join(LANGUAGES), *form, "tsv"]
        try:
            done = subprocess.run(command, input=_image(page), capture_output=True, timeout=seconds, check=True)
        except (subprocess.SubprocessError, OSError):
            return None
        return recognised(done.stdout.decode(errors="replace"))


def missing_parts() -> tuple[str, ...]:
    """What OCR needs and this machine lacks: the program, or languages of it."""
    program = shutil.which(PROGRAM)
    if program is None:
        return (PROGRAM,)
    try:
        listed = subprocess.run([program, "--list-langs"], capture_output=True, timeout=PAGE_SECONDS, check=True)
    except (subprocess.SubprocessError, OSError):
        return (PROGRAM,)
    known = listed.stdout.decode(errors="replace").split()
    return tuple(language for language in LANGUAGES if language not in known)


def recognised(table: str) -> RecognisedPage:
    """Tesseract's TSV (level, page, block, paragraph, line, word, left, top, width, height, confidence, text) as
    lines."""
    words: dict[tuple[str, ...], list[str]] = {}
    weighed = characters = 0.0
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) != 12 or cells[0] != _WORD_LEVEL or not cells[11].strip():
            continue
        words.setdefault(tuple(cells[1:5]), []).append(cells[11].strip())
        weighed += float(cells[10]) * len(cells[11])
        characters += len(cells[11])
    lines = tuple(" ".join(line) for line in words.values())
    return RecognisedPage(lines, weighed / characters if characters else 0.0)


def _image(page: Any) -> bytes:
    """The page in shades of grey as a PGM image (Netpbm), which needs no library to write."""
    width, height = page.get_size()
    scale = DOTS_PER_INCH / 72
    scale = min(scale, (MAX_PIXELS / max(width * height, 1)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        pixels: NDArray[np.uint8] = bitmap.to_numpy()
        rows, columns = pixels.shape[:2]
        return b"P5 %d %d 255\n" % (columns, rows) + pixels.reshape(rows, columns, -1)[:, :, 0].tobytes()
    finally:
        bitmap.close()
