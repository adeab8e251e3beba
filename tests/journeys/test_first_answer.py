"""The first thing a newcomer does: one command, one question, a cited answer, and nothing left behind."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from haechi.secrets import read_secret
from haechi.start import TRACKER_DATABASE
from tests.journeys.conftest import (
    PROJECT,
    START_SECONDS,
    RunningPlatform,
    platform_environment,
    processes_of,
    wait_for_line,
)

UP = [sys.executable, "-m", "haechi.cli", "up"]
TRACKER_SECONDS = 1800  # record_exp in bot/rasa/endpoints.redis.yml


def without_network() -> list[str]:
    """A command prefix that gives a process a network of its own with nothing but loopback in it (Linux namespaces)."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare and ip are missing: apt-get install util-linux iproute2")
    prefix = ["unshare", "--net", "--map-root-user", "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine does not let us make a network namespace (unshare --net --map-root-user)")
    return prefix


def test_the_first_start_answers_with_a_citation_although_the_network_is_cut(tmp_path: Path) -> None:
    started = subprocess.run(
        [*without_network(), *UP, "--once"],
        env=platform_environment(tmp_path),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    assert "[1]" in started.stdout
    for stage in ("mask", "route", "retrieve", "answer"):
        assert f"{stage} " in started.stdout
    assert processes_of(tmp_path) == []


def test_ctrl_c_leaves_no_process_behind(running_platform: RunningPlatform, tmp_path: Path) -> None:
    shutil.copytree(running_platform.home / "rasa", tmp_path / "rasa")  # trained already: this is not about training
    process = subprocess.Popen(
        UP, env=platform_environment(tmp_path), cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        wait_for_line(process, "Ctrl-C")
        assert len(processes_of(tmp_path)) > 1
        os.killpg(process.pid, signal.SIGINT)  # what a terminal sends: every process of the group gets it
        process.communicate(timeout=60)
        assert processes_of(tmp_path) == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def test_without_rasa_the_platform_starts_says_so_and_answers(tmp_path: Path) -> None:
    environment = {**platform_environment(tmp_path), "HAECHI_RASA_PYTHON": str(tmp_path / "no-such-python")}
    started = subprocess.run(
        [*UP, "--once"],
        env=environment,
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    assert started.returncode == 0, started.stdout + started.stderr
    assert "NO RASA" in started.stdout
    assert "[1]" in started.stdout


def test_a_second_platform_on_the_same_ports_is_refused_with_what_to_do(
    running_platform: RunningPlatform, tmp_path: Path
) -> None:
    environment = {**running_platform.environment, "HAECHI_HOME": str(tmp_path)}
    second = subprocess.run(
        [*UP, "--once"], env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    assert "haechi status" in second.stderr


def test_no_file_of_the_platform_is_open_to_other_users(running_platform: RunningPlatform) -> None:
    home = running_platform.home
    kept = [home, *home.rglob("*")]
    assert home / "haechi.db" in kept
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []


def test_rasa_forgets_a_conversation_after_half_an_hour(running_platform: RunningPlatform) -> None:
    asked = running_platform.haechi("ask", "안녕하세요", "--json")
    assert asked.returncode == 0, asked.stderr
    password = read_secret(running_platform.home, "haechi_redis_password")
    port = int(running_platform.environment["HAECHI_REDIS_PORT"])
    with redis.Redis("127.0.0.1", port, db=TRACKER_DATABASE, password=password, decode_responses=True) as conversations:
        kept = list(conversations.scan_iter("haechi:tracker:*"))
        assert kept
        assert all(0 < conversations.ttl(key) <= TRACKER_SECONDS for key in kept)
