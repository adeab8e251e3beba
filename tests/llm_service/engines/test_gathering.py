"""Who is woken only where a statement may have ended learns of its end as early as who reads every word."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.answering.segments import SEGMENT_ENDS, Segmenter
from llm_service.engines.failures import Patience, in_time
from llm_service.engines.gathering import Gathering, together
from llm_service.engines.model_server import Delta, Usage
from llm_service.errors import Unavailable

WORDS = st.sampled_from(
    [
        "한도는",
        " 1억원",
        "입니다",
        ".",
        "。",
        " ",
        "\n",
        "\n\n",
        "\u3000",
        "\xa0",
        "[",
        "]",
        "[1]",
        " [2]",
        "1",
        '"',
        "\\",
        "]\n가",
    ]
)
IMPATIENT = Patience(first_token_seconds=0.01, next_token_seconds=0.01)


def event(text: str, ascii_only: bool = False) -> bytes:
    choice = {"index": 0, "text": text, "finish_reason": None}
    return b"data: " + json.dumps({"choices": [choice]}, ensure_ascii=ascii_only).encode() + b"\n\n"


def gathering() -> Gathering:
    return Gathering(SEGMENT_ENDS, clock=lambda: 1.0)


@given(st.lists(WORDS, min_size=1, max_size=30), st.booleans())
def test_no_statement_is_learnt_of_later(words: list[str], ascii_only: bool) -> None:
    asked, at_once, woken = gathering(), Segmenter(), Segmenter()
    held, known, learnt = "", 0, 0
    for word in words:
        known += len(list(at_once.feed(word)))
        held += word
        if asked(event(word, ascii_only)):
            learnt, held = learnt + len(list(woken.feed(held))), ""
        assert learnt == known


def test_most_words_wake_nobody() -> None:
    asked = gathering()
    words = ["한도는", " 1억원", "입니다.", " [1]", " 기한은", " 열흘", "입니다.", " [1]", "\n\n", "끝"]
    assert [place for place, word in enumerate(words) if asked(event(word))] == [0, 4, 9]


@pytest.mark.parametrize(
    "piece",
    [
        b'data: {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}\n\n',
        b"data: [DONE]\n\n",
        b'data: {"error": {"message": "told", "code": 500}}\n\n',
        event("한도는")[:-12],
        event("한도는") + b"data: [DONE]\n\n",
        b": a comment\n\n",
    ],
)
def test_what_is_no_word_wakes(piece: bytes) -> None:
    asked = gathering()
    asked(event("첫"))
    assert asked(piece)


def test_deltas_that_came_together_are_one_that_counts_them() -> None:
    usage = Usage(3, 2, "stop")
    assert list(together([Delta("연 "), Delta("3%"), Delta("", usage)])) == [Delta("연 3%", usage, 2)]
    assert list(together([])) == []


def test_what_was_said_before_a_failure_is_told_before_it() -> None:
    def broken() -> Iterator[Delta]:
        yield Delta("연 ")
        raise Unavailable("engine_stream_cut", "cut")

    told: list[Delta] = []
    with pytest.raises(Unavailable, match="engine_stream_cut"):
        told.extend(together(broken()))
    assert told == [Delta("연 ")]


async def test_a_server_whose_words_are_held_back_is_not_taken_for_silent() -> None:
    async def silent() -> AsyncIterator[Delta]:
        await asyncio.Event().wait()
        yield Delta("")

    looks: list[float] = []

    def heard_at() -> float:
        looks.append(asyncio.get_running_loop().time())
        return looks[-1] if len(looks) < 4 else 0.0

    with pytest.raises(Unavailable, match="engine_timeout"):
        await anext(in_time(silent(), IMPATIENT, 60.0, heard_at))
    assert len(looks) == 4
    assert looks[3] - looks[0] >= 3 * IMPATIENT.first_token_seconds
