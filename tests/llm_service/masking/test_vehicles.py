"""Vehicle plates."""

import pytest

from tests.llm_service.masking.conftest import Found

MASKED = [
    # text, type, value
    ("12가3456 차량 담보", "VEHICLE_PLATE", "12가3456"),
    ("123가 4567이요", "VEHICLE_PLATE", "123가 4567"),
    ("서울12가3456", "VEHICLE_PLATE", "서울12가3456"),
    ("서울 32 나 1234", "VEHICLE_PLATE", "서울 32 나 1234"),
    ("１２가３４５６", "VEHICLE_PLATE", "１２가３４５６"),
]
KEPT = [
    "12만3456원",
    "2024년1234건",
    "12개 3456원",
]


@pytest.mark.parametrize(("text", "type_", "value"), MASKED)
def test_the_value_is_found_exactly(found: Found, text: str, type_: str, value: str) -> None:
    assert found(text) == [(type_, value)]


@pytest.mark.parametrize("text", KEPT)
def test_what_only_looks_like_one_stays(found: Found, text: str) -> None:
    assert found(text) == []
