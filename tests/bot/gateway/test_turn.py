"""One chat turn through the real gateway over HTTP: accepted, routed, answered or replied, streamed, resumed."""

import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.responses import JSONResponse, Response

from bot.gateway.app import create_app
from bot.gateway.conversation_queue import ConversationQueue
from bot.gateway.fallback import FallbackRouter
from bot.gateway.metrics import Metrics
from bot.gateway.rasa import RasaClient
from bot.gateway.restore import Restorer
from bot.gateway.routing import Router
from bot.gateway.sessions import OwnedTurn
from bot.gateway.settings import GatewaySettings
from bot.gateway.texts import sentence
from bot.gateway.turn import ChatTurns, OpenTurn
from llm_service.client import LlmServiceClient, StreamEvent
from tests.bot.gateway.conftest import Caller, events_of, new_guest, only, words
from tests.bot.gateway.stand_ins import (
    PHONE_NUMBER,
    SENTENCES,
    SERVICE_TOKEN,
    SOURCES,
    LlmServiceStandIn,
    RasaStandIn,
    served,
)

QUESTION = "고객 가족이 와서 거래내역을 달라는데 줘도 되나요?"


def metrics_of(gateway: httpx.Client) -> str:
    return gateway.get("/metrics", headers={"Authorization": f"Bearer {SERVICE_TOKEN}"}).text


def counted(gateway: httpx.Client, name: str) -> float:
    """The value of a counter or gauge with its labels; 0 while it has never been counted."""
    found = [line for line in metrics_of(gateway).splitlines() if line.startswith(f"{name} ")]
    return float(found[0].rsplit(maxsplit=1)[1]) if found else 0.0


def test_a_question_is_answered_from_documents_with_its_sources_and_timings(
    guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    events = guest.ask(QUESTION)
    (done,) = only(events, "done")
    assert [event for _, event, _ in events][:2] == ["turn", "sources"]
    assert only(events, "sources")[0]["sources"] == SOURCES
    assert words(events).split() == "".join(SENTENCES).split()
    assert (done["state"], done["refused"], done["engine"], done["intent"]) == (
        "answered",
        False,
        "extractive",
        "ask_knowledge",
    )
    assert {"mask", "route", "retrieve", "answer", "first_token", "total"} <= done["timings"].keys()
    assert [event_id for event_id, _, _ in events] == list(range(len(events)))
    assert llm_service.generations == 1


def test_rasa_gets_the_masked_text_only(guest: Caller, rasa: RasaStandIn) -> None:
    events = guest.ask(f"제 번호는 {PHONE_NUMBER}인데 수수료가 얼마예요?")
    assert only(events, "turn")[0]["masked"] is True
    assert [body["text"] for body in rasa.received] == ["제 번호는 <KR_PHONE_1>인데 수수료가 얼마예요?"]


def test_a_deterministic_reply_comes_as_token_and_done_and_is_kept(
    guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    events = guest.ask("안녕하세요")
    assert [event for _, event, _ in events] == ["turn", "token", "done"]
    assert words(events) == "안녕하세요, 해치입니다."
    assert only(events, "done")[0]["state"] == "replied"
    (turn,) = llm_service.all_turns()
    assert (turn.answer, turn.route and turn.route["intent"]) == ("안녕하세요, 해치입니다.", "greet")
    assert llm_service.generations == 0


def test_a_hand_off_is_told_to_the_person(guest: Caller) -> None:
    events = guest.ask("상담원 연결해 주세요")
    assert [notice["code"] for notice in only(events, "notice")] == ["handoff"]
    assert "상담원" in words(events)


def test_a_hand_off_is_told_in_the_same_words_without_rasa(guest: Caller, rasa: RasaStandIn) -> None:
    by_rasa = words(guest.ask("상담원 연결해 주세요"))
    rasa.says = UNUSABLE_REPLIES["empty"]
    without = guest.ask("상담원 연결해 주세요")
    assert words(without) == by_rasa
    assert [notice["code"] for notice in only(without, "notice")] == ["handoff"]


def test_a_form_that_repeats_its_question_follows_the_answer(guest: Caller) -> None:
    events = guest.ask("3천만원 빌리고 싶은데 예금자보호는?")
    assert only(events, "notice") == [{"code": "follow_up", "text": "대출 기간을 알려 주세요."}]
    assert only(events, "done")[0]["state"] == "answered"


def test_typed_blame_becomes_feedback_on_the_answer_before_it(guest: Caller, llm_service: LlmServiceStandIn) -> None:
    conversation = str(uuid4())
    guest.ask(QUESTION, conversation=conversation)
    guest.ask("도움이 안 됐어요", conversation=conversation)
    (feedback,) = llm_service.feedback
    assert feedback["verdict"] == "down"
    assert feedback["turn_id"] == llm_service.all_turns()[0].turn_id


def test_typed_blame_reaches_an_answer_that_another_gateway_gave(
    gateway_settings: dict[str, Any], guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    conversation = str(uuid4())
    guest.ask(QUESTION, conversation=conversation)
    with (
        served(create_app(GatewaySettings(**gateway_settings))) as url,
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        Caller(http, guest.token).ask("도움이 안 됐어요", conversation=conversation)
    assert [kept["turn_id"] for kept in llm_service.feedback] == [llm_service.all_turns()[0].turn_id]


def test_typed_blame_without_an_answer_before_it_promises_nothing(
    guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    reply = words(guest.ask("도움이 안 됐어요"))
    assert reply == sentence("replies", "nothing_to_judge", "ko")
    assert [turn.answer for turn in llm_service.all_turns()] == [reply]
    assert llm_service.feedback == []


def test_typed_blame_while_the_answer_is_written_is_not_lost_in_silence(
    guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    conversation = str(uuid4())
    guest.ask(QUESTION, conversation=conversation)
    llm_service.all_turns()[0].state = "answering"
    assert words(guest.ask("도움이 안 됐어요", conversation=conversation)) == sentence("replies", "not_finished", "ko")
    assert llm_service.feedback == []


def test_the_same_message_again_generates_nothing_again(guest: Caller, llm_service: LlmServiceStandIn) -> None:
    body = guest.chat_body(QUESTION)
    first, second = (events_of(guest.post("/v1/chat", body)) for _ in range(2))
    assert words(first) == words(second)
    assert only(second, "done")[0]["intent"] == "ask_knowledge"
    assert llm_service.generations == 1


def test_the_same_greeting_again_is_not_routed_again(guest: Caller, rasa: RasaStandIn) -> None:
    body = guest.chat_body("안녕하세요")
    first, second = (events_of(guest.post("/v1/chat", body)) for _ in range(2))
    assert words(first) == words(second)
    assert len(rasa.received) == 1


@pytest.mark.parametrize("seen", [1, 5, 12])
def test_a_cut_stream_is_taken_up_after_the_last_event_seen(
    guest: Caller, llm_service: LlmServiceStandIn, seen: int
) -> None:
    body = guest.chat_body(QUESTION)
    whole = events_of(guest.post("/v1/chat", body))
    rest = events_of(guest.post("/v1/chat", body, **{"Last-Event-ID": str(seen)}))
    assert [(i, e) for i, e, _ in rest] == [(i, e) for i, e, _ in whole if i > seen]
    assert llm_service.generations == 1


def test_an_answer_that_breaks_off_ends_in_an_error_event_from_which_it_can_be_resumed(
    guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    llm_service.cut_after = 6
    body = guest.chat_body(QUESTION)
    broken = events_of(guest.post("/v1/chat", body))
    assert (broken[-1][1], broken[-1][2]["code"], broken[-1][0]) == ("error", "stream_interrupted", 6)
    rest = events_of(guest.post("/v1/chat", body, **{"Last-Event-ID": "6"}))
    assert (words(broken) + words(rest)).split() == "".join(SENTENCES).split()


def test_questions_of_one_conversation_reach_rasa_one_at_a_time(
    gateway: httpx.Client, guest: Caller, rasa: RasaStandIn
) -> None:
    rasa.hold_seconds = 0.05
    conversation = str(uuid4())
    with ThreadPoolExecutor(5) as pool:
        states = list(pool.map(lambda _: only(guest.ask(QUESTION, conversation=conversation), "done"), range(5)))
    assert [done[0]["state"] for done in states] == ["answered"] * 5
    assert (rasa.most_inside, len(rasa.received)) == (1, 5)


def test_different_conversations_do_not_wait_for_each_other(guest: Caller, rasa: RasaStandIn) -> None:
    rasa.hold_seconds = 0.2
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: guest.ask(QUESTION), range(4)))
    assert rasa.most_inside > 1


def test_more_waiting_questions_than_the_limit_are_declined_with_a_time_to_wait(
    guest: Caller, rasa: RasaStandIn
) -> None:
    rasa.hold_seconds = 0.3
    conversation = str(uuid4())
    with ThreadPoolExecutor(9) as pool:
        bodies = [guest.chat_body(QUESTION, conversation=conversation) for _ in range(9)]
        responses = list(pool.map(lambda body: guest.post("/v1/chat", body), bodies))
    busy = [response for response in responses if response.status_code == 429]
    assert busy
    assert {response.json()["error"]["code"] for response in busy} == {"conversation_busy"}
    assert all(int(response.headers["Retry-After"]) > 0 for response in busy)


def test_while_masking_is_down_the_turn_is_declined_in_a_sentence(
    guest: Caller, llm_service: LlmServiceStandIn, rasa: RasaStandIn
) -> None:
    llm_service.masking_down = True
    response = guest.post("/v1/chat", guest.chat_body(QUESTION))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (503, "masking_unavailable")
    assert "저장되지 않았" in error["message_ko"]
    assert rasa.received == []
    assert llm_service.all_turns() == []


def test_an_answer_that_cannot_begin_is_an_error_with_a_code(guest: Caller, llm_service: LlmServiceStandIn) -> None:
    llm_service.answering_down = True
    response = guest.post("/v1/chat", guest.chat_body(QUESTION))
    assert (response.status_code, response.json()["error"]["code"]) == (503, "engine_unavailable")


UNUSABLE_REPLIES: dict[str, Response] = {
    "empty": JSONResponse([]),
    "status": JSONResponse({}, status_code=500),
    "unreadable": Response("not json", media_type="application/json"),
    "unknown_custom": JSONResponse(
        {"intent": {"name": "greet", "confidence": 1}, "messages": [{"custom": {"data": {"type": "surprise"}}}]}
    ),
}


@pytest.mark.parametrize("reason", UNUSABLE_REPLIES)
def test_what_rasa_cannot_decide_is_asked_of_the_documents_and_counted(
    gateway: httpx.Client, guest: Caller, rasa: RasaStandIn, llm_service: LlmServiceStandIn, reason: str
) -> None:
    rasa.says = UNUSABLE_REPLIES[reason]
    counter = f'haechi_gateway_rasa_fallbacks_total{{reason="{reason}"}}'
    before = counted(gateway, counter)
    events = guest.ask(QUESTION)
    assert only(events, "done")[0]["state"] == "answered"
    route: Any = llm_service.all_turns()[0].route
    assert (route["intent"], route["by"], route["reason"]) == ("ask_knowledge", "fallback", reason)
    assert counted(gateway, counter) == before + 1


def test_a_guest_cannot_enter_the_conversation_of_another(
    gateway: httpx.Client, guest: Caller, llm_service: LlmServiceStandIn
) -> None:
    conversation = str(uuid4())
    guest.ask(QUESTION, conversation=conversation)
    new_guest(gateway).ask(QUESTION, conversation=conversation)
    assert len(llm_service.conversations) == 2


async def test_a_reader_who_leaves_does_not_end_the_answer(
    guest: Caller, llm_service: LlmServiceStandIn, gateway: httpx.Client
) -> None:
    llm_service.pace_seconds = 0.005
    body = guest.chat_body(QUESTION)
    headers = {"Authorization": f"Bearer {guest.token}"}
    async with httpx.AsyncClient(base_url=gateway.base_url, trust_env=False) as http:
        async with http.stream("POST", "/v1/chat", json=body, headers=headers) as response:
            async for line in response.aiter_lines():
                if line == "event: token":
                    break
        whole = await http.post("/v1/chat", json=body, headers=headers)
    assert only(events_of(whole), "done")[0]["state"] == "answered"
    assert llm_service.generations == 1


class EndlessAnswer(LlmServiceClient):
    """Events of an answer that does not end; knows whether anybody still reads them."""

    def __init__(self) -> None:
        self.is_read = False
        self.handed_out: list[AsyncGenerator[StreamEvent]] = []

    def events(self, turn_id: str, conversation_id: str, after: int = 0) -> AsyncGenerator[StreamEvent]:
        # Kept, so that only who closes it closes it, and not the garbage collector.
        self.handed_out.append(self._endless())
        return self.handed_out[-1]

    async def _endless(self) -> AsyncGenerator[StreamEvent]:
        self.is_read = True
        try:
            for number in count(1):
                yield StreamEvent(number, "token", {"text": "가 "})
        finally:
            self.is_read = False


@pytest.mark.parametrize("restored", [False, True])
async def test_closing_a_stream_closes_what_it_reads_at_once(restored: bool) -> None:
    answer, metrics = EndlessAnswer(), Metrics()
    router = Router(RasaClient("", ""), FallbackRouter(), lambda _reason: None)
    turns = ChatTurns(answer, router, ConversationQueue(1), metrics)
    opened = OpenTurn(OwnedTurn("t", "c"), False, None, "ko", "received", None, "", False, {}, 0.0)
    events = turns.stream(opened)
    if restored:
        events = Restorer(answer, "c", "guest").restored(events)
    async for event in events:
        if event.event == "token":
            break
    assert (answer.is_read, metrics.open_streams._value.get()) == (True, 1)
    await events.aclose()
    assert (answer.is_read, metrics.open_streams._value.get()) == (False, 0)


def test_a_reader_who_leaves_leaves_no_stream_open(
    guest: Caller, llm_service: LlmServiceStandIn, gateway: httpx.Client
) -> None:
    llm_service.pace_seconds = 0.005
    body = guest.chat_body("길게 설명해 주세요")
    with guest.http.stream("POST", "/v1/chat", json=body, headers={"Authorization": f"Bearer {guest.token}"}) as reply:
        lines = reply.iter_lines()
        while next(lines) != "event: token":
            pass
        assert (llm_service.open_streams, open_streams(gateway)) == (1, 1)
    given_up = time.monotonic() + 5
    while time.monotonic() < given_up and (llm_service.open_streams or open_streams(gateway)):
        pass
    assert (llm_service.open_streams, open_streams(gateway)) == (0, 0)
    assert llm_service.all_turns()[0].state == "answering"


def open_streams(gateway: httpx.Client) -> float:
    return counted(gateway, "haechi_gateway_open_streams")


def test_a_turn_is_counted_once_however_often_it_is_streamed(gateway: httpx.Client, guest: Caller) -> None:
    counter = 'haechi_gateway_turns_total{state="answered"}'
    before = counted(gateway, counter)
    body = guest.chat_body(QUESTION)
    for _ in range(3):
        guest.post("/v1/chat", body)
    assert counted(gateway, counter) == before + 1
