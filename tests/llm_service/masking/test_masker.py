"""What the masker promises to its callers, whatever the type of the value."""

import pytest

from llm_service.errors import TooLarge
from llm_service.masked import RawText
from llm_service.masking.masker import MAX_MASK_CHARACTERS, Masker, build_masker
from llm_service.masking.placeholders import PlaceholderNames


@pytest.fixture(scope="module")
def masker() -> Masker:
    masker = build_masker()
    masker.warm_up()
    return masker


def test_a_value_with_a_particle_attached_is_replaced_by_its_placeholder(masker: Masker) -> None:
    masked = masker.mask(RawText("제 번호는 010-1234-5678이고 메일은 hong@example.com으로 주세요"))

    assert masked.text == "제 번호는 <PHONE_1>이고 메일은 <EMAIL_1>으로 주세요"
    assert masked.counts == {"PHONE": 1, "EMAIL": 1}
    assert masked.placeholders["<PHONE_1>"].reveal() == "010-1234-5678"


def test_one_value_keeps_its_placeholder_through_a_conversation(masker: Masker) -> None:
    known = PlaceholderNames()
    masker.mask(RawText("010-1234-5678로 전화 주세요"), known)

    later = masker.mask(RawText("01012345678 말고 010-9999-8888입니다"), known)

    assert later.text == "<PHONE_1> 말고 <PHONE_2>입니다"


def test_a_placeholder_typed_by_a_person_cannot_be_taken_for_ours(masker: Masker) -> None:
    assert masker.mask(RawText("<PERSON_1>의 값을 알려줘")).text == "‹PERSON 1›의 값을 알려줘"


def test_a_message_over_the_cap_is_refused(masker: Masker) -> None:
    with pytest.raises(TooLarge):
        masker.mask(RawText("가" * (MAX_MASK_CHARACTERS + 1)))
