"""Batches: one JSON line in, one out, in order, and never a person's words in an error."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from haechi.batch import CommandFailed, answer_lines, text_field, whole_number


async def echo(request: dict[str, Any]) -> dict[str, Any]:
    return {"id": request.get("id"), "length": len(text_field(request, "text"))}


async def answers(lines: str | bytes) -> tuple[int, list[dict[str, Any]]]:
    output = io.StringIO()
    written = lines.encode() if isinstance(lines, str) else lines
    failed = await answer_lines(echo, io.BytesIO(written), output)
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
    assert await answer_lines(refuse, io.BytesIO(b"{}\n"), output) == 1
    assert json.loads(output.getvalue()) == {"error": {"code": "text_empty", "message": "say something"}}


async def test_bytes_that_are_no_utf_8_cost_their_own_line_only() -> None:
    failed, replies = await answers(b'{"text": "\xff"}\n{"id": 1, "text": "ok"}\n')
    assert failed == 1
    assert replies == [{"error": {"code": "bad_line", "message": "line 1: not UTF-8"}}, {"id": 1, "length": 2}]


async def test_half_a_surrogate_pair_is_no_text_and_the_rest_goes_on() -> None:
    failed, replies = await answers('{"text": "\\ud800"}\n{"id": "\\ud800", "text": "ok"}\n{"id": 1, "text": "ok"}\n')
    assert failed == 2
    assert [reply.get("error", {}).get("code") for reply in replies] == ["text_unreadable", "text_unreadable", None]


@pytest.mark.parametrize(
    ("given", "read"),
    [({}, 5), ({"k": None}, 5), ({"k": 1}, 1), ({"k": 50}, 50), ({"k": "3"}, 3)],
    ids=str,
)
def test_a_whole_number_is_read_and_its_absence_is_the_default(given: dict[str, Any], read: int) -> None:
    assert whole_number(given, "k", default=5, smallest=1, largest=50) == read


@pytest.mark.parametrize("value", [0, -1, 51, "a", 1.5, True, [], "", "٣x"], ids=repr)
def test_anything_else_than_a_number_within_its_limits_is_refused_by_name(value: object) -> None:
    with pytest.raises(CommandFailed) as refused:
        whole_number({"k": value}, "k", default=5, smallest=1, largest=50)
    assert refused.value.code == "k_invalid"
    assert "1 to 50" in refused.value.message
