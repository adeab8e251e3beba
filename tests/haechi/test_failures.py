"""What a person reads when a command fails for a reason it expects: one line, exit 1, no traceback."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from bot.gateway.client import GatewayError
from haechi.batch import CommandFailed
from haechi.cli import build_app
from haechi.failures import reports_failures
from haechi.start import StartFailed
from llm_service.client import ServiceError
from llm_service.errors import InvalidInput
from tests.journeys.conftest import PROJECT, platform_environment, wait_for_line

EXPECTED = [
    (CommandFailed("rasa_missing", "install it"), "install it (rasa_missing)"),
    (ServiceError("unauthorised", 401, "wrong token", "토큰이 틀립니다"), "토큰이 틀립니다 (unauthorised)"),
    (GatewayError("unreachable", 503, "nothing answered"), "nothing answered (unreachable)"),
    (InvalidInput("manifest_invalid", "mend audience.yaml"), "mend audience.yaml (manifest_invalid)"),
    (StartFailed("llm_service was not ready in time"), "llm_service was not ready in time"),
    (FileNotFoundError("there is no folder x"), "there is no folder x"),
]


@pytest.mark.parametrize(("failure", "line"), EXPECTED, ids=lambda one: type(one).__name__)
def test_an_expected_failure_is_one_line_and_exit_one(failure: Exception, line: str) -> None:
    app = typer.Typer()

    @app.command()
    @reports_failures
    def fail(number: int = 3) -> None:
        raise failure

    done = CliRunner().invoke(app, ["--number", "4"])
    assert done.exit_code == 1
    assert done.stderr == f"{line}\n"


def test_a_fault_of_ours_is_not_dressed_as_an_expected_failure() -> None:
    @reports_failures
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_every_command_reports_its_failures_so() -> None:
    app = build_app()
    nested = [group.typer_instance for group in app.registered_groups if group.typer_instance]
    commands = [command.callback for part in (app, *nested) for command in part.registered_commands]
    assert commands
    assert all(hasattr(command, "__wrapped__") for command in commands)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["route", "안녕하세요"], "rasa_missing"),
        (["up", "--once", "--documents", "no-such-folder"], "no-such-folder"),
        (["up", "--once", "--documents", "samples=everybody"], "everybody"),
        (["ingest", "samples", "--audience", "everybody"], "everybody"),
        (["status"], "HAECHI_REDIS_PORT"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else one,
)
async def test_a_process_that_fails_prints_one_line_and_no_traceback(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    environment = {**platform_environment(tmp_path), "HAECHI_RASA_PYTHON": str(tmp_path / "no-such-python")}
    if said.startswith("HAECHI"):
        environment[said] = "not-a-port"
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "haechi.cli", *arguments],
        env=environment, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_single_question_that_was_interrupted_did_not_succeed(tmp_path: Path) -> None:
    environment = {**platform_environment(tmp_path), "HAECHI_RASA_PYTHON": str(tmp_path / "no-such-python")}
    process = subprocess.Popen(
        [sys.executable, "-m", "haechi.cli", "up", "--once"],
        env=environment, cwd=PROJECT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "NO RASA" in wait_for_line(process, "NO RASA")
        process.send_signal(2)
        process.communicate(timeout=60)
        assert process.returncode == 130
    finally:
        process.kill()
