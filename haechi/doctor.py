"""Examines one machine: what is missing, with the command that installs it, and what is a stand-in."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sqlalchemy import inspect
from sqlalchemy.exc import OperationalError

from admin import settings as console_settings
from haechi.redis_server import RedisMissing, redis_program
from haechi.settings import PlatformSettings
from haechi.start import find_rasa_python
from haechi.texts import sentence
from llm_service.settings import Settings, load_settings
from llm_service.store import controls
from llm_service.store.control_models import Control
from llm_service.store.passages import reading
from llm_service.store.session import open_database, session_factory

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
        _answers(service),
        _console(),
        _secrets(settings.home),
        _disk(settings.home),
    ]


def _rasa(settings: PlatformSettings) -> Finding:
    python = find_rasa_python(settings)
    if python is None:
        return Finding("rasa", "stand-in", sentence("doctor_rasa_stand_in"))
    probe = subprocess.run(
        [python, "-c", "import importlib.metadata as m; print(m.version('rasa'))"],
        capture_output=True,
        text=True,
        timeout=RASA_PROBE_SECONDS,
        check=False,
    )
    if probe.returncode != 0:
        return Finding("rasa", "missing", sentence("doctor_rasa_missing", python=python))
    return Finding("rasa", "ok", sentence("doctor_rasa_ok", version=probe.stdout.strip()))


def _redis() -> Finding:
    try:
        return Finding("redis", "ok", redis_program())
    except RedisMissing:
        return Finding("redis", "missing", sentence("doctor_redis_missing"))


def _records(service: Settings) -> Finding:
    if service.resolved_database_url.startswith("sqlite"):
        return Finding("records", "stand-in", sentence("doctor_records_stand_in"))
    return Finding("records", "ok", "PostgreSQL")


def _vectors(service: Settings) -> Finding:
    if not service.qdrant_url:
        return Finding("vectors", "stand-in", sentence("doctor_vectors_stand_in"))
    return Finding("vectors", "ok", sentence("doctor_vectors_ok"))


def _engine(service: Settings) -> Finding:
    if service.engine == "extractive":
        return Finding("engine", "stand-in", sentence("doctor_engine_stand_in", engine=service.engine))
    if service.engine == "devserver":
        return Finding("engine", "stand-in", sentence("doctor_engine_devserver"))
    servers = len(service.engine_addresses)
    return Finding("engine", "ok", sentence("doctor_engine_ok", engine=service.engine, servers=str(servers)))


def _answers(service: Settings) -> Finding:
    """The kill switch as the records have it; where there are none yet, answers are on."""
    database = open_database(service.resolved_database_url)
    try:
        if not inspect(database).has_table(Control.__tablename__):
            return Finding("answers", "ok", sentence("answers_on"))
        with reading(session_factory(database)) as session:
            is_on = controls.answers_are_on(session)
    except OperationalError:
        return Finding("answers", "missing", sentence("doctor_records_unreachable"))
    finally:
        database.dispose()
    return Finding(
        "answers", "ok" if is_on else "stand-in", sentence("answers_on") if is_on else sentence("answers_off")
    )


def _console() -> Finding:
    chosen = console_settings.load_settings()
    if chosen.oidc_issuer and chosen.is_behind_tls:
        return Finding("console", "ok", sentence("doctor_console_ok"))
    return Finding("console", "stand-in", sentence("doctor_console_stand_in"))


def _secrets(home: Path) -> Finding:
    directory = home / "secrets"
    if not directory.is_dir():
        return Finding("secrets", "stand-in", sentence("doctor_secrets_none_yet"))
    if home.stat().st_mode & OPEN_TO_OTHERS:
        return Finding("secrets", "missing", sentence("doctor_home_open", home=home))
    open_to_others = [path.name for path in directory.iterdir() if path.stat().st_mode & OPEN_TO_OTHERS]
    if open_to_others:
        return Finding("secrets", "missing", sentence("doctor_secrets_open", names=", ".join(open_to_others)))
    return Finding("secrets", "stand-in", sentence("doctor_secrets_stand_in"))


def _disk(home: Path) -> Finding:
    free = shutil.disk_usage(home if home.exists() else Path()).free
    if free < FREE_DISK_BYTES:
        return Finding(
            "disk", "missing", sentence("doctor_disk_missing", free=free / 1e9, needed=FREE_DISK_BYTES / 1e9)
        )
    return Finding("disk", "ok", sentence("doctor_disk_ok", free=free / 1e9))
