"""The recipes of the images: a base of the bank's choice, lists locked by hash, no root, no shell, all its imports."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FOLDER = PROJECT / "deploy" / "images"
OURS = sorted({path.name.removesuffix(".Dockerfile") for path in FOLDER.glob("*.Dockerfile")} - {"tgi"})
ENTRIES = {
    "gateway": ("bot.gateway.app", "bot.actions.app", "bot.gateway.slack.app", "bot.teams_door.app"),
    "llm-service": ("llm_service.app",),
    "admin": ("admin.app",),
    "migrate": ("llm_service.store.migrate",),
    "trainer-cpu": ("trainer.worker", "llm_service.engines.devserver.__main__"),
    "trainer-cuda": ("trainer.worker",),
}


def recipe(name: str) -> str:
    return (FOLDER / f"{name}.Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("name", OURS)
def test_the_base_is_the_banks_to_choose(name: str) -> None:
    lines = recipe(name).splitlines()
    assert any(line.startswith("ARG BASE_IMAGE=") for line in lines)
    assert {line for line in lines if line.startswith("FROM")} == {"FROM ${BASE_IMAGE} AS build", "FROM ${BASE_IMAGE}"}


@pytest.mark.parametrize("name", OURS)
def test_what_is_installed_is_locked_by_hash(name: str) -> None:
    text = recipe(name)
    installs = [line for line in text.splitlines() if "pip" in line and "install" in line and line.startswith("RUN")]
    installing = [line for line in installs if '"uninstall"' not in line]
    assert installing
    assert all("--require-hashes" in line and "--no-deps" in line for line in installing)
    for lock in re.findall(r"^COPY (locks/\S+) ", text, re.MULTILINE):
        assert "--hash=sha256:" in (PROJECT / lock).read_text("utf-8")


@pytest.mark.parametrize("name", [*OURS, "tgi"])
def test_it_runs_as_nobody_in_particular(name: str) -> None:
    users = re.findall(r"^USER (\S+)", recipe(name), re.MULTILINE)
    assert users[-1] == "10001:10001"


@pytest.mark.parametrize("name", OURS)
def test_old_engines_build_it(name: str) -> None:
    """buildah 1.28 knows neither heredocs nor linked copies; commands are lists, so that no shell is needed."""
    text = recipe(name)
    assert "<<" not in text
    assert "--link" not in text
    for line in text.splitlines():
        if line.startswith(("RUN ", "CMD ", "ENTRYPOINT ")):
            assert line.split(" ", 1)[1].startswith("["), line


@pytest.mark.parametrize("name", OURS)
def test_it_says_how_it_is(name: str) -> None:
    assert name == "migrate" or re.search(r'^HEALTHCHECK .* CMD \["python"', recipe(name), re.MULTILINE)


@pytest.mark.parametrize("name", OURS)
def test_what_is_copied_is_there(name: str) -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", recipe(name), re.MULTILINE):
        *sources, _ = line.split()
        for source in sources:
            assert (PROJECT / source).exists(), source


@pytest.mark.parametrize("name", ENTRIES)
def test_what_is_copied_is_all_that_is_imported(name: str, tmp_path: Path) -> None:
    """The files of the image, and nothing else of ours, import the programs it runs."""
    for line in re.findall(r"^COPY (?!--from)(.+)$", recipe(name), re.MULTILINE):
        *sources, target = line.split()
        if not target.startswith("/opt/haechi"):
            continue
        for source in sources:
            place = tmp_path / target.removeprefix("/opt/haechi").lstrip("/")
            if (PROJECT / source).is_dir():
                shutil.copytree(
                    PROJECT / source, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__")
                )
            else:
                place = place / Path(source).name if target.endswith("/") else place
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(PROJECT / source, place)
    ran = subprocess.run(
        [sys.executable, "-P", Path(__file__).with_name("import_from.py"), tmp_path, *ENTRIES[name]],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
