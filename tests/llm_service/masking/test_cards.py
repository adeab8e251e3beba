"""Payment cards: Luhn-valid numbers, grouped numbers, numbers masked in the middle."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("4532-0151-1283-0366으로 결제", "CREDIT_CARD", "4532-0151-1283-0366"),
    ("4532015112830366이요", "CREDIT_CARD", "4532015112830366"),
    ("5409 2600 0000 0005 카드", "CREDIT_CARD", "5409 2600 0000 0005"),
    ("3782-822463-10005 아멕스", "CREDIT_CARD", "3782-822463-10005"),
    ("9410-1234-5678-9012 국내 전용", "CREDIT_CARD", "9410-1234-5678-9012"),
    ("4532-****-****-0366 카드 맞아요?", "CREDIT_CARD", "4532-****-****-0366"),
    ("카드 4 5 3 2 0 1 5 1 1 2 8 3 0 3 6 6", "CREDIT_CARD", "4 5 3 2 0 1 5 1 1 2 8 3 0 3 6 6"),
    ("사오삼이-공일오일-일이팔삼-공삼육육", "CREDIT_CARD", "사오삼이-공일오일-일이팔삼-공삼육육"),
]
KEPT = [
    "승인번호 12345678",
    "주문번호 4532015112830367",
    "카드번호 16자리를 다 불러야 하나요",
    "유효기간 12/29",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
