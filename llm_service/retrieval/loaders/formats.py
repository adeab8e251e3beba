"""Which loader reads which file; the loaders' libraries are imported on first use, inside the parsing process."""

from collections.abc import Callable
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
PDF_MAGIC_WITHIN_BYTES = 1024


def is_supported(path: str) -> bool:
    """True if a loader exists for this file name."""
    return PurePosixPath(path).suffix.lower() in LOADERS


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
    document = cast(Callable[[bytes], LoadedDocument], module.load)(content)
    if not any(block.text.strip() for block in document.blocks):
        raise UnreadableDocument("no_text")
    return document
