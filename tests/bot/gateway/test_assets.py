"""What browsers are given: as the build wrote it, within its budget, without what a strict policy forbids."""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from bot.gateway.assets import DIRECTORY, check_assets
from bot.gateway.errors import AssetsChanged

WIDGET = DIRECTORY.parent.parent / "widget"
BUNDLES = ("haechi-chat.js", "haechi-chat.iife.js")
BUDGET_BYTES = 25_000


def test_the_assets_are_as_the_build_wrote_them() -> None:
    check_assets()


@pytest.mark.parametrize("harm", ["changed", "added", "removed"])
def test_a_gateway_with_other_assets_does_not_start(tmp_path: Path, harm: str) -> None:
    copied = shutil.copytree(DIRECTORY, tmp_path / "static")
    target = copied / "haechi-chat.js"
    if harm == "changed":
        target.write_text(target.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    elif harm == "added":
        (copied / "more.js").write_text("", encoding="utf-8")
    else:
        target.unlink()
    with pytest.raises(AssetsChanged, match="bot/widget"):
        check_assets(copied)


@pytest.mark.parametrize("name", BUNDLES)
def test_each_bundle_is_one_file_within_the_budget(name: str) -> None:
    content = (DIRECTORY / name).read_bytes()
    assert len(gzip.compress(content, 9)) <= BUDGET_BYTES
    assert not re.search(rb"\bimport\s*[({\"']|\bfrom\s*[\"']", content)


@pytest.mark.parametrize("name", BUNDLES)
def test_the_published_hash_is_the_one_of_the_file(name: str) -> None:
    published = json.loads((DIRECTORY / "integrity.json").read_text(encoding="utf-8"))[name]
    digest = hashlib.sha384((DIRECTORY / name).read_bytes()).digest()
    assert published == f"sha384-{base64.b64encode(digest).decode()}"


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_names_no_other_host_and_evaluates_no_text(name: str) -> None:
    content = (DIRECTORY / name).read_text(encoding="utf-8")
    hosts = set(re.findall(r"https?://([a-z0-9.-]+)", content))
    assert hosts <= {"www.w3.org"}  # the names of XML, which nobody fetches
    assert not re.search(r"\beval\(|new Function|document\.write|insertAdjacentHTML", content)


def test_the_pages_and_the_demonstration_are_those_of_the_sources() -> None:
    for source in sorted([*(WIDGET / "page").iterdir(), *(WIDGET / "demo").iterdir()]):
        assert (DIRECTORY / source.name).read_bytes() == source.read_bytes(), "run `npm run build` in bot/widget"


def test_lits_licence_lies_beside_the_bundles() -> None:
    assert "BSD 3-Clause" in (DIRECTORY / "haechi-chat.LICENSE.txt").read_text(encoding="utf-8")


def test_what_npm_installs_is_pinned() -> None:
    wanted = json.loads((WIDGET / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    locked = json.loads((WIDGET / "package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert wanted == {"lit": "3.3.3", "typescript": "5.9.3", "vite": "8.3.8"}
    assert {name: locked[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in package for name, package in locked.items() if name)


needs_node = pytest.mark.skipif(
    shutil.which("node") is None or not (WIDGET / "node_modules").is_dir(),
    reason="NOT REBUILT: needs node, and `npm ci --ignore-scripts` in bot/widget",
)


def build(into: Path, widget: Path = WIDGET) -> "subprocess.CompletedProcess[str]":
    command = ["node", "build.js", "--into", str(into)]
    return subprocess.run(command, cwd=widget, capture_output=True, text=True, check=False, timeout=120)


@needs_node
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    built = build(tmp_path / "static")
    assert built.returncode == 0, built.stderr
    manifest = (tmp_path / "static" / "manifest.json").read_text(encoding="utf-8")
    assert manifest == (DIRECTORY / "manifest.json").read_text(encoding="utf-8")


@needs_node
@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("src/locales/en.json", '  "send": "Send",\n', "", "en.json lacks send"),
        ("src/locales/en.json", "Sources ({count})", "Sources", "sources has other values"),
        ("src/index.ts", "export {", "document.body.innerHTML = '';\nexport {", "forbidden under the policy"),
        ("build.js", "BUDGET_BYTES = 25_000", "BUDGET_BYTES = 20_000", "more than 20000"),
    ],
)
def test_a_build_fails_on_what_must_not_be(tmp_path: Path, file: str, before: str, after: str, said: str) -> None:
    copied = tmp_path / "bot" / "widget"
    shutil.copytree(WIDGET, copied, ignore=shutil.ignore_patterns("node_modules", "dist"))
    (copied / "node_modules").symlink_to(WIDGET / "node_modules")
    target = copied / file
    content = target.read_text(encoding="utf-8")
    assert before in content
    target.write_text(content.replace(before, after), encoding="utf-8")
    built = build(tmp_path / "static", copied)
    assert built.returncode == 1
    assert said in built.stderr
