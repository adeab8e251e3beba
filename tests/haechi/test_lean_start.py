"""A command that only shows help, or only asks the running platform, loads none of what computes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("kiwipiepy", "presidio_analyzer", "spacy", "sklearn", "torch", "sqlalchemy", "fastapi", "qdrant_client")
TOLD = f"""
import sys
import haechi.cli
sys.argv = ["haechi", *sys.argv[1:]]
try:
    haechi.cli.main()
except SystemExit:
    print("loaded:", *(name for name in {HEAVY!r} if name in sys.modules))
"""


def _loaded_by(home: Path, *arguments: str, **variables: str) -> str:
    environment = {**os.environ, "HAECHI_HOME": str(home), **variables}
    command = [sys.executable, "-c", TOLD, *arguments]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=120)
    return told.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("command", ["", "ask", "up", "doctor", "datasets", "verify-audit"])
def test_help_loads_nothing_heavy(tmp_path: Path, command: str) -> None:
    assert _loaded_by(tmp_path, *filter(None, [command]), "--help") == "loaded:"


def test_asking_the_running_platform_loads_nothing_heavy(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "haechi_service_token").write_text("t" * 43)
    with socket.socket() as listening, socket.socket() as closed:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        closed.bind(("127.0.0.1", 0))
        ports = {
            "HAECHI_LLM_SERVICE_PORT": str(listening.getsockname()[1]),
            "HAECHI_GATEWAY_PORT": str(closed.getsockname()[1]),
        }
        assert _loaded_by(tmp_path, "ask", "예금자보호 한도는 얼마인가요?", **ports) == "loaded:"
