"""What every loader hands on: a document's blocks in reading order, each knowing where it stood, or why there are none.

Knows no format and nothing of passages. The text in it is as the file had it, unmasked: it lives in memory between a
loader and the masker and is never stored or logged.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

BlockKind = Literal["heading", "paragraph", "row", "question"]

FailureCode = Literal[
    "binary_content",
    "broken_file",
    "duplicate_edition",
    "empty_file",
    "expands_too_much",
    "forbidden_xml",
    "invalid_path",
    "needs_ocr",
    "nesting_too_deep",
    "no_audience",
    "no_text",
    "parser_crashed",
    "parsing_memory",
    "parsing_timeout",
    "password_protected",
    "poor_scan",
    "repealing_act",
    "replaced_edition",
    "too_large",
    "too_many_pages",
    "too_much_text",
    "unknown_encoding",
    "unreadable_file",
    "unsupported_format",
    "withdrawn",
]


class UnreadableDocument(Exception):
    """A file that cannot become passages. `code` is stable; its sentence for people is in
    `data/document_reasons.yaml`."""

    def __init__(self, code: FailureCode) -> None:
        super().__init__(code)
        self.code: FailureCode = code


@dataclass(frozen=True, slots=True)
class Block:
    """A heading, a paragraph, a table row, or a question (its answer follows as paragraphs).

    `level` counts headings from 1 (0 for other blocks); `page`, `row` and `slide` count from 1. `table` numbers the
    tables of a document, so that neighbouring rows of different tables are told apart; `columns` is the table's heading
    row.
    """

    kind: BlockKind
    text: str
    level: int = 0
    page: int | None = None
    sheet: str | None = None
    row: int | None = None
    slide: int | None = None
    table: int | None = None
    columns: str | None = None


_BLOCK_FIELDS = tuple(block_field.name for block_field in fields(Block))


@dataclass(frozen=True, slots=True)
class LoadedDocument:
    """A document as its blocks. `properties` are scalars of its front matter or file properties; `notes` are stable
    codes with places, for example `page_needs_ocr:3`, of parts that could not be read."""

    format: str
    blocks: tuple[Block, ...]
    title: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> bytes:
        """The form in which a parsing process hands it over: data only, since nothing from such a process is
        executed."""
        blocks = [{name: value for name in _BLOCK_FIELDS if (value := getattr(block, name))} for block in self.blocks]
        head = {"format": self.format, "title": self.title, "properties": dict(self.properties), "notes": self.notes}
        return json.dumps({**head, "blocks": blocks}, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, encoded: bytes) -> "LoadedDocument":
        """Read `to_json`'s form again; ValueError, KeyError or TypeError if it is anything else."""
        read: dict[str, Any] = json.loads(encoded)
        return cls(
            format=str(read["format"]),
            blocks=tuple(Block(**{"text": "", **block}) for block in read["blocks"]),
            title=read["title"],
            properties={str(name): str(value) for name, value in read["properties"].items()},
            notes=tuple(map(str, read["notes"])),
        )
