"""The console's message table: a sentence by code and locale. Holds no sentence itself."""

from functools import cache
from pathlib import Path
from typing import Final

import yaml

from llm_service.client import Locale

TEXTS_FILE: Final = Path(__file__).with_name("texts.yaml")
LOCALES: Final[tuple[Locale, ...]] = ("ko", "en")


def has_sentence(code: str) -> bool:
    return code in _table()


def sentence(code: str, locale: Locale, **values: object) -> str:
    """The sentence of a code, its {names} filled in. Raises `KeyError` for a code that the table lacks."""
    written = _table()[code][locale]
    return written.format(**values) if values else written


@cache
def _table() -> dict[str, dict[Locale, str]]:
    return dict(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))
