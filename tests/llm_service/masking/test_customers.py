"""Customer numbers stand behind their label."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("고객번호 123456789 조회", "CUSTOMER_ID", "123456789"),
    ("고객번호는 1234567890이고", "CUSTOMER_ID", "1234567890"),
    ("CIF 123456789로", "CUSTOMER_ID", "123456789"),
    ("CIF번호: 123-456-789", "CUSTOMER_ID", "123-456-789"),
    ("고객번호 일이삼사오육칠팔구", "CUSTOMER_ID", "일이삼사오육칠팔구"),
]
KEPT = [
    "번호표 123번",
    "고객번호를 모르겠어요",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
