"""docs/settings.md is what the code says."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from haechi.cli import build_app
from haechi.settings_page import PLAIN_VARIABLES, SETTINGS_CLASSES, settings_page

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_settings_page_is_what_the_command_prints() -> None:
    assert PAGE.read_text(encoding="utf-8") == settings_page(), "run `haechi settings > docs/settings.md`"


@pytest.mark.parametrize("settings_class", SETTINGS_CLASSES.values(), ids=lambda chosen: chosen.__name__)
def test_every_setting_has_a_sentence_of_help(settings_class: type) -> None:
    for name, described in settings_class.model_fields.items():  # type: ignore[attr-defined]
        assert described.description, name
        assert described.description.endswith("."), name


def test_every_command_is_in_the_readme() -> None:
    written = README.read_text(encoding="utf-8")
    listed = CliRunner().invoke(build_app(), ["--help"]).output
    commands = [command.name for command in build_app().registered_commands]
    groups = [group.name for group in build_app().registered_groups]
    assert commands
    for name in filter(None, [*commands, *groups]):
        assert name in listed
        assert f"haechi {name}" in written, f"README does not mention `haechi {name}`"


@pytest.mark.parametrize(("title", "folder"), [("Rasa", "bot/rasa"), ("Action server", "bot/actions")])
def test_every_variable_that_a_plain_process_reads_is_on_the_page(title: str, folder: str) -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in sorted((PAGE.parents[1] / folder).rglob("*.py")))
    read = set(re.findall(r'environ(?:\.get\(|\[)"(HAECHI_\w+)"', source))
    secrets = {name.upper() for name in re.findall(r'"(haechi_\w+_token)"', source)}
    assert read
    assert secrets
    assert {variable for variable, _, _ in PLAIN_VARIABLES[title]} == read | secrets
