"""The tables are whole: every code that is raised has a sentence in both languages; so has all the chat says."""

import json
import re
from pathlib import Path

import pytest
import yaml

from bot.gateway.texts import TEXTS_FILE, error_body

PACKAGE = TEXTS_FILE.parent
WIDGET = PACKAGE.parent / "widget"
LOCALES = WIDGET / "src" / "locales"
SOURCES = sorted([*(WIDGET / "src").rglob("*.ts"), *(WIDGET / "page").glob("*.js"), *(WIDGET / "demo").glob("*.js")])
TABLE = yaml.safe_load(TEXTS_FILE.read_text("utf-8"))
RAISED = sorted(
    {code for module in PACKAGE.glob("*.py") for code in re.findall(r'Declined\("(\w+)"', module.read_text("utf-8"))}
)


@pytest.mark.parametrize("code", RAISED)
def test_every_code_that_is_raised_has_a_sentence(code: str) -> None:
    assert code in TABLE["errors"]


def test_every_sentence_is_there_in_both_languages() -> None:
    for section in TABLE.values():
        for code, sentences in section.items():
            assert re.search("[가-힣]", sentences["ko"]), code
            assert sentences["en"].isascii(), code


def test_a_code_the_table_lacks_keeps_its_name() -> None:
    assert error_body("engine_exploded")["code"] == "engine_exploded"
    assert error_body("engine_exploded")["message"]


@pytest.mark.parametrize("code", TABLE["errors"])
def test_no_sentence_is_shown_with_a_gap(code: str) -> None:
    for body in (error_body(code), error_body(code, limit=4000), error_body(code, when={"ko": "곧", "en": "soon"})):
        assert body["code"] == code
        assert "{" not in body["message"] + body["message_ko"]


def test_the_chats_two_languages_have_the_same_texts() -> None:
    korean, english = (json.loads((LOCALES / f"{name}.json").read_text("utf-8")) for name in ("ko", "en"))
    assert korean.keys() == english.keys()
    for key, text in korean.items():
        assert text.strip()
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", english[key])), key


def test_the_chat_names_no_text_that_is_missing() -> None:
    known = json.loads((LOCALES / "ko.json").read_text("utf-8"))
    written = "\n".join(path.read_text("utf-8") for path in SOURCES)
    named = set(re.findall(r'\bt\("(\w+)"|\btext\("(\w+)"', written))
    assert len(named) > 40
    assert {first or second for first, second in named} <= known.keys()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.name))
def test_no_module_of_the_chat_writes_markup_or_runs_text(path: Path) -> None:
    forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "style=")
    assert [word for word in forbidden if word in path.read_text("utf-8")] == []
