"""Every code the service can raise, and every notice it can give, has its sentence in Korean and in English."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import llm_service
import llm_service.app
from llm_service.answering.texts import notice_text
from llm_service.errors import HaechiError, Misconfigured
from llm_service.texts import has_sentence, sentence

PACKAGE = Path(llm_service.__file__).parent
HANGUL = range(0xAC00, 0xD7A4)


def calls() -> Iterator[tuple[str, str]]:
    """(name of what is called, first argument) of every call in the package whose first argument is a text."""
    for module in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield name, first.value


def error_names() -> set[str]:
    """Every error a person can meet. `Misconfigured` is not among them: it stops a process before anybody asks."""
    found: set[str] = set()
    waiting = [HaechiError]
    while waiting:
        kind = waiting.pop()
        if kind is not Misconfigured:
            waiting += kind.__subclasses__()
            found.add(kind.__name__)
    return found


# A class of its own gives its code in the call of its base's __init__.
NAMES = error_names() | {"__init__"}
ERROR_CODES = sorted({code for name, code in calls() if name in NAMES and re.fullmatch(r"[a-z_]+", code)})
NOTICE_CODES = sorted({code for name, code in calls() if name == "Notice"})


def test_the_codes_are_found_in_the_code() -> None:
    assert {"text_empty", "turn_not_found", "database_unavailable", "masking_unavailable"} <= set(ERROR_CODES)
    assert NOTICE_CODES


@pytest.mark.parametrize("code", ERROR_CODES)
def test_an_error_code_has_a_sentence_in_both_languages(code: str) -> None:
    assert has_sentence(code)
    assert any(ord(character) in HANGUL for character in sentence(code, "ko"))
    assert not any(ord(character) in HANGUL for character in sentence(code, "en"))


@pytest.mark.parametrize("code", NOTICE_CODES)
def test_a_notice_code_has_a_sentence_in_both_languages(code: str) -> None:
    assert notice_text(code, "ko") != notice_text(code, "en")
