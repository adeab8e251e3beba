"""Business registration numbers."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("사업자등록번호 123-45-67890이고요", "KR_BRN", "123-45-67890"),
    ("124-81-00998 업체", "KR_BRN", "124-81-00998"),
    ("사업자 1248100998로 가입", "KR_BRN", "1248100998"),
    ("사업자번호 124 81 00998", "KR_BRN", "124 81 00998"),
    ("사업자 일이사-팔일-공공구구팔", "KR_BRN", "일이사-팔일-공공구구팔"),
]
KEPT = [
    "상품코드 123-4567-8901",
    "제123-45호",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
