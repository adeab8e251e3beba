"""A bad file gets a stable code and a sentence; the parsing process may die of it, the caller never does."""

import io
import os
import signal
import zipfile
from collections.abc import Callable
from typing import get_args

import docx
import pypdfium2
import pytest
from reportlab.pdfgen.canvas import Canvas

from llm_service.retrieval.loaders import pdf as pdf_loader
from llm_service.retrieval.loaders.content import FailureCode, UnreadableDocument
from llm_service.retrieval.loaders.isolation import MAX_DOCUMENT_BYTES, IsolatedParser
from llm_service.retrieval.reasons import explain

HEALTHY = ("a.txt", "멀쩡한 문서입니다.".encode())
ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
EXTERNAL_ENTITY = b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
COMPOUND_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MEGABYTE = 1024 * 1024


def code_of(parser: IsolatedParser, name: str, content: bytes) -> str:
    with pytest.raises(UnreadableDocument) as caught:
        parser.parse(name, content)
    return caught.value.code


def replaced(archive: bytes, member: str, content: bytes) -> bytes:
    """A copy of a ZIP archive with one member's content replaced or added."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in [*(name for name in old.namelist() if name != member), member]:
            new.writestr(name, content if name == member else old.read(name))
    return buffer.getvalue()


def small_docx() -> bytes:
    document = docx.Document()
    document.add_paragraph("한도는 1억원입니다.")
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


def pdf_of(draw: Callable[[Canvas], None], password: str | None = None) -> bytes:
    buffer = io.BytesIO()
    canvas = Canvas(buffer, encrypt=password)
    draw(canvas)
    canvas.save()
    return buffer.getvalue()


def scan(canvas: Canvas) -> None:
    canvas.rect(10, 10, 500, 700, fill=1)
    canvas.showPage()


def text_page(canvas: Canvas) -> None:
    canvas.drawString(50, 700, "The limit of this account is ten million won a day.")
    canvas.showPage()


def pages_without_end(count: int) -> bytes:
    document = pypdfium2.PdfDocument.new()
    for _ in range(count):
        document.new_page(100, 100)
    buffer = io.BytesIO()
    document.save(buffer)
    document.close()
    return buffer.getvalue()


def encrypted_zip() -> bytes:
    content = bytearray(small_docx())
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        position = -1
        while (position := content.find(magic, position + 1)) >= 0:
            content[position + offset] |= 1
    return bytes(content)


def nested_tables(depth: int) -> bytes:
    opening = "<w:tbl><w:tr><w:tc>" * depth
    closing = "<w:p/></w:tc></w:tr></w:tbl>" * depth
    body = f"<w:body>{opening}<w:p><w:r><w:t>글</w:t></w:r></w:p>{closing}</w:body>"
    namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return replaced(
        small_docx(), "word/document.xml", f'<w:document xmlns:w="{namespace}">{body}</w:document>'.encode()
    )


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.exe", b"MZ", "unsupported_format"),
        ("확장자없음", b"text", "unsupported_format"),
        ("a.txt", b"", "empty_file"),
        ("a.md", b" \n\t\n", "empty_file"),
        ("a.csv", b"", "empty_file"),
        ("a.csv", "질문,답변\n".encode(), "empty_file"),
        ("a.csv", "질문,답변\n,\n".encode(), "empty_file"),
        ("a.html", b"<html><body><script>x</script></body></html>", "no_text"),
        ("a.txt", b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "binary_content"),
        ("a.txt", bytes(range(1, 32)) * 40, "binary_content"),
        ("a.txt", b"\xff\xfeA", "unknown_encoding"),
        ("a.csv", b"a,b\n\x00\x01\x02,c\n", "binary_content"),
        ("a.pdf", b"not a pdf at all", "broken_file"),
        ("a.pdf", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog", "broken_file"),
        ("a.pdf", pdf_of(text_page)[:300], "broken_file"),
        ("a.pdf", pdf_of(text_page, "1234"), "password_protected"),
        ("a.pdf", pdf_of(scan), "needs_ocr"),
        ("a.docx", b"PK\x03\x04 broken", "broken_file"),
        ("a.docx", small_docx()[:-200], "broken_file"),
        ("a.docx", COMPOUND_FILE + b"\x00" * 600 + "EncryptedPackage".encode("utf-16-le"), "password_protected"),
        ("a.xlsx", COMPOUND_FILE + b"\x00" * 600 + "EncryptedPackage".encode("utf-16-le"), "password_protected"),
        ("a.docx", COMPOUND_FILE + b"\x00" * 600, "broken_file"),
        ("a.docx", encrypted_zip(), "password_protected"),
        ("a.xlsx", small_docx(), "broken_file"),
        ("a.pptx", small_docx(), "broken_file"),
        ("a.hwpx", small_docx(), "broken_file"),
        ("a.odt", small_docx(), "broken_file"),
        ("a.hwp", COMPOUND_FILE + b"\x00" * 600, "broken_file"),
        ("a.eml", b"no header at all", "broken_file"),
        ("a.docx", replaced(small_docx(), "word/document.xml", ENTITIES), "forbidden_xml"),
        ("a.docx", replaced(small_docx(), "word/document.xml", EXTERNAL_ENTITY), "forbidden_xml"),
        ("a.hwpx", replaced(small_docx(), "Contents/section0.xml", ENTITIES), "forbidden_xml"),
        ("a.docx", replaced(small_docx(), "word/document.xml", ENTITIES.decode().encode("utf-16")), "forbidden_xml"),
        ("a.docx", replaced(small_docx(), "word/media/bomb.bin", bytes(64 * MEGABYTE)), "expands_too_much"),
        ("a.docx", nested_tables(300), "nesting_too_deep"),
        ("a.docx", nested_tables(60), "nesting_too_deep"),
        ("a.html", b"<div>" * 100_000 + b"x", "nesting_too_deep"),
    ],
    # Not the size: an encrypted file is never as long twice, and workers have to agree on a test's name.
    ids=lambda value: value if isinstance(value, str) else "bytes",
)
def test_a_bad_file_gets_its_code_and_the_next_file_is_read(
    name: str, content: bytes, code: str, parser: IsolatedParser
) -> None:
    assert code_of(parser, name, content) == code
    assert len(parser.parse(*HEALTHY).blocks) == 1


def test_a_pdf_of_ten_thousand_pages_is_refused_by_its_page_count(parser: IsolatedParser) -> None:
    assert pdf_loader.MAX_PAGES < 10_000
    assert code_of(parser, "a.pdf", pages_without_end(10_000)) == "too_many_pages"


def test_a_file_over_the_size_limit_is_not_read(parser: IsolatedParser) -> None:
    assert code_of(parser, "a.txt", b"x" * (MAX_DOCUMENT_BYTES + 1)) == "too_large"


def test_a_file_of_too_much_text_is_refused(parser: IsolatedParser) -> None:
    assert code_of(parser, "a.txt", "가나다라마바사 아자차카타파하\n".encode() * MEGABYTE) == "too_much_text"


def test_parsing_that_takes_too_long_is_ended_and_the_next_file_is_read() -> None:
    with IsolatedParser(timeout_seconds=1.5) as hurried:
        assert code_of(hurried, "a.html", b"<p>" + b"<b>x</b>" * 5 * MEGABYTE) == "parsing_timeout"
        assert len(hurried.parse(*HEALTHY).blocks) == 1


def test_parsing_that_needs_too_much_memory_is_ended_and_the_next_file_is_read() -> None:
    with IsolatedParser(memory_bytes=256 * MEGABYTE) as poor:
        assert code_of(poor, "a.html", b"<b>x</b>" * 5 * MEGABYTE) in {"parsing_memory", "parser_crashed"}
        assert len(poor.parse(*HEALTHY).blocks) == 1


@pytest.mark.parametrize("line", ["**a ", "[a](b", "__", "`", "[", "| ", "\\"])
def test_a_line_of_nothing_but_marks_is_read_at_once(line: str) -> None:
    with IsolatedParser(timeout_seconds=20) as hurried:
        assert hurried.parse("a.md", ("글 " + line * 50_000).encode()).blocks


def test_a_parser_that_dies_is_replaced() -> None:
    with IsolatedParser() as mortal:
        mortal.parse(*HEALTHY)
        process = mortal._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert len(mortal.parse(*HEALTHY).blocks) == 1
        assert mortal._process is not process


def test_a_parser_that_cannot_start_is_a_code_and_no_hang() -> None:
    with IsolatedParser(memory_bytes=4 * MEGABYTE) as starved:
        assert code_of(starved, *HEALTHY) in {"parser_crashed", "parsing_memory"}


def test_closing_ends_the_process() -> None:
    with IsolatedParser() as parser:
        parser.parse(*HEALTHY)
        process = parser._process
    assert process is not None
    assert process.returncode is not None


def test_the_parsing_process_sees_no_secret_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAECHI_SERVICE_TOKEN", "secret")
    with IsolatedParser() as parser:
        parser.parse(*HEALTHY)
        process = parser._process
        assert process is not None
        with open(f"/proc/{process.pid}/environ", "rb") as environment:
            assert b"HAECHI" not in environment.read()


@pytest.mark.parametrize("code", get_args(FailureCode))
def test_every_code_has_a_sentence_in_both_languages(code: str) -> None:
    assert explain(code).startswith(f"{code}: ")
    assert explain(code, "en").startswith(f"{code}: ")
