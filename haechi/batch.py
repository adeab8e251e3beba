"""Batches of commands: one JSON object a line in, one out, flushed, in order. Knows nothing of what a line asks."""

import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TextIO


class BadLine(Exception):
    """A line of a batch cannot be read; carries its number, never its text."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.number = number
        self.reason = reason


Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def answer_lines(answer: Answer, lines: TextIO = sys.stdin, output: TextIO = sys.stdout) -> int:
    """Answer every line in order; one that cannot be answered gets {"error": {...}}. Returns how many of these."""
    failed = 0
    for number, line in enumerate(lines, start=1):
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
        print(json.dumps(reply, ensure_ascii=False), file=output, flush=True)
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
    return value


def _parse(number: int, line: str) -> dict[str, Any]:
    try:
        request = json.loads(line)
    except ValueError:
        raise BadLine(number, "not JSON") from None
    if not isinstance(request, dict):
        raise BadLine(number, "not a JSON object")
    return request
