"""Which loader reads which file; the loaders' libraries are imported on first use, inside the parsing process."""

import re
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import PurePosixPath
from typing import cast

from llm_service.retrieval.loaders.content import LoadedDocument, UnreadableDocument

LOADERS = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "text",
    ".csv": "delimited",
    ".tsv": "delimited",
    ".pdf": "pdf",
    ".docx": "word",
    ".xlsx": "spreadsheet",
    ".pptx": "slides",
    ".html": "web",
    ".htm": "web",
    ".hwpx": "hangul",
    ".hwp": "hangul",
    ".odt": "opendocument",
    ".eml": "mail",
}
_UNSTORABLE = re.compile(r"[\x00-\x08\x0e-\x1b\x7f\ud800-\udfff\ufffe\uffff]")
PDF_MAGIC_WITHIN_BYTES = 1024


def load(path: str, content: bytes) -> LoadedDocument:
    """Read one file by the suffix of its name.

    Raises `UnreadableDocument`; anything else it raises is a defect of a parser on hostile input, which the parsing
    process turns into `broken_file`.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in LOADERS:
        raise UnreadableDocument("unsupported_format")
    if not content.strip():
        raise UnreadableDocument("empty_file")
    if suffix == ".pdf" and b"%PDF-" not in content[:PDF_MAGIC_WITHIN_BYTES]:
        raise UnreadableDocument("broken_file")
    module = import_module(f"llm_service.retrieval.loaders.{LOADERS[suffix]}")
    document = _tidy(cast(Callable[[bytes], LoadedDocument], module.load)(content))
    if not document.blocks:
        raise UnreadableDocument("no_text")
    return document


def _tidy(document: LoadedDocument) -> LoadedDocument:
    """Blocks without characters that no database takes, and with every run of blanks as one blank: what comes after
    may use patterns that a long run would slow down."""
    tidied = (replace(block, text=_clean(block.text)) for block in document.blocks)
    return replace(
        document,
        blocks=tuple(block for block in tidied if block.text),
        title=_clean(document.title or "") or None,
        properties={_clean(name): _clean(value) for name, value in document.properties.items()},
    )


def _clean(text: str) -> str:
    return " ".join(_UNSTORABLE.sub("", text).split())
