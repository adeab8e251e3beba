"""The message table of a start, an ingestion and the doctor: a sentence by code. Holds no sentence itself."""

from functools import cache
from pathlib import Path

import yaml

TEXTS_FILE = Path(__file__).with_name("texts.yaml")


def sentence(code: str, **named: object) -> str:
    """The sentence of a code in every language the table has it in, Korean first, with its {names} filled in.

    Raises `KeyError` for a code that the table lacks, and for a name that is not given.
    """
    return " / ".join(_table()[code].values()).format(**named)


@cache
def _table() -> dict[str, dict[str, str]]:
    return dict(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))
