"""Real Rasa for tests: the model trained from today's sources, the server process, and the action server beside it.

Needs the Python 3.10 environment; where that is missing, every test here is skipped and says so.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.bot.rasa.project import ROOT

TRAINING_SECONDS = 240
START_SECONDS = 90
STOP_SECONDS = 15
RASA_TOKEN = "rasa-token-for-tests"
SERVICE_TOKEN = "service-token-for-tests"

Run = Callable[..., AbstractContextManager["RunningRasa"]]


@dataclass(frozen=True)
class RunningRasa:
    """A server process: its address, what it logs, its process id."""

    http: httpx.Client
    log: Path
    process_id: int

    def post(self, path: str, body: Any, token: str = RASA_TOKEN) -> httpx.Response:
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return self.http.post(f"/webhooks/guarded/{path}", headers={"Authorization": f"Bearer {token}"}, **content)

    def say(self, conversation: str, text: str, locale: str = "ko") -> dict[str, Any]:
        response = self.post("webhook", {"conversation": conversation, "text": text, "locale": locale})
        assert response.status_code == 200, response.text
        answered: dict[str, Any] = response.json()
        return answered

    def parse(self, text: str) -> str:
        response = self.post("parse", {"text": text})
        assert response.status_code == 200, response.text
        name: str = response.json()["intent"]["name"]
        return name


@pytest.fixture(scope="session")
def rasa_python() -> str:
    """The interpreter that has Rasa."""
    python = os.environ.get("HAECHI_RASA_PYTHON") or str(ROOT / ".venv-rasa" / "bin" / "python")
    if not Path(python).exists():
        pytest.skip(f"NO RASA: no Python 3.10 environment at {python}; run `make setup`. INTENTS ARE NOT TESTED")
    return python


@pytest.fixture(scope="session")
def rasa_home(rasa_python: str) -> Path:
    """A data directory with the trained model, kept between runs and trained again when its sources change."""
    home = ROOT / ".setup" / "rasa-tests"
    home.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [rasa_python, "-m", "bot.rasa.train"],
        cwd=ROOT,
        env=os.environ | {"HAECHI_HOME": str(home)},
        check=True,
        capture_output=True,
        timeout=TRAINING_SECONDS,
    )
    return home


@pytest.fixture(scope="session")
def run_rasa(rasa_python: str, rasa_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Starts Rasa with an action server at a given address; stops it when the block ends."""

    @contextmanager
    def run(actions_url: str, **variables: str) -> Iterator[RunningRasa]:
        port = free_port()
        environment = os.environ | {
            "HAECHI_HOME": str(rasa_home),
            "HAECHI_RASA_PORT": str(port),
            "HAECHI_RASA_TOKEN": RASA_TOKEN,
            "HAECHI_SERVICE_TOKEN": SERVICE_TOKEN,
            "HAECHI_ACTIONS_URL": actions_url,
            **variables,
        }
        log = tmp_path_factory.mktemp("rasa") / "rasa.log"
        command = [rasa_python, "-m", "bot.rasa.serve"]
        with (
            process(command, environment, log) as running,
            httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
        ):
            wait_until_answering(client, "/webhooks/guarded/health", running, log)
            yield RunningRasa(client, log, running.pid)

    return run


@pytest.fixture(scope="session")
def actions_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real action server."""
    port = free_port()
    environment = os.environ | {"HAECHI_ACTIONS_PORT": str(port), "HAECHI_SERVICE_TOKEN": SERVICE_TOKEN}
    log = tmp_path_factory.mktemp("actions") / "actions.log"
    command = [sys.executable, "-m", "bot.actions.app"]
    with (
        process(command, environment, log) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client,
    ):
        wait_until_answering(client, "/health/live", running, log)
        yield f"http://127.0.0.1:{port}/actions"


@pytest.fixture(scope="session")
def rasa(run_rasa: Run, actions_url: str) -> Iterator[RunningRasa]:
    """One Rasa for all tests that do not change how it runs; each test uses its own conversation."""
    with run_rasa(actions_url) as running:
        yield running


@contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with log.open("ab") as output:
        started = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


def wait_until_answering(client: httpx.Client, path: str, running: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        try:
            running.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
        break
    pytest.fail(f"the server did not become ready:\n{log.read_text(encoding='utf-8')[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
