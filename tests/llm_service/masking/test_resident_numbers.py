"""Resident and foreigner registration numbers: what counts, in which writing, and what only looks like one."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("실명확인은 901231-1234567로 했습니다", "KR_RRN", "901231-1234567"),
    ("주민번호 9012311234567이고요", "KR_RRN", "9012311234567"),
    ("901231 1234567 맞나요", "KR_RRN", "901231 1234567"),
    ("생년월일은 앞자리 901231 뒷자리 1234567", "KR_RRN", "901231 뒷자리 1234567"),
    ("2020년 10월 이후 번호: 051231-3999999", "KR_RRN", "051231-3999999"),
    ("뒷자리를 가린 901231-1******도", "KR_RRN", "901231-1******"),
    ("９０１２３１－１２３４５６７ 입니다", "KR_RRN", "９０１２３１－１２３４５６７"),
    ("9 0 1 2 3 1 1 2 3 4 5 6 7", "KR_RRN", "9 0 1 2 3 1 1 2 3 4 5 6 7"),
    ("구공일이삼일 다시 일이삼사오육칠이에요", "KR_RRN", "구공일이삼일 다시 일이삼사오육칠"),
    ("9O1231-l234567 확인", "KR_RRN", "9O1231-l234567"),
    ("&#57;01231-1234567", "KR_RRN", "&#57;01231-1234567"),
    ("외국인등록번호 901231-5234567이고", "KR_FRN", "901231-5234567"),
    ("9012316234567로 등록", "KR_FRN", "9012316234567"),
    ("외국인 등록증 051231 7234567", "KR_FRN", "051231 7234567"),
]
KEPT = [
    "주문번호 9012311234567 조회",
    "991332-1234567 은 없는 날짜",
    "9012311234567원 이체",
    "2009.2.6, 2015.1.20 개정",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
