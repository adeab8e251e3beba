"""The sentence that belongs to a reason code, from `data/document_reasons.yaml`."""

from functools import cache
from pathlib import Path
from typing import Literal

import yaml

_FILE = Path(__file__).parent / "data" / "document_reasons.yaml"


def explain(code: str, language: Literal["ko", "en"] = "ko") -> str:
    """`code: sentence`; KeyError for a code without a sentence, which the tests rule out."""
    return f"{code}: {_sentences()[code][language]}"


@cache
def _sentences() -> dict[str, dict[str, str]]:
    sentences: dict[str, dict[str, str]] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return sentences
