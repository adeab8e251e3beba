"""Addresses: the road or lot name and all behind it; a place alone stays."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("서울시 강남구 테헤란로 152로 보내주세요", "ADDRESS", "테헤란로 152"),
    ("경기도 성남시 분당구 판교역로 235, 에이치스퀘어 N동 7층", "ADDRESS", "판교역로 235, 에이치스퀘어 N동 7층"),
    ("서울 마포구 성산동 123-4번지", "ADDRESS", "성산동 123-4번지"),
    ("전남 순천시 해룡면 신대리 1997", "ADDRESS", "해룡면 신대리 1997"),
    ("부산 해운대구 우동 1408 래미안아파트 101동 2503호", "ADDRESS", "우동 1408 래미안아파트 101동 2503호"),
    ("집은 은마아파트 12동 304호예요", "ADDRESS", "은마아파트 12동 304호"),
    ("강원도 강릉시 경강로 2021번길 9-1", "ADDRESS", "경강로 2021번길 9-1"),
    ("서울강남구테헤란로152로", "ADDRESS", "테헤란로152"),
    ("집주소는 월드컵북로 6길 12", "ADDRESS", "월드컵북로 6길 12"),
    ("대구 달서구 월배로１０길 ５", "ADDRESS", "월배로１０길 ５"),
]
KEPT = [
    "강남구에 있는 지점",
    "테헤란로 쪽에 지점 있나요",
    "종로 1가 지점",
    "카드로 3만원 결제",
    "앱으로 2번 신청",
    "제4조 제1항으로 3건",
    "서울시 강남구 거주자",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
