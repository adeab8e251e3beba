"""The whole way over HTTP: registered, approved by somebody else, promoted, asked, explained, rolled back."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from llm_service.adapter_client import AdapterClient
from llm_service.adapters.files import Limits, check_directory, publish
from llm_service.adapters.probes import answer_sha256, ask
from llm_service.client import PERSON_HEADER, ROLES_HEADER, ConversationKey, Route, ServiceError
from llm_service.engines.openai import DIALECTS, OpenAiServer
from llm_service.masked import MaskedText
from llm_service.store.adapters import RecordedProbe
from tests.devservers import run_devserver
from tests.llm_service.adapters.adapter_files import adapter_directory

STAFF = ConversationKey(channel="api", thread="thread-1", user="teller", audience="staff")
DEPOSIT = "# 든든정기예금\n\n## 중도해지\n든든정기예금 중도해지이율은 연 0.50%입니다.\n".encode()
PATIENCE_SECONDS = 60


async def test_a_version_goes_from_its_directory_to_an_answer_and_back(
    make_settings, run_service, analysers, tmp_path: Path
) -> None:
    with run_devserver("--scripted", "500") as devserver:
        settings = make_settings(engine="devserver", engine_urls=devserver.url)
        name = await _submitted(devserver.url, tmp_path)
        async with run_service(settings, analysers) as service:
            kim, lee, park = (_acting(service.client, person) for person in ("kim", "lee", "park"))
            body = {
                "directory": "trained",
                "family": "bank-qa",
                "base_model": "scripted",
                "base_revision": "r1",
                "dataset_version": "d1",
                "training_run_id": "run-1",
                "trained_by": "kim",
            }
            assert await kim.register(body) == name == await kim.register(body)
            proposal = await lee.propose(name)
            for person in (kim, lee):
                with pytest.raises(ServiceError, match="approval_of_own_work"):
                    await person.approve(name, proposal)
            with pytest.raises(ServiceError, match="adapter_not_approved"):
                await lee.promote(name)
            await park.approve(name, proposal)
            await service.client.upload_document("예금.md", DEPOSIT, ["staff"])
            assert await _adapter_of_an_answer(service.client, "before") == "base"
            await lee.promote(name)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while (await lee.status()).active != name:  # noqa: ASYNC110  the service's own loop does it
                    await asyncio.sleep(0.05)
            assert await _adapter_of_an_answer(service.client, "after") == name
            status = await lee.status()
            assert [(one.carries, one.lacks) for one in status.replicas] == [([name], {})]
            assert (await lee.adapter(name)).adapter.aliases == ["active"]
            assert (await lee.roll_back("active", "operator")).active is None
            assert await _adapter_of_an_answer(service.client, "again") == "base"
            actions = [event.action for event in await service.client.audit_events()]
            assert {"adapter.registered", "adapter.approved", "adapter.promoted", "adapter.rolled_back"} <= set(actions)


async def _submitted(url: str, home: Path) -> str:
    """A directory with its probe where the service takes it; the scripted server answers with the adapter's name."""
    directory = adapter_directory(home / "adapters" / "incoming" / "trained", 1)
    sha256 = publish(check_directory(directory, "scripted", Limits()), home / "elsewhere").sha256
    name = f"bank-qa-v1-{sha256[:12]}"
    probe = RecordedProbe(MaskedText("질문"), MaskedText(""), MaskedText("질문"), 16, "", "")
    server = OpenAiServer(url, DIALECTS["devserver"])
    await server.activate(name, str(directory))
    answers = [answer_sha256(await ask(server, probe, adapter)) for adapter in (name, None)]
    await server.deactivate(name)
    await server.close()
    recorded = {**asdict(probe), "answer_sha256": answers[0], "base_answer_sha256": answers[1]}
    (directory / "probes.json").write_text(json.dumps([recorded], ensure_ascii=False))
    return name


def _acting(client: object, person: str) -> AdapterClient:
    headers = {PERSON_HEADER: person, ROLES_HEADER: "trainer,reviewer,approver,admin"}
    return AdapterClient(client, headers)  # type: ignore[arg-type]


async def _adapter_of_an_answer(client, event_id: str) -> str | None:  # type: ignore[no-untyped-def]
    turn = await client.create_turn(event_id, STAFF, "든든정기예금 중도해지이율은 얼마인가요?")
    await client.start_answer(turn.turn_id, turn.conversation_id, Route("ask_knowledge", 0.9, "rasa"))
    assert [event async for event in client.events(turn.turn_id, turn.conversation_id)][-1].event == "done"
    return (await client.explanation(turn.turn_id, turn.conversation_id)).adapter
