"""ODT: headings with their outline level, paragraphs, lists and tables in the order of the text (ODF 1.3, part 3)."""

import io
import zipfile
from collections.abc import Iterator
from itertools import count

from lxml import etree

from llm_service.retrieval.loaders.archive import check_archive
from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.tables import table_rows

MAX_DEPTH = 64
MAX_REPEATED_SPACES = 100
_TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
_TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_MANIFEST = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
_TITLE = "{http://purl.org/dc/elements/1.1/}title"
_LEFT_OUT = {f"{{{_OFFICE}}}annotation", f"{{{_TEXT}}}tracked-changes", f"{{{_TEXT}}}note-citation"}


def load(content: bytes) -> LoadedDocument:
    """Blocks of an ODT. Raises `UnreadableDocument`: `password_protected`, `broken_file`, `nesting_too_deep` and what
    `check_archive` raises."""
    check_archive(content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if _is_encrypted(archive):
            raise UnreadableDocument("password_protected")
        body = _parse(archive, "content.xml").find(f"{{{_OFFICE}}}body")
        title = _title(archive)
    if body is None:
        raise UnreadableDocument("broken_file")
    blocks = tuple(_blocks(body, count(1), 0))
    first = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), None)
    return LoadedDocument("odt", blocks, title or first)


def _parse(archive: zipfile.ZipFile, member: str) -> etree._Element:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(archive.read(member), parser)
    except (KeyError, etree.XMLSyntaxError, zipfile.BadZipFile) as error:
        raise UnreadableDocument("broken_file") from error


def _is_encrypted(archive: zipfile.ZipFile) -> bool:
    if "META-INF/manifest.xml" not in archive.namelist():
        return False
    manifest = _parse(archive, "META-INF/manifest.xml")
    return manifest.find(f".//{{{_MANIFEST}}}encryption-data") is not None


def _title(archive: zipfile.ZipFile) -> str | None:
    if "meta.xml" not in archive.namelist():
        return None
    title = _parse(archive, "meta.xml").find(f".//{_TITLE}")
    return " ".join(title.text.split()) if title is not None and title.text else None


def _blocks(parent: etree._Element, tables: Iterator[int], depth: int) -> Iterator[Block]:
    if depth > MAX_DEPTH:
        raise UnreadableDocument("nesting_too_deep")
    for element in parent:
        if element.tag == f"{{{_TEXT}}}h":
            text = _text(element)
            if text:
                yield Block("heading", text, level=int(element.get(f"{{{_TEXT}}}outline-level", "1")))
        elif element.tag == f"{{{_TEXT}}}p":
            text = _text(element)
            if text:
                yield Block("paragraph", text)
        elif element.tag == f"{{{_TABLE}}}table":
            yield from table_rows(_rows(element), next(tables))
        elif isinstance(element.tag, str) and element.tag not in _LEFT_OUT:
            yield from _blocks(element, tables, depth + 1)


def _rows(table: etree._Element) -> list[list[str]]:
    return [
        [" ".join(filter(None, map(_text, cell.iter(f"{{{_TEXT}}}p", f"{{{_TEXT}}}h")))) for cell in _cells(row)]
        for row in table.iter(f"{{{_TABLE}}}table-row")
    ]


def _cells(row: etree._Element) -> Iterator[etree._Element]:
    yield from row.iterchildren(f"{{{_TABLE}}}table-cell")


def _text(element: etree._Element) -> str:
    return " ".join("".join(_pieces(element)).split())


def _pieces(element: etree._Element) -> Iterator[str]:
    """Text of an element without notes and comments; a space element stands for as many spaces as it says (text:c)."""
    yield element.text or ""
    for child in element:
        if child.tag == f"{{{_TEXT}}}s":
            yield " " * min(int(child.get(f"{{{_TEXT}}}c", "1")), MAX_REPEATED_SPACES)
        elif child.tag in {f"{{{_TEXT}}}tab", f"{{{_TEXT}}}line-break"}:
            yield " "
        elif isinstance(child.tag, str) and child.tag not in _LEFT_OUT:
            yield from _pieces(child)
        yield child.tail or ""
