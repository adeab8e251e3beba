"""Answers over HTTP: asked, streamed, resumed, judged; through the real masker, index and engine."""

import asyncio
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.client import CONVERSATION_HEADER, AcceptedTurn, ConversationKey, Route, ServiceError
from llm_service.store.models import AuditEvent, Feedback

CUSTOMER = ConversationKey(channel="web", thread="thread-1", user="user-1", audience="customer")
ROUTE = Route(intent="ask_knowledge", confidence=0.97, by="rasa", milliseconds=3.5)
DEPOSIT = """# 해치 든든정기예금 상품설명서

## 가입 대상
실명의 개인이면 누구나 가입할 수 있습니다.

## 중도해지
만기 전에 해지하면 중도해지이율을 적용합니다. 중도해지이율은 연 0.50%입니다.

## 이자 지급
이자는 만기에 한 번에 지급합니다.
""".encode()
QUESTION = "든든정기예금 중도해지이율은 얼마인가요?"


@pytest.fixture
async def answering(service):
    """The service with one document."""
    await service.client.upload_document("예금/든든정기예금.md", DEPOSIT, ["customer"])
    return service


async def test_a_question_is_answered_with_its_source(answering) -> None:
    accepted = await _ask(answering)
    told = [event async for event in answering.client.events(accepted.turn_id, accepted.conversation_id)]
    assert [event.id for event in told] == list(range(1, len(told) + 1))
    assert told[-1].event == "done"
    view = await answering.client.turn(accepted.turn_id, accepted.conversation_id)
    assert view.answer == "".join(event.data["text"] for event in told if event.event == "token")
    assert {"mask", "route", "retrieve", "total"} <= set(view.timings)
    assert told[-1].data["timings"] == view.timings
    assert (view.state, view.refused) == ("answered", False)
    assert "0.50%" in view.answer
    assert [(source.number, source.document) for source in view.sources] == [(1, "예금/든든정기예금.md")]
    shown = [event.data["sources"] for event in told if event.event == "sources"][-1]
    assert [source["passage_id"] for source in shown] == [source.passage_id for source in view.sources]


async def test_a_question_without_documents_is_refused(service) -> None:
    accepted = await _ask(service)
    told = [event async for event in service.client.events(accepted.turn_id, accepted.conversation_id)]
    assert told[-1].data["refused"] is True
    view = await service.client.turn(accepted.turn_id, accepted.conversation_id)
    assert (view.state, view.refused, view.sources) == ("refused", True, [])


async def test_the_stream_speaks_server_sent_events(answering) -> None:
    accepted = await _ask(answering)
    async with _http(answering, accepted) as http:
        reply = await http.get(f"/v1/turns/{accepted.turn_id}/events")
    assert reply.headers["Content-Type"].startswith("text/event-stream")
    assert reply.headers["Cache-Control"] == "no-store"
    first = reply.text.split("\n\n")[0].splitlines()
    assert [line.split(": ")[0] for line in first] == ["id", "event", "data"]
    assert first[0] == "id: 1"


async def test_a_reader_resumes_behind_the_last_event_it_saw(answering) -> None:
    accepted = await _ask(answering)
    whole = [event async for event in answering.client.events(accepted.turn_id, accepted.conversation_id)]
    rest = [event async for event in answering.client.events(accepted.turn_id, accepted.conversation_id, after=2)]
    assert rest == whole[2:]


@pytest.mark.parametrize("last_event_id", ["-1", "abc", "1; DROP TABLE turns"])
async def test_a_wrong_last_event_id_is_refused(service, last_event_id: str) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    async with _http(service, accepted) as http:
        reply = await http.get(f"/v1/turns/{accepted.turn_id}/events", headers={"Last-Event-ID": last_event_id})
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_request")


async def test_a_reader_of_a_silent_answer_sees_heartbeats(make_settings, analysers, run_service) -> None:
    async with run_service(make_settings(stream_heartbeat_seconds=0.05), analysers) as service:
        accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
        async with (
            _http(service, accepted) as http,
            http.stream("GET", f"/v1/turns/{accepted.turn_id}/events") as reply,
        ):
            lines = reply.aiter_lines()
            assert [await anext(lines) for _ in range(3)] == [": waiting", "", ": waiting"]


async def test_two_hundred_readers_wait_at_once_and_all_see_the_same_answer(answering) -> None:
    accepted = await answering.client.create_turn("event-1", CUSTOMER, QUESTION)
    readers = [asyncio.create_task(_told(answering, accepted)) for _ in range(200)]
    async with httpx.AsyncClient(base_url=answering.url) as http:
        await _until_open(http, 200)
        assert (await http.get("/health/live")).is_success
    await answering.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
    told = await asyncio.gather(*readers)
    assert told[0][-1] == "done"
    assert all(names == told[0] for names in told)


async def test_an_answer_given_by_one_replica_is_streamed_and_stopped_by_another(
    make_settings, analysers, run_service, redis_url: str, tmp_path: Path
) -> None:
    first = make_settings(redis_url=redis_url, home=tmp_path / "first")
    second = make_settings(redis_url=redis_url, home=tmp_path / "second")
    async with run_service(first, analysers) as one, run_service(second, analysers) as other:
        accepted = await one.client.create_turn("event-1", CUSTOMER, QUESTION)
        reading = asyncio.create_task(_told(other, accepted))
        await asyncio.gather(
            *(
                replica.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
                for replica in (one, other)
            )
        )
        assert await reading == await _told(one, accepted)
        stopped = await one.client.create_turn("event-2", CUSTOMER, QUESTION)
        reading = asyncio.create_task(_told(one, stopped))
        await other.client.stop_answer(stopped.turn_id, stopped.conversation_id)
        assert await reading == ["done"]


async def test_a_verdict_is_kept_pending_with_its_correction_masked(answering) -> None:
    accepted = await _ask(answering)
    await _last_event(answering, accepted)
    feedback_id = await answering.client.give_feedback(
        accepted.turn_id,
        accepted.conversation_id,
        "thumb-1",
        "down",
        "wrong_answer",
        "담당자 010-1234-5678에게 물으세요",
    )
    with Session(answering.database) as session:
        kept = session.scalars(select(Feedback)).one()
        audited = session.scalars(select(AuditEvent).where(AuditEvent.subject_kind == "feedback")).one()
    assert (kept.id, kept.verdict, kept.reason, kept.state) == (feedback_id, "down", "wrong_answer", "pending")
    assert kept.correction == "담당자 <PHONE_1>에게 물으세요"
    assert (audited.action, audited.subject_id) == ("feedback.given", feedback_id)
    assert "010" not in str(audited.details)


async def test_a_verdict_delivered_many_times_is_kept_once(answering) -> None:
    accepted = await _ask(answering)
    await _last_event(answering, accepted)
    ids = await asyncio.gather(
        *(answering.client.give_feedback(accepted.turn_id, accepted.conversation_id, "thumb-1", "up") for _ in range(8))
    )
    assert len(set(ids)) == 1
    with Session(answering.database) as session:
        assert len(session.scalars(select(Feedback)).all()) == 1
        assert len(session.scalars(select(AuditEvent).where(AuditEvent.action == "feedback.given")).all()) == 1


async def test_a_verdict_before_the_answer_has_ended_is_a_conflict(service) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    with pytest.raises(ServiceError) as refused:
        await service.client.give_feedback(accepted.turn_id, accepted.conversation_id, "thumb-1", "up")
    assert (refused.value.status, refused.value.code) == (409, "turn_not_finished")


async def test_a_verdict_without_a_turn_is_about_the_last_answer_from_documents(answering) -> None:
    await _ask(answering)
    second = await answering.client.create_turn("event-2", CUSTOMER, QUESTION)
    await answering.client.start_answer(second.turn_id, second.conversation_id, ROUTE)
    await _last_event(answering, second)
    thanks = await answering.client.create_turn("event-3", CUSTOMER, "도움이 됐어요")
    await answering.client.store_reply(thanks.turn_id, thanks.conversation_id, ROUTE, "감사합니다.")
    ids = [await answering.client.judge_last_answer(thanks.conversation_id, "typed-3", "up") for _ in range(2)]
    with Session(answering.database) as session:
        kept = session.scalars(select(Feedback)).one()
    assert (kept.id, kept.turn_id, kept.verdict) == (ids[0], second.turn_id, "up")
    assert ids[0] == ids[1]


async def test_where_nothing_was_answered_there_is_nothing_to_judge(service) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    for conversation_id in (accepted.conversation_id, "0" * 32):
        with pytest.raises(ServiceError) as refused:
            await service.client.judge_last_answer(conversation_id, "typed-1", "down")
        assert (refused.value.status, refused.value.code) == (404, "answer_not_found")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"verdict": "sideways"}, "invalid_request"),
        ({"reason": "Free text of a person"}, "invalid_request"),
        ({"event_id": ""}, "invalid_request"),
        ({"correction": "가" * 4001}, "text_too_long"),
        ({"correction": "\x00"}, "text_unreadable"),
    ],
)
async def test_a_bad_verdict_is_refused_and_not_kept(answering, change: dict, code: str) -> None:
    accepted = await _ask(answering)
    await _last_event(answering, accepted)
    body = {"turn_id": accepted.turn_id, "event_id": "thumb-1", "verdict": "up", **change}
    async with _http(answering, accepted) as http:
        reply = await http.post("/v1/feedback", json=body)
    assert reply.status_code in (413, 422)
    assert reply.json()["error"]["code"] == code
    with Session(answering.database) as session:
        assert session.scalars(select(Feedback)).all() == []


async def test_thirty_two_conversations_at_once_are_all_answered(answering) -> None:
    async def converse(n: int) -> str:
        key = ConversationKey("web", f"thread-{n}", f"user-{n}", "customer")
        accepted = await answering.client.create_turn("event-1", key, QUESTION)
        await answering.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
        await _last_event(answering, accepted)
        return (await answering.client.turn(accepted.turn_id, accepted.conversation_id)).state

    assert await asyncio.gather(*(converse(n) for n in range(32))) == ["answered"] * 32


async def _ask(service) -> AcceptedTurn:
    accepted: AcceptedTurn = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    await service.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
    return accepted


async def _told(service, turn: AcceptedTurn) -> list[str]:
    return [event.event async for event in service.client.events(turn.turn_id, turn.conversation_id)]


async def _until_open(http: httpx.AsyncClient, streams: int) -> None:
    """Until the service counts that many readers; asking is what lets it get on with them."""
    while f"haechi_open_streams {float(streams)}" not in (await http.get("/metrics")).text:
        pass


async def _last_event(service, turn: AcceptedTurn) -> str:
    return (await _told(service, turn))[-1]


def _http(service, turn: AcceptedTurn) -> httpx.AsyncClient:
    headers = {
        "Authorization": service.client._http.headers["Authorization"],
        CONVERSATION_HEADER: turn.conversation_id,
    }
    return httpx.AsyncClient(base_url=service.url, headers=headers)
