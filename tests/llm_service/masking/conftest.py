"""One masker for all tests of this folder, and the question the tables ask: which values does it find in this text?"""

from collections.abc import Callable

import pytest

from llm_service.masked import RawText
from llm_service.masking.masker import Masker, build_masker

Found = Callable[[str], list[tuple[str, str]]]


@pytest.fixture(scope="session")
def masker() -> Masker:
    masker = build_masker()
    masker.warm_up()
    return masker


@pytest.fixture(scope="session")
def found(masker: Masker) -> Found:
    """Text → the values found in it, in order, as (type, value)."""

    def find(text: str) -> list[tuple[str, str]]:
        return [(entity.type, text[entity.start : entity.end]) for entity in masker.detect(RawText(text))]

    return find
