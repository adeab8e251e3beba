"""The kill switch from the command line: thrown with a reason, seen by the doctor, refused without one."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import Result
from typer.testing import CliRunner

from haechi.cli import build_app
from haechi.secrets import ensure_secrets
from llm_service.settings import Settings

RunService = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The commands are the same on every database; one is enough here."""
    return sqlite_url


@pytest.fixture
async def service(
    make_settings: Callable[..., Settings],
    run_service: RunService,
    analysers: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    secrets = ensure_secrets(tmp_path)
    settings = make_settings()
    (secrets / "haechi_service_token").write_text(settings.service_token.get_secret_value())
    async with run_service(settings, analysers) as running:
        monkeypatch.setenv("HAECHI_HOME", str(tmp_path))
        monkeypatch.setenv("HAECHI_LLM_SERVICE_PORT", str(urlsplit(running.url).port))
        yield running


async def invoke(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, build_app(), list(arguments))


async def answers_in_doctor() -> dict[str, str]:
    findings = json.loads((await invoke("doctor", "--json")).stdout)
    return next(finding for finding in findings if finding["part"] == "answers")


async def test_answers_are_switched_off_and_on_with_reasons(service: Any) -> None:
    assert (await answers_in_doctor())["state"] == "ok"
    off = await invoke("answers", "off", "--reason", "incident", "--note", "전화 010-1234-5678", "--json")
    shown = json.loads(off.stdout)
    assert (shown["value"], shown["reason"], "010-1234-5678" in shown["note"]) == (False, "incident", False)
    assert not await service.parts.switch.is_on()
    told = await answers_in_doctor()
    assert (told["state"], "haechi answers on" in told["meaning"]) == ("stand-in", True)
    assert "중단" in (await invoke("answers", "status")).stdout
    on = await invoke("answers", "on", "--reason", "resolved")
    assert on.exit_code == 0
    assert await service.parts.switch.is_on()
    assert [event.action for event in await service.client.audit_events()] == [
        "answers.switched_on",
        "answers.switched_off",
    ]


async def test_no_reason_no_switch(service: Any) -> None:
    refused = await invoke("answers", "off")
    assert (refused.exit_code, "--reason" in refused.output) == (2, True)
    assert await service.parts.switch.is_on()
