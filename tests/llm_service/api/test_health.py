"""Whether the service says the truth about itself: alive, ready, and what it counted."""

import asyncio

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from llm_service.client import ConversationKey, Route, ServiceError
from llm_service.masked import RawText
from llm_service.masking.masker import Masker

CUSTOMER = ConversationKey(channel="web", thread="thread-1", user="user-1", audience="customer")


async def test_a_service_with_all_its_parts_is_ready(service) -> None:
    said = await service.client.ready()
    assert said["ready"] is True
    assert {"database", "masking", "index", "streams"} <= set(said["parts"])
    assert set(said["parts"].values()) == {"ready"}


async def test_a_service_whose_redis_is_gone_lives_but_is_not_ready(make_settings, analysers, run_service) -> None:
    nobody_listens = "redis://127.0.0.1:1/0"
    async with (
        run_service(make_settings(redis_url=nobody_listens), analysers) as service,
        httpx.AsyncClient(base_url=service.url) as http,
    ):
        assert (await http.get("/health/live")).json() == {"live": True}
        reply = await http.get("/health/ready")
    assert reply.status_code == 503
    assert reply.json()["parts"]["streams"] == "redis_unavailable"
    assert reply.json()["parts"]["database"] == "ready"


async def test_a_service_whose_records_are_gone_declines_and_lives(service, request: pytest.FixtureRequest) -> None:
    if service.database.dialect.name == "sqlite":
        with service.database.begin() as connection:
            connection.execute(text("ALTER TABLE turns RENAME TO lost"))
    else:
        name = service.database.url.database
        request.getfixturevalue("postgres_server").execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        request.getfixturevalue("postgres_server").execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
    with pytest.raises(ServiceError) as refused:
        await service.client.create_turn("event-1", CUSTOMER, "한도가 얼마인가요?")
    assert (refused.value.status, refused.value.code) == (503, "database_unavailable")
    async with httpx.AsyncClient(base_url=service.url) as http:
        assert (await http.get("/health/live")).status_code == 200


async def test_a_masker_that_fails_declines_the_turn_and_keeps_nothing(
    service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Masker, raw: RawText) -> None:
        raise ValueError(f"canary {raw.reveal()}")

    monkeypatch.setattr(Masker, "detect", fail)
    with pytest.raises(ServiceError) as refused:
        await service.client.create_turn("event-1", CUSTOMER, "canary 한도가 얼마인가요?")
    assert (refused.value.status, refused.value.code) == (503, "masking_unavailable")
    assert (await service.client.ready())["parts"]["masking"] == "masking_unavailable"
    with service.database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM conversations")).scalar() == 0
        assert connection.execute(text("SELECT count(*) FROM turns")).scalar() == 0
    assert "masking_unavailable" in service.logs.getvalue()
    assert "canary" not in service.logs.getvalue()


async def test_masking_that_takes_too_long_declines_the_turn(
    make_settings, analysers, run_service, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait(self: Masker, raw: RawText) -> None:
        asyncio.run_coroutine_threadsafe(released.wait(), loop).result()

    async with run_service(make_settings(masking_timeout_seconds=0.05), analysers) as service:
        with monkeypatch.context() as patched:
            patched.setattr(Masker, "detect", wait)
            with pytest.raises(ServiceError) as refused:
                await service.client.create_turn("event-1", CUSTOMER, "한도가 얼마인가요?")
            released.set()
    assert (refused.value.status, refused.value.code) == (503, "masking_unavailable")


async def test_what_happened_is_counted(service) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, "010-1234-5678로 알려 주세요. 한도가 얼마죠?")
    fallback = Route("ask_knowledge", 0.4, "fallback", reason="timeout", milliseconds=800.0)
    await service.client.start_answer(accepted.turn_id, accepted.conversation_id, fallback)
    async for _event in service.client.events(accepted.turn_id, accepted.conversation_id):
        pass
    with pytest.raises(ServiceError):
        await service.client.create_turn("event-2", CUSTOMER, "")
    counted = await _metrics(service)
    assert counted["haechi_turns_total", ("received", "none")] == 1
    assert counted["haechi_turns_total", ("refused", "ask_knowledge")] == 1
    assert counted["haechi_masked_entities_total", ("PHONE",)] == 1
    assert counted["haechi_refusals_total", ("ask_knowledge",)] == 1
    assert counted["haechi_route_fallbacks_total", ("timeout",)] == 1
    assert counted["haechi_declined_total", ("text_empty",)] == 1
    assert counted["haechi_stage_seconds_count", ("mask",)] >= 1
    assert counted["haechi_stage_seconds_count", ("retrieve",)] == 1
    assert counted["haechi_running_answers", ()] == 0
    assert counted["haechi_open_streams", ()] == 0


async def test_two_services_in_one_process_count_apart(make_settings, analysers, run_service, tmp_path) -> None:
    first, second = make_settings(home=tmp_path / "first"), make_settings(home=tmp_path / "second")
    async with run_service(first, analysers) as one, run_service(second, analysers) as other:
        await one.client.create_turn("event-1", CUSTOMER, "한도가 얼마인가요?")
        assert ("haechi_turns_total", ("received", "none")) in await _metrics(one)
        assert ("haechi_turns_total", ("received", "none")) not in await _metrics(other)


async def _metrics(service) -> dict[tuple[str, tuple[str, ...]], float]:
    async with httpx.AsyncClient(base_url=service.url) as http:
        exposed = (await http.get("/metrics")).text
    order = ("state", "intent", "type", "reason", "code", "stage", "verdict")
    return {
        (sample.name, tuple(sample.labels[label] for label in order if label in sample.labels)): sample.value
        for family in text_string_to_metric_families(exposed)
        for sample in family.samples
        if "le" not in sample.labels
    }
