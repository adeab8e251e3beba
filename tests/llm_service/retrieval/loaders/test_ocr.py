"""Scanned pages are read by a real Tesseract where that is allowed, cited by page, and not trusted where unsure."""

import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from llm_service.retrieval.chunking import draft_passages
from llm_service.retrieval.loaders import ocr
from llm_service.retrieval.loaders.content import UnreadableDocument
from llm_service.retrieval.loaders.isolation import IsolatedParser

FONTS = sorted(Path("/usr/share/fonts").rglob("NanumGothic.ttf")) + sorted(
    Path("/usr/share/fonts").rglob("NotoSansCJK-Regular.ttc")
)
A4_AT_200_DPI = (1654, 2339)
FIRST = ("해치 든든정기예금 안내", "가입 금액은 최소 100만원입니다.", "만기 전에 해지하면 중도해지이율을 적용합니다.")
SECOND = ("이자는 만기에 한 번에 지급합니다.", "예금자 보호 한도는 1억원입니다.")


@pytest.fixture(scope="module", autouse=True)
def _program() -> None:
    if missing := ocr.missing_parts():
        pytest.skip(f"missing for OCR: {', '.join(missing)}; apt-get install tesseract-ocr tesseract-ocr-kor")
    if not FONTS:
        pytest.skip("no Korean font: apt-get install fonts-nanum")


@pytest.fixture(scope="module")
def reading(_program: None) -> Iterator[IsolatedParser]:
    with IsolatedParser(ocr=True) as opened:
        yield opened


def page_of(lines: Sequence[str], blurred: bool = False) -> Image.Image:
    """A page as a scanner sees it: nothing but an image."""
    image = Image.new("L", A4_AT_200_DPI, 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(str(FONTS[0]), 44)
    for number, line in enumerate(lines):
        draw.text((150, 200 + 110 * number), line, font=font, fill=0)
    return image.filter(ImageFilter.GaussianBlur(11)) if blurred else image


def scan_of(*pages: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pages[0].save(buffer, "PDF", resolution=200, save_all=True, append_images=list(pages[1:]))
    return buffer.getvalue()


def squeezed(text: str) -> str:
    return "".join(text.split())


def test_korean_scans_are_read_and_cited_by_page(reading: IsolatedParser) -> None:
    document = reading.parse("scan.pdf", scan_of(page_of(FIRST), page_of(SECOND)))
    assert document.notes == ("page_by_ocr:1", "page_by_ocr:2")
    by_page = {
        number: squeezed("".join(block.text for block in document.blocks if block.page == number)) for number in (1, 2)
    }
    assert squeezed("최소 100만원") in by_page[1]
    assert squeezed("중도해지이율을 적용") in by_page[1]
    assert squeezed("1억원입니다") in by_page[2]
    labels = [draft.label for draft in draft_passages(document, "안내", None)]
    assert [label.endswith(f"p. {number}") for number, label in enumerate(labels, start=1)] == [True, True]


def test_a_page_that_was_read_with_poor_confidence_is_left_out_and_noted(reading: IsolatedParser) -> None:
    document = reading.parse("scan.pdf", scan_of(page_of(FIRST), page_of(SECOND, blurred=True)))
    assert document.notes == ("page_by_ocr:1", "page_poor_scan:2")
    assert {block.page for block in document.blocks} == {1}


def test_a_document_of_nothing_but_poor_scans_is_refused_as_such(reading: IsolatedParser) -> None:
    with pytest.raises(UnreadableDocument) as refused:
        reading.parse("scan.pdf", scan_of(page_of(FIRST, blurred=True)))
    assert refused.value.code == "poor_scan"


def test_without_the_setting_nothing_is_recognised(parser: IsolatedParser) -> None:
    with pytest.raises(UnreadableDocument) as refused:
        parser.parse("scan.pdf", scan_of(page_of(FIRST)))
    assert refused.value.code == "needs_ocr"


def test_where_the_program_is_missing_nothing_is_recognised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ocr.missing_parts() == ("tesseract",)
    with IsolatedParser(ocr=True) as parser:
        assert not parser.reads_scans
        with pytest.raises(UnreadableDocument) as refused:
            parser.parse("scan.pdf", scan_of(page_of(FIRST)))
    assert refused.value.code == "needs_ocr"


def test_a_page_takes_no_longer_than_its_share_of_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "tesseract"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv(ocr.ALLOWED_VARIABLE, "1")
    monkeypatch.setattr(ocr, "PAGE_SECONDS", 0.2)
    monkeypatch.setattr(ocr, "_image", lambda page: b"")
    assert ocr.PageReader().read(object()) is None


@pytest.mark.parametrize(
    ("rows", "lines", "confidence"),
    [
        ([], (), 0.0),
        (["5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t90\t한도", "5\t1\t1\t1\t1\t2\t0\t0\t9\t9\t60\t는"], ("한도 는",), 80.0),
        (["4\t1\t1\t1\t1\t0\t0\t0\t9\t9\t-1\t", "5\t1\t1\t1\t2\t1\t0\t0\t9\t9\t50\t1억"], ("1억",), 50.0),
        (["5\t1\t1\t1\t1\t1\t0\t0\t9\t9\t90\t ", "broken", "5\t1"], (), 0.0),
    ],
)
def test_words_become_lines_and_their_confidence_the_page_s(
    rows: list[str], lines: tuple[str, ...], confidence: float
) -> None:
    found = ocr.recognised("\n".join(["header", *rows]))
    assert found.lines == lines
    assert found.confidence == pytest.approx(confidence)
