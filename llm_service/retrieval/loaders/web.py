"""HTML: headings, text and tables that a reader of the page sees; scripts, navigation and hidden elements are left
out."""

import re
from collections.abc import Iterator
from itertools import count

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from llm_service.retrieval.loaders.content import Block, LoadedDocument, UnreadableDocument
from llm_service.retrieval.loaders.tables import table_rows
from llm_service.retrieval.loaders.text import decode

MAX_DEPTH = 200
_UNREAD = {"script", "style", "noscript", "template", "nav", "svg", "iframe", "object", "form", "head", "button"}
_INLINE = {
    *("a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins", "kbd", "label"),
    *("mark", "q", "s", "samp", "small", "span", "strong", "sub", "sup", "u"),
}
_HEADING = re.compile(r"h([1-6])")
_DECLARED_CHARSET = re.compile(rb"<meta[^>]+charset", re.IGNORECASE)
_HIDDEN_STYLE = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?![.\d])|opacity\s*:\s*0(?![.\d])"
)
SNIFFED_BYTES = 4096


def load(content: bytes) -> LoadedDocument:
    """Blocks of an HTML page. Raises `UnreadableDocument` with `nesting_too_deep` or an encoding's code."""
    declared = _DECLARED_CHARSET.search(content[:SNIFFED_BYTES]) is not None
    soup = BeautifulSoup(content if declared else decode(content), "lxml")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    blocks = tuple(_Walk().blocks(soup.body or soup))
    first = next((block.text for block in blocks if block.kind == "heading" and block.level == 1), None)
    return LoadedDocument("html", blocks, title or first)


class _Walk:
    """One pass over the tree; text between two block elements is a paragraph."""

    def __init__(self) -> None:
        self._tables = count(1)
        self._text: list[str] = []

    def blocks(self, root: Tag) -> Iterator[Block]:
        yield from self._children(root, 0)
        yield from self._paragraph()

    def _children(self, parent: Tag, depth: int) -> Iterator[Block]:
        if depth > MAX_DEPTH:
            raise UnreadableDocument("nesting_too_deep")
        for child in parent.children:
            if isinstance(child, Tag):
                yield from self._element(child, depth)
            elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
                self._text.append(str(child))

    def _element(self, element: Tag, depth: int) -> Iterator[Block]:
        name = element.name.lower()
        if name in _UNREAD or _is_hidden(element):
            return
        if name in _INLINE:
            yield from self._children(element, depth + 1)
            return
        yield from self._paragraph()
        if heading := _HEADING.fullmatch(name):
            text = " ".join(element.get_text(" ").split())
            if text:
                yield Block("heading", text, level=int(heading[1]))
        elif name == "table" and element.find("table") is None:
            yield from table_rows(_cells(element), next(self._tables))
        else:
            yield from self._children(element, depth + 1)
            yield from self._paragraph()

    def _paragraph(self) -> Iterator[Block]:
        text = " ".join("".join(self._text).split())
        self._text.clear()
        if text:
            yield Block("paragraph", text)


def _is_hidden(element: Tag) -> bool:
    if element.attrs is None:
        return False
    hidden = element.has_attr("hidden") or element.get("aria-hidden") == "true"
    return hidden or _HIDDEN_STYLE.search(str(element.get("style", "")).lower()) is not None


def _cells(table: Tag) -> list[list[str]]:
    rows = (row for row in table.find_all("tr") if not _is_hidden(row))
    return [[cell.get_text(" ") for cell in row.find_all(["th", "td"]) if not _is_hidden(cell)] for row in rows]
