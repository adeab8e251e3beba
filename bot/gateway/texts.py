"""The gateway's message table: a sentence by section, code and locale. Holds no sentence itself."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from llm_service.client import Locale

TEXTS_FILE = Path(__file__).with_name("texts.yaml")
UNKNOWN_ERROR_CODE = "service_failed"
LOCALES: Final[tuple[Locale, ...]] = ("ko", "en")


def sentence(section: str, code: str, locale: Locale) -> str:
    """The sentence of a code. Raises `KeyError` for a code that the table lacks."""
    return _table()[section][code][locale]


def error_body(code: str, limit: int | None = None, when: Mapping[Locale, str] | None = None) -> dict[str, str]:
    """{"code", "message" (English), "message_ko"}; `limit` and `when` are filled in where a sentence names one.

    A code that the table lacks, or whose limit or time is not known, gets the general sentence.
    """
    known = code in _table()["errors"]
    needed = sentence("errors", code, "ko") if known else ""
    known = known and (limit is not None or "{limit" not in needed) and (when is not None or "{when" not in needed)
    shown = code if known else UNKNOWN_ERROR_CODE
    korean, english = (
        sentence("errors", shown, locale).format(limit=limit, when=when[locale] if when else "") for locale in LOCALES
    )
    return {"code": code, "message": english, "message_ko": korean}


@cache
def _table() -> dict[str, dict[str, dict[str, str]]]:
    return dict(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))
