"""Account numbers: the shapes of Korean banks, bare or spaced in context, and long numbers that are none."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("국민 123456-12-123456으로 이체", "KR_BANK_ACCOUNT", "123456-12-123456"),
    ("신한 110-123-456789", "KR_BANK_ACCOUNT", "110-123-456789"),
    ("우리 1002-123-456789로", "KR_BANK_ACCOUNT", "1002-123-456789"),
    ("하나 123-456789-12345", "KR_BANK_ACCOUNT", "123-456789-12345"),
    ("농협 302-1234-5678-91", "KR_BANK_ACCOUNT", "302-1234-5678-91"),
    ("기업 123-456789-12-345", "KR_BANK_ACCOUNT", "123-456789-12-345"),
    ("카카오뱅크 3333-01-1234567", "KR_BANK_ACCOUNT", "3333-01-1234567"),
    ("케이뱅크 100-123-456789", "KR_BANK_ACCOUNT", "100-123-456789"),
    ("토스뱅크 1000-1234-5678", "KR_BANK_ACCOUNT", "1000-1234-5678"),
    ("새마을금고 9003-1234-5678-9", "KR_BANK_ACCOUNT", "9003-1234-5678-9"),
    ("우체국 123456-01-123456", "KR_BANK_ACCOUNT", "123456-01-123456"),
    ("신협 12345-67-890123", "KR_BANK_ACCOUNT", "12345-67-890123"),
    ("씨티 123-456789-012", "KR_BANK_ACCOUNT", "123-456789-012"),
    ("계좌 11012345678901로 보내주세요", "KR_BANK_ACCOUNT", "11012345678901"),
    ("110 123 456789 신한입니다", "KR_BANK_ACCOUNT", "110 123 456789"),
    ("계좌번호는 110/123/456789", "KR_BANK_ACCOUNT", "110/123/456789"),
    ("국민은행 일이삼사오육-칠팔-구공일이삼사", "KR_BANK_ACCOUNT", "일이삼사오육-칠팔-구공일이삼사"),
    ("보증금은 117 72 326791로", "KR_BANK_ACCOUNT", "117 72 326791"),
]
KEPT = [
    "1234567890원 입금",
    "총 12000000000 원",
    "승인번호 12345678901",
    "거래번호 123456789012",
    "2026112014302512 로그",
    "운송장 1234-5678-1234",
    "2024-01-15 10:30 이체",
    "계좌번호는 14자리인가요",
    "매출 268547879651원",
    "ISIN KR7005930003",
    "계좌 비밀번호를 잊으셨다면 고객센터 1588-0000 (24시간)으로 전화하세요",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
