"""Batches: one JSON line in, one out, in order, and never a person's words in an error."""

import io
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from haechi.batch import CommandFailed, answer_lines, text_field


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"id": request.get("id"), "length": len(text_field(request, "text"))}


async def answers(lines: str) -> tuple[int, list[dict[str, Any]]]:
    output = io.StringIO()
    failed = await answer_lines(echo, io.StringIO(lines), output)
    return failed, [json.loads(line) for line in output.getvalue().splitlines()]


@given(st.lists(st.text(max_size=20), max_size=8))
async def test_there_is_one_answer_a_line_and_in_the_same_order(texts: list[str]) -> None:
    lines = "".join(json.dumps({"id": number, "text": text}) + "\n" for number, text in enumerate(texts))
    failed, replies = await answers(lines)
    assert failed == 0
    assert replies == [{"id": number, "length": len(text)} for number, text in enumerate(texts)]


async def test_a_line_that_cannot_be_read_is_answered_by_its_number_and_the_rest_goes_on() -> None:
    failed, replies = await answers('주민번호 900101-1234567\n[1]\n{"text": 5}\n\n{"id": 1, "text": "ok"}\n')
    assert failed == 3
    assert [reply.get("error", {}).get("code") for reply in replies] == ["bad_line", "bad_line", "field_missing", None]
    assert "900101" not in json.dumps(replies, ensure_ascii=False)


async def test_a_refused_request_keeps_its_code() -> None:
    async def refuse(_request: dict[str, Any]) -> dict[str, Any]:
        raise CommandFailed("text_empty", "say something")

    output = io.StringIO()
    assert await answer_lines(refuse, io.StringIO("{}\n"), output) == 1
    assert json.loads(output.getvalue()) == {"error": {"code": "text_empty", "message": "say something"}}
