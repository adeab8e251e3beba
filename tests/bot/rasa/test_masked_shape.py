"""What the second line behind the masker refuses, and what it lets through."""

import time

import pytest

from bot.rasa.channel.masked_shape import looks_unmasked

LONGEST_CHECK_SECONDS = 0.05

UNMASKED = [
    "제 주민번호는 900101-1234567이에요",
    "9001011234567 조회",
    "900101 - 1234567",
    "900101  -  1234567",
    "900101-5234567 외국인등록번호",
    "９００１０１－１２３４５６７",
    "9\u200b00101-1234567",
    "카드 4111-1111-1111-1111",
    "4111111111111111로 결제",
    "4111 1111 1111 1111",
    "3782-822463-10005",
    "010-1234-5678로 전화 주세요",
    "01012345678이요",
    "+82 10-1234-5678",
    "02-123-4567",
]
MASKED = [
    "제 주민번호는 <KR_RRN_1>이에요",
    "<PERSON_1> 고객 <PHONE_1>",
    "30,000,000원",
    "100000000원 30년 4.5%",
    "2026-11-21에 만기",
    "제4조의2 제1항",
    "1588-0000",
    "112에 신고했어요",
    "20261121",
    "9만 원",
    "",
]


@pytest.mark.parametrize("text", UNMASKED)
def test_the_shape_of_a_persons_number_is_refused(text: str) -> None:
    assert looks_unmasked(text)


@pytest.mark.parametrize("text", MASKED)
def test_masked_text_amounts_and_dates_pass(text: str) -> None:
    assert not looks_unmasked(text)


@pytest.mark.parametrize("repeated", [" ", "- ", "9", "900101", "900101 ", "900101 - ", "1234 ", "010 ", "+82 ", "02-"])
def test_no_text_holds_the_check_up(repeated: str) -> None:
    for begun in ("", "900101", "4111", "010"):
        started = time.process_time()
        looks_unmasked((begun + repeated * 4000)[:4000])
        assert time.process_time() - started < LONGEST_CHECK_SECONDS, begun
