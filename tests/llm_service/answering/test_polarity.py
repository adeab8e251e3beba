"""Endings are read for what they do to their verb, and only real contradictions count as such."""

import pytest

from llm_service.answering.polarity import contradicts, predicates_of, swapped_opposites


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("실명을 확인하지 아니할 수 있다.", [("확인", "exempt")]),
        ("실명을 확인하지 않아도 됩니다.", [("확인", "exempt")]),
        ("실명을 확인하여야 한다.", [("확인", "obliged")]),
        ("실명을 확인해야 합니다.", [("확인", "obliged")]),
        ("계약의 해지를 신청할 수 있다.", [("신청", "allowed")]),
        ("계약의 해지를 신청할 수 없습니다.", [("신청", "forbidden")]),
        ("계약을 체결하여서는 아니 된다.", [("체결", "forbidden")]),
        ("이용자에게 보고하지 아니한다.", [("보고", "negative")]),
        ("이용자에게 보고한다.", [("보고", "plain")]),
        ("철회할 수 있으며, 대금을 반환하여야 한다.", [("철회", "allowed"), ("반환", "obliged")]),
        ("동의를 받아야 한다.", [("의를받", "obliged")]),
    ],
)
def test_an_ending_says_what_may_must_or_must_not_be(sentence: str, expected: list[tuple[str, str]]) -> None:
    assert [(predicate.verb, predicate.force) for predicate in predicates_of(sentence)] == expected


def test_may_and_may_not_contradict_each_other_both_ways() -> None:
    assert contradicts("allowed", "forbidden")
    assert contradicts("forbidden", "allowed")
    assert contradicts("obliged", "exempt")
    assert contradicts("plain", "negative")


def test_a_duty_told_in_plain_words_is_no_contradiction() -> None:
    assert not contradicts("obliged", "plain")
    assert not contradicts("forbidden", "negative")
    assert not contradicts("allowed", "allowed")


def test_a_word_in_the_place_of_its_opposite_is_seen() -> None:
    assert swapped_opposites("이자를 제외한다.", "이자를 포함한다.")
    assert not swapped_opposites("이자를 포함한다.", "이자를 포함한다.")
    assert not swapped_opposites("이자를 포함한다.", "이자를 포함하고 세금은 제외한다.")
