"""The service with a model server behind it: written answers, their cost, and what happens when the server is gone."""

import asyncio
import os
import signal
from pathlib import Path

import httpx
import pytest

from llm_service.client import ConversationKey, Route, ServiceError
from llm_service.errors import Misconfigured
from llm_service.settings import Settings
from tests.devservers import run_devserver
from tests.ports import free_port

CUSTOMER = ConversationKey(channel="web", thread="thread-1", user="user-1", audience="customer")
ROUTE = Route(intent="ask_knowledge", confidence=0.97, by="rasa", milliseconds=3.5)
DEPOSIT = "# 해치 든든정기예금\n\n## 중도해지\n만기 전에 해지하면 중도해지이율 연 0.50%를 적용합니다.\n".encode()
QUESTION = "든든정기예금 중도해지이율은 얼마인가요?"
STATEMENT = "만기 전에 해지하면 중도해지이율 연 0.50%를 적용합니다. [1]"

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


async def test_a_model_writes_the_answer_and_what_it_cost_is_kept(make_settings, analysers, run_service) -> None:
    with run_devserver("--scripted", "200") as devserver:
        async with run_service(make_settings(engine="devserver", engine_urls=devserver.url), analysers) as service:
            events, view = await _answered(service)
            ready = (await _get(service, "/health/ready")).json()
            counted = (await _get(service, "/metrics")).text
    assert [event.data["code"] for event in events if event.event == "notice"] == ["generated"]
    assert view.answer.startswith(STATEMENT)
    assert {"queue", "engine_first_token"} <= set(view.timings)
    assert ready["parts"]["engine"] == "ready"
    assert 'haechi_engine_tokens_total{adapter="base",direction="out"} 8.0' in counted
    assert 'haechi_engine_seconds_count{adapter="base",part="first_token"} 1.0' in counted


async def test_without_its_model_server_the_service_quotes_says_so_and_stays_ready(
    make_settings, analysers, run_service
) -> None:
    settings = make_settings(engine="vllm", engine_urls=f"http://127.0.0.1:{free_port()}")
    async with run_service(settings, analysers) as service:
        events, view = await _answered(service)
        reply = await _get(service, "/health/ready")
        counted = (await _get(service, "/metrics")).text
    assert [event.data["code"] for event in events if event.event == "notice"] == ["engine_down"]
    assert "“만기 전에 해지하면 중도해지이율 연 0.50%를 적용합니다.” [1]" in view.answer
    assert (reply.status_code, reply.json()["parts"]["engine"]) == (200, "degraded")
    assert 'haechi_degraded_total{code="engine_unreachable"} 1.0' in counted


async def test_a_model_server_killed_in_the_middle_leaves_an_answer_that_says_it_is_not_whole(
    make_settings, analysers, run_service
) -> None:
    text = DEPOSIT.decode() + "만기 뒤에는 기본이율 연 0.10%를 적용합니다.\n" * 4
    with run_devserver("--scripted", "10") as devserver:
        async with run_service(make_settings(engine="devserver", engine_urls=devserver.url), analysers) as service:
            await service.client.upload_document("예금/든든정기예금.md", text.encode(), ["customer"])
            accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
            await service.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
            events = []
            async for event in service.client.events(accepted.turn_id, accepted.conversation_id):
                events.append(event)
                if event.event == "notice" and event.data["code"] == "generated":
                    os.kill(devserver.process.pid, signal.SIGKILL)
            view = await service.client.turn(accepted.turn_id, accepted.conversation_id)
    notices = [event.data["code"] for event in events if event.event == "notice"]
    assert notices[0] == "generated"
    assert "answer_cut_off" in notices
    assert events[-1].event == "done"
    assert "답변을 마치지 못했습니다" in view.answer


async def test_when_as_many_wait_as_may_another_question_is_refused_for_a_moment(
    make_settings, analysers, run_service
) -> None:
    slow = ("--scripted", "20", "--scripted-first-token-seconds", "60")
    with run_devserver(*slow) as devserver:
        settings = make_settings(
            engine="devserver", engine_urls=devserver.url, engine_running_per_server=1, engine_waiting=1
        )
        async with run_service(settings, analysers) as service:
            await service.client.upload_document("예금/든든정기예금.md", DEPOSIT, ["customer"])
            asked = [
                await service.client.create_turn(f"event-{number}", _guest(number), QUESTION) for number in range(3)
            ]
            for accepted in asked[:2]:
                await service.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
            async for event in service.client.events(asked[1].turn_id, asked[1].conversation_id):
                if event.event == "notice":
                    break
            with pytest.raises(ServiceError) as refused:
                await service.client.start_answer(asked[2].turn_id, asked[2].conversation_id, ROUTE)
    assert (event.data["code"], event.data["position"]) == ("queued", 1)
    assert "1번째" in event.data["text"]
    assert (refused.value.status, refused.value.code) == (429, "engine_busy")


async def test_a_model_server_without_an_address_is_refused_at_start(tmp_path: Path, database_url: str) -> None:
    with pytest.raises(Misconfigured, match="HAECHI_ENGINE_URLS"):
        Settings(engine="vllm", home=tmp_path)
    assert Settings(engine="vllm", engine_urls=" http://a:1/ ,http://b:2,http://a:1").engine_addresses == (
        "http://a:1",
        "http://b:2",
    )


async def _answered(service):
    await service.client.upload_document("예금/든든정기예금.md", DEPOSIT, ["customer"])
    accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    await service.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
    events = [event async for event in service.client.events(accepted.turn_id, accepted.conversation_id)]
    return events, await service.client.turn(accepted.turn_id, accepted.conversation_id)


def _guest(number: int) -> ConversationKey:
    return ConversationKey(channel="web", thread=f"thread-{number}", user=f"user-{number}", audience="customer")


async def _get(service, path: str) -> httpx.Response:
    return await asyncio.to_thread(httpx.get, f"{service.url}{path}")
