"""The gateway's message table: a sentence by section, code and locale. Holds no sentence itself."""

from functools import cache
from pathlib import Path

import yaml

from llm_service.client import Locale

TEXTS_FILE = Path(__file__).with_name("texts.yaml")
UNKNOWN_ERROR_CODE = "service_failed"


def sentence(section: str, code: str, locale: Locale) -> str:
    """The sentence of a code. Raises `KeyError` for a code that the table lacks."""
    return _table()[section][code][locale]


def error_body(code: str) -> dict[str, str]:
    """{"code", "message" (English), "message_ko"}; a code the table lacks gets the general sentence."""
    known = code if code in _table()["errors"] else UNKNOWN_ERROR_CODE
    return {"code": code, "message": sentence("errors", known, "en"), "message_ko": sentence("errors", known, "ko")}


@cache
def _table() -> dict[str, dict[str, dict[str, str]]]:
    return dict(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))
