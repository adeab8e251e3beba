"""`haechi adapters` against a running service and a model server: registered, approved, promoted, rolled back."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import Result
from typer.testing import CliRunner

from haechi.cli import build_app
from haechi.secrets import ensure_secrets
from llm_service import wiring
from llm_service.adapters.files import Limits, check_directory, publish
from llm_service.adapters.probes import answer_sha256, ask
from llm_service.engines.openai import DIALECTS, OpenAiServer
from llm_service.masked import MaskedText
from llm_service.settings import Settings
from llm_service.store.adapters import RecordedProbe
from tests.devservers import run_devserver
from tests.llm_service.adapters.adapter_files import adapter_directory

ORIGIN = {
    "--family": "bank-qa",
    "--dataset": "bank-qa-v1",
    "--run": "run-1",
    "--base": "scripted",
    "--base-revision": "r1",
}
NOBODY = "bank-qa-v1-000000000000"


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """The commands are the same on every database; one is enough here."""
    return sqlite_url


@pytest.fixture
async def devserver_url() -> AsyncIterator[str]:
    with run_devserver("--scripted", "500") as devserver:
        yield devserver.url


@pytest.fixture
async def platform(
    make_settings: Callable[..., Settings],
    run_service: Callable[..., AbstractAsyncContextManager[Any]],
    analysers: wiring.Analysers,
    devserver_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[None]:
    """The service with one model server, where the commands look for it."""
    settings = make_settings(engine="devserver", engine_urls=devserver_url)
    token = ensure_secrets(tmp_path) / "haechi_service_token"
    token.write_text(settings.service_token.get_secret_value())
    async with run_service(settings, analysers) as running:
        monkeypatch.setenv("HAECHI_HOME", str(tmp_path))
        monkeypatch.setenv("HAECHI_LLM_SERVICE_PORT", str(urlsplit(running.url).port))
        yield


@pytest.fixture
async def trained(devserver_url: str, tmp_path: Path) -> Path:
    """A directory as the trainer leaves it, with what the model server answers as this adapter and as its base."""
    directory = adapter_directory(tmp_path / "trained", 1)
    sha256 = publish(check_directory(directory, "scripted", Limits()), tmp_path / "elsewhere").sha256
    name = f"bank-qa-v1-{sha256[:12]}"
    probe = RecordedProbe(MaskedText("질문"), MaskedText(""), MaskedText("질문"), 16, "", "")
    server = OpenAiServer(devserver_url, DIALECTS["devserver"])
    await server.activate(name, str(directory))
    answers = [answer_sha256(await ask(server, probe, adapter)) for adapter in (name, None)]
    await server.deactivate(name)
    await server.close()
    recorded = {**asdict(probe), "answer_sha256": answers[0], "base_answer_sha256": answers[1]}
    (directory / "probes.json").write_text(json.dumps([recorded], ensure_ascii=False), "utf-8")
    return directory


async def adapters(*arguments: str, person: str = "", status: int = 0) -> Result:
    """Runs the command as a process would, beside the loop that serves the service."""
    given = ["adapters", *arguments, *(["--person", person] if person else [])]
    done = await asyncio.to_thread(CliRunner().invoke, build_app(), given)
    assert done.exit_code == status, done.output
    return done


async def registered(directory: Path) -> str:
    origin = [word for pair in ORIGIN.items() for word in pair]
    return (await adapters("register", str(directory), *origin, person="kim")).stdout.strip()


@pytest.mark.usefixtures("platform")
async def test_a_version_is_promoted_once_two_people_agreed_and_rolled_back_at_once(trained: Path) -> None:
    name = await registered(trained)
    assert await registered(trained) == name, "the same files are the same version"
    assert "proposal_unclear" in (await adapters("approve", name, person="park", status=1)).stderr
    await adapters("propose", name, person="lee")
    for person in ("kim", "lee"):
        assert "approval_of_own_work" in (await adapters("approve", name, person=person, status=1)).stderr
    assert "adapter_not_approved" in (await adapters("promote", name, person="lee", status=1)).stderr
    await adapters("approve", name, person="park")
    assert name in (await adapters("promote", name, person="lee")).stdout
    serving = json.loads((await adapters("status", "--json")).stdout)
    assert (serving["active"], [one["carries"] for one in serving["replicas"]]) == (name, [[name]])
    assert f"active     {name}" in (await adapters("status")).stdout
    assert "active     base" in (await adapters("rollback", person="lee")).stdout
    [listed] = json.loads((await adapters("list", "--json")).stdout)
    assert (listed["name"], listed["aliases"]) == (name, [])


@pytest.mark.usefixtures("platform")
async def test_a_rejected_version_is_shown_with_its_origin_and_never_proposed(trained: Path, tmp_path: Path) -> None:
    name = await registered(trained)
    assert list((tmp_path / "adapters" / "incoming").iterdir()) == [], "what was laid there for the service is gone"
    shown = (await adapters("show", name)).stdout
    assert "bank-qa-v1" in shown
    assert "run-1" in shown
    await adapters("reject", name, "--reason", "worse", person="park")
    assert "adapter_rejected" in (await adapters("propose", name, person="lee", status=1)).stderr
    assert "rejected" in (await adapters("list")).stdout


@pytest.mark.usefixtures("platform")
async def test_a_name_that_nobody_registered_is_said_to_be_none() -> None:
    for command in ("show", "propose", "promote"):
        assert "adapter_not_found" in (await adapters(command, NOBODY, status=1)).stderr
