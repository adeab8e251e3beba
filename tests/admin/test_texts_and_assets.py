"""The words and the files of the console: complete in both languages, and as the build wrote them."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from admin import assets, policies
from admin.assets import checked_assets
from admin.pages.choices import KINDS, REASONS_TO_REJECT, RUBRIC, STATES
from admin.rendering import SECTIONS, TEMPLATES
from admin.settings import ConsoleSettings
from admin.texts import TEXTS_FILE
from llm_service.errors import Misconfigured
from llm_service.store.learning_models import DATASET_STATES, RUN_STATES

TABLE: dict[str, dict[str, str]] = yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8"))
PACKAGE = Path(assets.__file__).parent
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.html")))


def test_every_sentence_stands_in_both_languages() -> None:
    for code, sentences in TABLE.items():
        assert set(sentences) == {"ko", "en"}, code
        assert all(sentences.values()), code
        assert len({tuple(sorted(re.findall(r"\{\w+\}", text))) for text in sentences.values()}) == 1, code


def test_every_sentence_that_a_template_asks_for_is_there() -> None:
    asked = set(re.findall(r"\bt\('([a-z_]+)'[,)]", PAGES))
    asked |= {name for pair in re.findall(r"\bt\('([a-z_]+)' if [^)]*? else '([a-z_]+)'", PAGES) for name in pair}
    assert len(asked) > 100
    assert asked - TABLE.keys() == set()


@pytest.mark.parametrize(
    ("prefix", "codes"),
    [
        ("role", policies.ROLES),
        ("section", [name for name, _ in SECTIONS if name in policies.ALLOWED]),
        ("state", [*STATES, *DATASET_STATES, *RUN_STATES]),
        ("kind", KINDS),
        ("rubric", RUBRIC),
        ("reason", REASONS_TO_REJECT),
        ("error", re.findall(r'Declined\("([a-z_]+)"', SOURCES)),
    ],
)
def test_every_code_has_its_words(prefix: str, codes: list[str]) -> None:
    assert codes
    assert [code for code in codes if f"{prefix}_{code}" not in TABLE] == []


def test_no_korean_stands_in_the_code() -> None:
    korean = [line for line in SOURCES.splitlines() if re.search(r"[가-힣]", line) and "PlainTextResponse" not in line]
    assert korean == []


def test_no_template_switches_escaping_off() -> None:
    assert not re.search(r"\|\s*safe\b|autoescape|Markup", PAGES)


def test_the_assets_are_as_the_build_wrote_them() -> None:
    paths = checked_assets()
    assert re.fullmatch(r"/static/htmx\.min\.js\?v=[0-9a-f]{12}", paths["htmx.min.js"])


@pytest.mark.parametrize("harm", ["changed", "added", "removed"])
def test_a_console_with_other_assets_does_not_start(tmp_path: Path, harm: str) -> None:
    copied = shutil.copytree(assets.DIRECTORY, tmp_path / "static")
    target = copied / "console.js"
    if harm == "changed":
        target.write_text(target.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    elif harm == "added":
        (copied / "more.js").write_text("", encoding="utf-8")
    else:
        target.unlink()
    with pytest.raises(Misconfigured, match="console_assets_changed"):
        checked_assets(copied)


def test_our_own_assets_are_those_of_the_sources() -> None:
    for source in sorted((PACKAGE / "ui" / "src").iterdir()):
        assert (assets.DIRECTORY / source.name).read_bytes() == source.read_bytes(), "run `npm run build` in admin/ui"


def test_what_npm_installs_is_pinned() -> None:
    wanted = json.loads((PACKAGE / "ui" / "package.json").read_text(encoding="utf-8"))["dependencies"]
    locked = json.loads((PACKAGE / "ui" / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert wanted == {"htmx.org": "4.0.1", "uplot": "1.6.32"}
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in package for name, package in locked.items() if name)


PRODUCTION = {
    "environment": "production",
    "service_token": "s" * 32,
    "console_key": "c" * 32,
    "console_url": "https://console.bank.example",
    "database_url": "postgresql://haechi@db/haechi",
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"console_key": "short"}, "HAECHI_CONSOLE_KEY"),
        ({"service_token": ""}, "HAECHI_SERVICE_TOKEN"),
        ({"console_url": "http://console.bank.example"}, "https"),
        ({"database_url": ""}, "HAECHI_DATABASE_URL"),
        ({"console_second_factor": "optional"}, "HAECHI_CONSOLE_SECOND_FACTOR"),
    ],
)
def test_production_refuses_what_is_unsafe(changed: dict[str, str], said: str) -> None:
    ConsoleSettings(**PRODUCTION)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        ConsoleSettings(**{**PRODUCTION, **changed})  # type: ignore[arg-type]
