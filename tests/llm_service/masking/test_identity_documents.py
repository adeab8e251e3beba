"""Passports and driver's licences."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("여권 M12345678이고", "KR_PASSPORT", "M12345678"),
    ("M123A4567 신여권", "KR_PASSPORT", "M123A4567"),
    ("여권번호 m 1234 5678", "KR_PASSPORT", "m 1234 5678"),
    ("여권 Ｍ１２３４５６７８", "KR_PASSPORT", "Ｍ１２３４５６７８"),
    ("면허 11-12-345678-90으로", "KR_DRIVER_LICENSE", "11-12-345678-90"),
    ("서울 12-345678-90", "KR_DRIVER_LICENSE", "서울 12-345678-90"),
    ("운전면허번호 111234567890", "KR_DRIVER_LICENSE", "111234567890"),
    ("면허증 11 12 345678 90이요", "KR_DRIVER_LICENSE", "11 12 345678 90"),
    ("면허 일일-일이-삼사오육칠팔-구공", "KR_DRIVER_LICENSE", "일일-일이-삼사오육칠팔-구공"),
]
KEPT = [
    "단말기 번호 T-12345678",
    "모델 SM-1234",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
