"""The whole platform as real processes (Redis, Rasa, actions, llm_service, gateway), started once for all journeys."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from haechi.secrets import read_secret

PROJECT = Path(__file__).resolve().parents[2]
PORTS = ("GATEWAY", "LLM_SERVICE", "ACTIONS", "RASA", "REDIS", "CONSOLE")
START_SECONDS = 300


@dataclass(frozen=True)
class RunningPlatform:
    """The platform: where it listens, where it keeps things, and the environment of a command that joins it."""

    home: Path
    url: str
    environment: dict[str, str]

    @property
    def token(self) -> str:
        return read_secret(self.home, "haechi_service_token")

    @property
    def log(self) -> str:
        return (self.home / "logs" / "platform.log").read_text(encoding="utf-8")

    def haechi(self, *arguments: str, lines: str = "") -> "subprocess.CompletedProcess[str]":
        """One `haechi` command beside the running platform."""
        return subprocess.run(
            [sys.executable, "-m", "haechi.cli", *arguments],
            env=self.environment,
            input=lines,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )


def platform_environment(home: Path) -> dict[str, str]:
    """The variables of a platform of its own: its home and ports nobody uses."""
    chosen = {f"HAECHI_{name}_PORT": str(port) for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAECHI_")}
    return {**inherited, **chosen, "HAECHI_HOME": str(home), "PYTHONUNBUFFERED": "1"}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that are free now; held together, so that no two are the same."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def processes_of(home: Path) -> list[int]:
    """Numbers of living processes that were started for this home directory (Linux: /proc)."""
    marker = f"HAECHI_HOME={home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue  # ended, or another user's
    return found


@pytest.fixture(scope="session")
def running_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """`haechi up`, with the samples ingested and its first question answered; stopped by Ctrl-C's signal at the end."""
    home = tmp_path_factory.mktemp("platform")
    environment = platform_environment(home)
    process = subprocess.Popen(
        [sys.executable, "-m", "haechi.cli", "up"], env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    try:
        printed = wait_for_line(process, "Ctrl-C")
        assert process.poll() is None, printed
        yield RunningPlatform(home, f"http://127.0.0.1:{environment['HAECHI_GATEWAY_PORT']}", environment)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def wait_for_line(process: "subprocess.Popen[str]", marker: str) -> str:
    """What a process printed up to the line that holds the marker, or up to its end."""
    assert process.stdout is not None
    printed = []
    for line in process.stdout:
        printed.append(line)
        if marker in line:
            break
    return "".join(printed)
