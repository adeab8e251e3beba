"""Examines one machine: what is missing, with the command that installs it, and what is a stand-in."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from haechi.redis_server import RedisMissing, redis_program
from haechi.settings import PlatformSettings
from haechi.start import find_rasa_python
from llm_service.settings import Settings, load_settings

RASA_PROBE_SECONDS = 60
FREE_DISK_BYTES = 2_000_000_000
OPEN_TO_OTHERS = 0o077  # the permission bits of a file's group and of everybody else


@dataclass(frozen=True)
class Finding:
    """One thing looked at: ok, a stand-in for the production part, or missing."""

    part: str
    state: Literal["ok", "stand-in", "missing"]
    meaning: str


def examine(settings: PlatformSettings) -> list[Finding]:
    """Every finding, in the order a start needs the parts."""
    service = load_settings()
    return [
        _rasa(settings),
        _redis(),
        _records(service),
        _vectors(service),
        _engine(service),
        _secrets(settings.home),
        _disk(settings.home),
    ]


def _rasa(settings: PlatformSettings) -> Finding:
    python = find_rasa_python(settings)
    if python is None:
        return Finding(
            "rasa",
            "stand-in",
            "no Python 3.10 environment: intents are routed by the fallback. `pyenv install 3.10`, then `make setup`",
        )
    probe = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('rasa'))"],
        capture_output=True,
        text=True,
        timeout=RASA_PROBE_SECONDS,
        check=False,
    )
    if probe.returncode != 0:
        return Finding("rasa", "missing", f"{python} has no Rasa; run `make setup`")
    return Finding("rasa", "ok", f"Rasa {probe.stdout.strip()} in its own environment")


def _redis() -> Finding:
    try:
        return Finding("redis", "ok", redis_program())
    except RedisMissing as missing:
        return Finding("redis", "missing", str(missing))


def _records(service: Settings) -> Finding:
    if service.resolved_database_url.startswith("sqlite"):
        return Finding("records", "stand-in", "SQLite file; production keeps its records in PostgreSQL")
    return Finding("records", "ok", "PostgreSQL")


def _vectors(service: Settings) -> Finding:
    if not service.qdrant_url:
        return Finding("vectors", "stand-in", "Qdrant Edge inside llm_service; production runs a Qdrant server")
    return Finding("vectors", "ok", "Qdrant server")


def _engine(service: Settings) -> Finding:
    return Finding(
        "engine", "stand-in", f"{service.engine}: answers are quotations of the documents, no model writes them"
    )


def _secrets(home: Path) -> Finding:
    directory = home / "secrets"
    if not directory.is_dir():
        return Finding("secrets", "stand-in", "none yet; the first start makes them for this machine only")
    if home.stat().st_mode & OPEN_TO_OTHERS:
        return Finding("secrets", "missing", f"{home} is open to other users; run `chmod 700` on it")
    open_to_others = [path.name for path in directory.iterdir() if path.stat().st_mode & OPEN_TO_OTHERS]
    if open_to_others:
        return Finding("secrets", "missing", f"readable by others: {', '.join(open_to_others)}; run chmod 600 on them")
    return Finding("secrets", "stand-in", "made by the first start; production brings its own")


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(home if home.exists() else Path()).free
    if free < FREE_DISK_BYTES:
        return Finding("disk", "missing", f"{free / 1e9:.1f} GB free; {FREE_DISK_BYTES / 1e9:.0f} GB are needed")
    return Finding("disk", "ok", f"{free / 1e9:.0f} GB free")
