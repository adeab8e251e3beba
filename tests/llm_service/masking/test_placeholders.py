"""Placeholders: numbered per value, never typed by people."""

import pytest

from llm_service.client import PLACEHOLDER_TYPES
from llm_service.masking.placeholders import PLACEHOLDER, PlaceholderNames, neutralise
from llm_service.masking.vault import SHARED_TYPES

TYPED = [
    "<PERSON_1>",
    "< person_1 >",
    "[PERSON_1]",
    "{PHONE_2}",
    "&lt;PHONE_1&gt;",
    "＜PERSON_1＞",
    "<PERSON-1>",
    "<KR_RRN_12>",
    "{{PERSON_1}}",
]


@pytest.mark.parametrize("typed", TYPED)
def test_typed_placeholders_become_inert_whatever_their_brackets(typed: str) -> None:
    inert = neutralise(f"값은 {typed} 입니다")

    assert not PLACEHOLDER.search(inert.upper().replace("[", "<").replace("]", ">"))
    assert neutralise(inert) == inert


@pytest.mark.parametrize("text", ["1 < 2 > 0", "<b>굵게</b>", "[안내] PERSON_1", "금리 <3.5%>"])
def test_other_brackets_stay_as_they_are(text: str) -> None:
    assert neutralise(text) == text


@pytest.mark.parametrize(
    ("type_", "one", "other"),
    [
        ("PHONE", "010-1234-5678", "０１０ 1234 5678"),
        ("PERSON", "김민지", "김 민 지"),
        ("EMAIL", "Hong@Example.com", "hong@example.com"),
        ("KR_RRN", "901231-1234567", "9012311234567"),
    ],
)
def test_two_spellings_of_one_value_share_a_placeholder(type_: str, one: str, other: str) -> None:
    names = PlaceholderNames()

    assert names.name_of(type_, one) == names.name_of(type_, other) == f"<{type_}_1>"


def test_numbering_goes_on_where_the_conversation_left_it() -> None:
    names = PlaceholderNames({("PHONE", "01011112222"): "<PHONE_7>"})

    assert names.name_of("PHONE", "010-3333-4444") == "<PHONE_8>"


def test_every_type_has_a_placeholder_that_is_recognised() -> None:
    assert all(PLACEHOLDER.fullmatch(f"<{type_}_1>") for type_ in PLACEHOLDER_TYPES)


def test_a_type_that_finds_nobody_is_a_type_of_the_list() -> None:
    assert set(PLACEHOLDER_TYPES) > SHARED_TYPES
