"""Reads curated files row by row: Alpaca, chat messages, and `QA_text` tables; .json, .jsonl or .csv.

A row that cannot be read is named by its number and what is wrong, never by its text. Knows no queue and no masking.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from llm_service.errors import InvalidInput, TooLarge

SHORTEST_CHARACTERS: Final = 2
LONGEST_CHARACTERS: Final = 4000
_QA: Final = re.compile(
    r"^\s*##\s*Question\s*:(?P<question>.*?)##\s*Answer\s*:(?P<answer>.*)$", re.DOTALL | re.IGNORECASE
)


@dataclass(frozen=True)
class CuratedRow:
    """One row, numbered from 1 on: a question with its answer, or `problem`, a code, and no text."""

    number: int
    question: str = ""
    answer: str = ""
    category: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class _Pair:
    question: str
    answer: str
    category: str = ""


class _Unusable(Exception):
    """A row that is no example; the argument is a code."""


def read_rows(name: str, content: bytes, maximum_rows: int | None = None) -> list[CuratedRow]:
    """The rows of a file, in order; its name's ending says how it is written.

    Raises `InvalidInput` (curated_file_unreadable) for a file in none of the forms, and `TooLarge` (curated_too_many).
    """
    found = _rows(name, content)
    if maximum_rows is not None and len(found) > maximum_rows:
        raise TooLarge("curated_too_many", f"the file has {len(found)} rows; {maximum_rows} are taken at once")
    return [_read(number, row) for number, row in enumerate(found, start=1)]


def slug(category: str) -> str:
    """A category of a file as a part of a tag; empty where it has no Latin letter or digit."""
    return re.sub(r"[^a-z0-9]+", "_", category.casefold()).strip("_")[:20].strip("_")


def _read(number: int, row: Mapping[str, Any] | None) -> CuratedRow:
    try:
        pair = _pair(row)
    except _Unusable as wrong:
        return CuratedRow(number, problem=str(wrong))
    return CuratedRow(number, pair.question, pair.answer, pair.category)


def _rows(name: str, content: bytes) -> list[Mapping[str, Any] | None]:
    """The rows as objects; None for a line that is not JSON."""
    try:
        text = content.decode("utf-8-sig")
        match PurePosixPath(name).suffix.lower():
            case ".jsonl":
                lines = [_object(line) for line in text.splitlines() if line.strip()]
                # No line at all is JSON: the whole file is something else, and the first line says what is wrong.
                is_json = not lines or any(line is not None for line in lines)
                return lines if is_json else [json.loads(text.strip().splitlines()[0])]
            case ".json":
                return [row if isinstance(row, dict) else {} for row in json.loads(text)]
            case ".csv":
                return list(csv.DictReader(io.StringIO(text), strict=True))
    except (ValueError, TypeError, RecursionError, csv.Error) as error:
        raise InvalidInput("curated_file_unreadable", f"the file cannot be read ({type(error).__name__})") from None
    raise InvalidInput("curated_file_unreadable", "curated files end in .json, .jsonl or .csv")


def _object(line: str) -> Mapping[str, Any] | None:
    try:
        read = json.loads(line)
    except ValueError:
        return None
    return read if isinstance(read, dict) else {}


def _pair(row: Mapping[str, Any] | None) -> _Pair:
    if row is None:
        raise _Unusable("not_json")
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
