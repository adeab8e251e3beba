"""A PostgreSQL cluster of one's own on a socket in a folder, durable as in production; started again, it has its rows.

Knows no table. Needs PostgreSQL's server programs (Debian's `postgresql`).
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

PROGRAMS: Final = Path("/usr/lib/postgresql")
USER: Final = "haechi"
DATABASE: Final = "haechi"
OPTIONS: Final = ("listen_addresses=", "shared_buffers=512MB", "maintenance_work_mem=256MB", "max_wal_size=4GB")
START_SECONDS: Final = 60


@contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The URL of its one database, until the block ends. Raises `RuntimeError` where the programs are missing."""
    programs = sorted(PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        raise RuntimeError("PostgreSQL's server programs are missing: apt-get install postgresql")
    # PostgreSQL refuses to run as root, so root lends it to user postgres.
    is_root = os.geteuid() == 0
    owner = "postgres" if is_root else pwd.getpwuid(os.geteuid()).pw_name
    data, is_new = folder / "data", not (folder / "data").exists()
    folder.mkdir(parents=True, exist_ok=True)
    shutil.chown(folder, owner)

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [programs[-1] / program, *arguments],
            user=owner if is_root else None,
            cwd=folder,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    if is_new:
        run("initdb", "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    options = " ".join(f"-c {option}" for option in (*OPTIONS, f"unix_socket_directories={folder}"))
    run("pg_ctl", "-D", str(data), "-w", "-t", str(START_SECONDS), "-o", options, "start")
    try:
        if is_new:
            with psycopg.connect(_url(folder, "postgres"), autocommit=True) as connection:
                connection.execute(f"CREATE DATABASE {DATABASE}")
        yield _url(folder, DATABASE)
    finally:
        run("pg_ctl", "-D", str(data), "-m", "fast", "-w", "stop")


def _url(folder: Path, database: str) -> str:
    return f"postgresql://{USER}@/{database}?host={folder}"
