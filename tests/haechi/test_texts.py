"""The sentences of the `haechi` command: each of them used, each of them there."""

import re
from pathlib import Path

import pytest
import yaml

from haechi.texts import TEXTS_FILE, sentence

KOREAN = re.compile("[가-힣]")
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in sorted(TEXTS_FILE.parent.rglob("*.py"))}
# Commands are not among them: their help is in both languages where Typer wants it, beside the option.
SPOKEN = ("start.py", "ingest.py", "doctor.py")


def test_the_code_and_the_table_know_the_same_sentences() -> None:
    used = {code for source in SOURCES.values() for code in re.findall(r'sentence\(\s*"(\w+)"', source)}
    assert used == set(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", SPOKEN)
def test_no_korean_sentence_stands_in_the_code(name: str) -> None:
    assert not KOREAN.search(SOURCES[name])


def test_a_sentence_is_said_in_both_languages_with_its_names_filled_in() -> None:
    said = sentence("doctor_home_open", home=Path("home"))
    korean, english = said.split(" / ")
    assert korean == "home을 다른 사용자가 읽을 수 있습니다. `chmod 700`을 실행하세요"
    assert english == "home is open to other users; run `chmod 700` on it"
