"""Reads curated files into drafts for the review queue: Alpaca, chat messages, and `QA_text` tables.

A row that cannot be read is named by its number and what is wrong, never by its text. Knows no queue.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from llm_service.errors import InvalidInput
from llm_service.learning_client import NewDraft

FileForm = Literal["alpaca", "chat", "qa_text"]
SHORTEST_CHARACTERS: Final = 2
LONGEST_CHARACTERS: Final = 4000
_QA: Final = re.compile(
    r"^\s*##\s*Question\s*:(?P<question>.*?)##\s*Answer\s*:(?P<answer>.*)$", re.DOTALL | re.IGNORECASE
)


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


@dataclass(frozen=True)
class _Pair:
    question: str
    answer: str
    category: str = ""


class _Unusable(Exception):
    """A row that is no example; the argument is a code."""


def read_curated(path: Path, kind: str, licence: str) -> Curated:
    """The drafts of a file (.json, .jsonl, .csv), in order; each is a group of its own: nothing says which are kin.

    Raises `InvalidInput` (curated_file_unreadable) for a file in none of the three forms.
    """
    drafts, bad_rows = [], []
    for number, row in enumerate(_rows(path), start=1):
        try:
            pair = _pair(row)
        except _Unusable as wrong:
            bad_rows.append(BadRow(number, str(wrong)))
            continue
        tags = [f"category_{_slug(pair.category)}"] if _slug(pair.category) else []
        drafts.append(NewDraft(kind, pair.question, pair.answer, f"{path.name}:{number}", licence, tags))
    return Curated(tuple(drafts), tuple(bad_rows))


def _rows(path: Path) -> Iterable[Mapping[str, Any]]:
    text = path.read_bytes().decode("utf-8-sig")
    try:
        match path.suffix.lower():
            case ".jsonl":
                return [_object(line) for line in text.splitlines() if line.strip()]
            case ".json":
                return [row if isinstance(row, dict) else {} for row in json.loads(text)]
            case ".csv":
                return list(csv.DictReader(io.StringIO(text), strict=True))
    except (ValueError, TypeError, csv.Error) as error:
        raise InvalidInput("curated_file_unreadable", f"the file cannot be read ({type(error).__name__})") from None
    raise InvalidInput("curated_file_unreadable", "curated files end in .json, .jsonl or .csv")


def _object(line: str) -> Mapping[str, Any]:
    read = json.loads(line)
    return read if isinstance(read, dict) else {}


def _pair(row: Mapping[str, Any]) -> _Pair:
    if "QA_text" in row:
        pair = _of_qa_text(row)
    elif "messages" in row:
        pair = _of_messages(row["messages"])
    elif "instruction" in row:
        pair = _of_alpaca(row)
    else:
        raise _Unusable("unknown_columns")
    for text in (pair.question, pair.answer):
        if len(text) < SHORTEST_CHARACTERS:
            raise _Unusable("too_short")
        if len(text) > LONGEST_CHARACTERS:
            raise _Unusable("too_long")
    return pair


def _of_qa_text(row: Mapping[str, Any]) -> _Pair:
    found = _QA.match(str(row["QA_text"] or ""))
    if found is None:
        raise _Unusable("not_question_and_answer")
    return _Pair(found["question"].strip(), found["answer"].strip(), str(row.get("Category") or ""))


def _of_alpaca(row: Mapping[str, Any]) -> _Pair:
    instruction, given = str(row["instruction"] or "").strip(), str(row.get("input") or "").strip()
    question = f"{instruction}\n\n{given}" if given else instruction
    return _Pair(question, str(row.get("output") or "").strip())


def _of_messages(messages: Any) -> _Pair:
    """One question and one answer; a system message is not ours to teach, and a longer talk is no single example."""
    turns = list(_turns(messages))
    if [role for role, _ in turns] != ["user", "assistant"]:
        raise _Unusable("not_question_and_answer")
    return _Pair(turns[0][1], turns[1][1])


def _turns(messages: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, Sequence):
        raise _Unusable("not_question_and_answer")
    for message in messages:
        if not isinstance(message, dict):
            raise _Unusable("not_question_and_answer")
        if message.get("role") != "system":
            yield str(message.get("role")), str(message.get("content", "")).strip()


def _slug(category: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", category.casefold()).strip("_")[:20]
