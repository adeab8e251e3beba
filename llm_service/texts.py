"""The sentences people read, by error or notice code, in Korean and English; they live in `texts.yaml`, not in code."""

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from llm_service.client import Locale

TEXTS_FILE: Final = Path(__file__).with_name("texts.yaml")


def sentence(code: str, locale: Locale) -> str:
    """What a person reads for a code. Raises KeyError for a code without sentences, which a test rules out."""
    return _sentences()[code][locale]


def has_sentence(code: str) -> bool:
    return code in _sentences()


@cache
def _sentences() -> dict[str, dict[Locale, str]]:
    loaded: dict[str, dict[Locale, str]] = yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8"))
    return loaded
