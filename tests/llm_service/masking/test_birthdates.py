"""Birth dates: only with a cue or beside a name."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("생년월일 900101", "BIRTHDATE", "900101"),
    ("생년월일은 1990년 1월 1일이고", "BIRTHDATE", "1990년 1월 1일"),
    ("90.01.01생", "BIRTHDATE", "90.01.01"),
    ("1990-01-01에 태어났어요", "BIRTHDATE", "1990-01-01"),
    ("생일이 3월 5일이에요", "BIRTHDATE", "3월 5일"),
    ("생년월일 1990 01 01", "BIRTHDATE", "1990 01 01"),
    ("생년월일 １９９０．０１．０１", "BIRTHDATE", "１９９０．０１．０１"),
]
KEPT = [
    "2024년 1월 5일에 가입",
    "만기일 2025-12-31",
    "20260101 기준 잔액",
    "1990년생 가입 가능한가요",
    "1월 1일부터 시행",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
