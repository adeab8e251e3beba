"""Plain text: decides the encoding of Korean files and reads paragraphs."""

import codecs
import re

import charset_normalizer

from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument

BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAX_CONTROL_SHARE = 0.01
_BINARY_CONTROL = re.compile(r"[\x00-\x08\x0e-\x19\x1b-\x1f]")


def load(content: bytes) -> LoadedDocument:
    """Every non-empty line is a paragraph."""
    lines = decode(content).splitlines()
    return LoadedDocument("txt", tuple(Block("paragraph", line.strip()) for line in lines if line.strip()))


def decode(content: bytes) -> str:
    """Text of unknown encoding: a byte order mark decides, then strict UTF-8, strict CP949, then statistics.

    Raises `UnreadableDocument` with `binary_content` or `unknown_encoding`. CP949 comes before statistics because valid
    CP949 of more than a few characters is hardly ever anything else in Korean offices, and short files mislead
    statistics.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return _textual(_strict(content, encoding))
    if b"\x00" in content:
        raise UnreadableDocument("binary_content")
    for encoding in ("utf-8", "cp949"):
        try:
            return _textual(content.decode(encoding))
        except UnicodeDecodeError:
            continue
    best = charset_normalizer.from_bytes(content).best()
    if best is None:
        raise UnreadableDocument("unknown_encoding")
    return _textual(str(best))


def _strict(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableDocument("unknown_encoding") from error


def _textual(text: str) -> str:
    controls = len(_BINARY_CONTROL.findall(text))
    if controls > MAX_CONTROL_SHARE * len(text):
        raise UnreadableDocument("binary_content")
    return text.replace("\x1a", "")
