"""A streamed answer falls into the same checkable pieces however it was cut on its way."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_service.answering.segments import Segmenter

LONGEST_CUTTING_SECONDS = 0.05


def segments(*pieces: str) -> list[str]:
    segmenter = Segmenter()
    found = [segment for piece in pieces for segment in segmenter.feed(piece)]
    return [*found, *segmenter.flush()]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("한도는 1억원입니다. [1] 기한은 10일입니다. [2]", ["한도는 1억원입니다. [1] ", "기한은 10일입니다. [2]"]),
        ("한도는 1억원입니다[1]. 기한은", ["한도는 1억원입니다[1]. ", "기한은"]),
        ("둘 다 맞습니다. [1][2] 끝", ["둘 다 맞습니다. [1][2] ", "끝"]),
        ("둘 다 맞습니다. [1, 2] 끝", ["둘 다 맞습니다. [1, 2] ", "끝"]),
        ("“가.\n1. 나” [1]\n\n“다” [2]\n\n", ["“가.\n1. 나” [1]\n\n", "“다” [2]\n\n"]),
        ("첫 문단\n\n둘째 문단", ["첫 문단\n\n", "둘째 문단"]),
        ("[별표 1] 참조", ["[별표 1] 참조"]),
        ("", []),
    ],
)
def test_a_segment_ends_with_its_citations_or_its_paragraph(answer: str, expected: list[str]) -> None:
    assert segments(answer) == expected


def test_a_segment_is_handed_out_as_soon_as_it_is_certain_to_be_over() -> None:
    segmenter = Segmenter()
    assert list(segmenter.feed("한도는 1억원입니다. [1]")) == []
    assert list(segmenter.feed(" 기")) == ["한도는 1억원입니다. [1] "]


@pytest.mark.parametrize("repeated", ["[1]", "[1] ", "[1, 2]", "[", "[1", "\n", "\n ", " ", "[1]\n\n", "[1]. "])
@pytest.mark.parametrize("end", ["", "가"])
def test_no_answer_holds_the_cutting_up(repeated: str, end: str) -> None:
    answer = (repeated * 4000)[:4000] + end
    started = time.process_time()
    assert "".join(segments(answer)) == answer
    assert time.process_time() - started < LONGEST_CUTTING_SECONDS


ANSWERS = st.lists(
    st.sampled_from(["한도는", " 1억원", "입니다.", " ", "[1]", "[2", "]", "\n", "\n\n", "10", "[", "가"]), max_size=40
)


@settings(deadline=None)
@given(ANSWERS)
def test_segments_joined_are_the_answer(pieces: list[str]) -> None:
    assert "".join(segments(*pieces)) == "".join(pieces)


@settings(deadline=None)
@given(ANSWERS)
def test_where_the_stream_was_cut_makes_no_difference(pieces: list[str]) -> None:
    answer = "".join(pieces)
    assert segments(*answer) == segments(*pieces) == segments(answer)
