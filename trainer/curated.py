"""Makes drafts for the review queue of curated files on this machine.

A row that cannot be read is named by its number and what is wrong, never by its text. Knows no queue.
"""

from dataclasses import dataclass
from pathlib import Path

from llm_service.answering.curated_file import read_rows, slug
from llm_service.learning_client import NewDraft


@dataclass(frozen=True)
class BadRow:
    """A row that is no example: its number from 1 on, and why, as a code."""

    number: int
    reason: str


@dataclass(frozen=True)
class Curated:
    """What a file holds."""

    drafts: tuple[NewDraft, ...]
    bad_rows: tuple[BadRow, ...]


def read_curated(path: Path, kind: str, licence: str) -> Curated:
    """The drafts of a file (.json, .jsonl, .csv), in order; each is a group of its own: nothing says which are kin.

    Raises `InvalidInput` (curated_file_unreadable) for a file in none of the three forms.
    """
    rows = read_rows(path.name, path.read_bytes())
    drafts = [
        NewDraft(
            kind,
            row.question,
            row.answer,
            f"{path.name}:{row.number}",
            licence,
            [f"category_{slug(row.category)}"] if slug(row.category) else [],
        )
        for row in rows
        if row.problem is None
    ]
    return Curated(tuple(drafts), tuple(BadRow(row.number, row.problem) for row in rows if row.problem is not None))
