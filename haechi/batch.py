"""Batches of commands: one JSON object a line in, one out, flushed, in order. Knows nothing of what a line asks."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, BinaryIO, TextIO


class BadLine(Exception):
    """A line of a batch cannot be read; carries its number, never its text."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.number = number
        self.reason = reason


Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def answer_lines(answer: Answer, lines: BinaryIO | None = None, output: TextIO | None = None) -> int:
    """Answer every line in order; one that cannot be answered gets {"error": {...}}. Returns how many of these.

    Lines are read as bytes, from standard input unless told, so that one that is no UTF-8 costs itself alone.
    """
    failed = 0
    for number, line in enumerate(lines or sys.stdin.buffer, start=1):
        if not line.strip():
            continue
        try:
            reply = await answer(_parse(number, line))
        except BadLine as bad:
            reply = {"error": {"code": "bad_line", "message": str(bad)}}
            failed += 1
        except CommandFailed as failure:
            reply = {"error": {"code": failure.code, "message": failure.message}}
            failed += 1
        print(json.dumps(reply, ensure_ascii=False), file=output or sys.stdout, flush=True)
    return failed


class CommandFailed(Exception):
    """One request of a command was refused or failed: a stable code and a sentence without the person's words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def text_field(request: dict[str, Any], name: str) -> str:
    """A text field of a request. Raises `CommandFailed` when it is missing or not text."""
    value = request.get(name)
    if not isinstance(value, str):
        raise CommandFailed("field_missing", f'the line needs a text field "{name}"')
    _refuse_half_characters(value)
    return value


def whole_number(request: dict[str, Any], name: str, *, default: int, smallest: int, largest: int) -> int:
    """A number of a request, the default where it says none. Raises `CommandFailed` for anything else."""
    value = request.get(name)
    if value is None:
        return default
    digits = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    readable = digits.isascii() and digits.isdigit() and len(digits) <= len(str(largest))
    if not readable or not smallest <= int(digits) <= largest:
        raise CommandFailed(f"{name}_invalid", f"{name} is a whole number, {smallest} to {largest}")
    return int(digits)


def _refuse_half_characters(value: str) -> None:
    # JSON can write one half of a surrogate pair; it has no UTF-8, so it could neither be sent nor printed.
    try:
        value.encode()
    except UnicodeEncodeError:
        raise CommandFailed("text_unreadable", "the text holds half of a surrogate pair") from None


def _parse(number: int, line: bytes) -> dict[str, Any]:
    try:
        request = json.loads(line.decode())
    except UnicodeDecodeError:
        raise BadLine(number, "not UTF-8") from None
    except (ValueError, RecursionError):
        raise BadLine(number, "not JSON") from None
    if not isinstance(request, dict):
        raise BadLine(number, "not a JSON object")
    _refuse_half_characters(json.dumps(request, ensure_ascii=False))
    return request
