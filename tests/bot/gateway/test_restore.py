"""A guest sees their own values again, in their own stream only, however the answer is cut into tokens."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.gateway.restore import PLACEHOLDER, Restorer
from bot.gateway.turn import ChatEvent
from llm_service.client import PLACEHOLDER_TYPES, LlmServiceClient, ServiceError
from llm_service.masking.placeholders import neutralise
from tests.bot.gateway.conftest import Behind, Caller, only, words
from tests.bot.gateway.stand_ins import LlmServiceStandIn, RasaStandIn

CONVERSATION = "c" * 32
VALUES = {
    "<PERSON_1>": "홍길동",
    "<PHONE_1>": "010-1234-5678",
    "<PERSON_2>": "<PHONE_1>",
    "<KR_DRIVER_LICENSE_9999>": "11-22-333333-44",
}


class Vault(LlmServiceClient):
    """The restore call of llm_service with values of its own, which counts how often it is asked."""

    def __init__(self, fails: bool = False) -> None:
        self.asked: list[tuple[str, str, tuple[str, ...]]] = []
        self._fails = fails

    async def restore(self, conversation_id: str, owner: str, placeholders: Sequence[str]) -> dict[str, str]:
        self.asked.append((conversation_id, owner, tuple(placeholders)))
        if self._fails:
            raise ServiceError("llm_service_unreachable", 503, "down")
        return {name: VALUES[name] for name in placeholders if name in VALUES}


def restored(text: str) -> str:
    return asyncio.run(Restorer(Vault(), CONVERSATION, "guest").restore(text))


def streamed(events: Sequence[ChatEvent], vault: Vault | None = None) -> list[ChatEvent]:
    async def source() -> AsyncGenerator[ChatEvent]:
        for event in events:
            yield event

    async def collect() -> list[ChatEvent]:
        restorer = Restorer(vault or Vault(), CONVERSATION, "guest")
        return [event async for event in restorer.restored(source())]

    return asyncio.run(collect())


def tokens(pieces: Sequence[str], first_id: int = 1) -> list[ChatEvent]:
    return [ChatEvent(number, "token", {"text": piece}) for number, piece in enumerate(pieces, start=first_id)]


def text_of(events: Sequence[ChatEvent]) -> str:
    return "".join(event.data["text"] for event in events if event.event == "token")


# Rule 1
def test_what_has_been_put_in_is_not_looked_at_again() -> None:
    assert restored("<PERSON_2>님") == "<PHONE_1>님"


# Rule 2
@pytest.mark.parametrize(
    "damaged",
    ["<PERSON_1>", "[PERSON_1]", "< person_1 >", "<Person_1>", "[ PERSON_1]", "&lt;PERSON_1&gt;", "&LT; person_1 &gt;"],
)
def test_a_placeholder_damaged_by_a_model_is_still_restored(damaged: str) -> None:
    assert restored(f"고객 {damaged}님께") == "고객 홍길동님께"


# Rules 2 and 4
@pytest.mark.parametrize(
    "text",
    [
        "(PERSON_1)",
        "PERSON_1",
        "<PERSON_9>",
        "<PERSON_01>",
        "<PERSON_0>",
        "<NOBODY_1>",
        "<PERSON_1)",
        "[PERSON_1>",
        "<PERSON_1&gt;",
        "<PERSON 1>",
        "‹PERSON 1›",
        "<PERSON_1",
        "PERSON_1>",
        "제1조 [1] <개정 2024. 1. 1.>",
    ],
)
def test_what_is_no_placeholder_or_an_unknown_one_stays(text: str) -> None:
    assert restored(f"가 {text} 나") == f"가 {text} 나"


# Rule 3: whatever would be restored is made inert where a person types it.
@given(
    opener=st.sampled_from(["<", "[", "&lt;", "&LT;", "<<", "[<"]),
    blank=st.sampled_from(["", " "]),
    type_=st.sampled_from(PLACEHOLDER_TYPES),
    number=st.integers(1, 9999),
    closer=st.sampled_from([">", "]", "&gt;", "&GT;", ">>"]),
    lower=st.booleans(),
)
def test_no_typed_spelling_can_pull_a_value(
    opener: str, blank: str, type_: str, number: int, closer: str, lower: bool
) -> None:
    typed = f"{opener}{blank}{type_.lower() if lower else type_}_{number}{blank}{closer}"
    assert PLACEHOLDER.search(neutralise(typed)) is None


# Rule 5
FRAGMENTS = st.sampled_from(
    [
        *VALUES,
        *("[PERSON_1]", "< person_1 >", "&lt;PHONE_1&gt;", "<PERSON_9>", "< KR_DRIVER_LICENSE_9999 >", "[1]"),
        *("<", "[", "&", "&lt;", "&l", ">", "]", "&gt;", "_1", "PERSON_1", "<KR_DRIVER_LICENSE_9999"),
        *(" ", "입니다. ", "a"),
    ]
)
TEXTS = st.lists(FRAGMENTS, max_size=12).map("".join)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=20))
def test_however_a_text_is_cut_into_tokens_the_same_is_restored(text: str, cuts: list[int]) -> None:
    assert text_of(streamed(tokens(cut(text, cuts)))) == restored(text)


@given(text=TEXTS, cuts=st.lists(st.integers(0, 200), max_size=20), leaves_after=st.integers(0, 20))
def test_a_reader_who_comes_back_misses_nothing_and_sees_nothing_twice(
    text: str, cuts: list[int], leaves_after: int
) -> None:
    sent = [*tokens(cut(text, cuts)), ChatEvent(100, "done", {})]
    first = streamed(sent)[: leaves_after + 1]
    last_seen = first[-1].id
    rest = streamed([event for event in sent if event.id > last_seen])
    assert text_of(first) + text_of(rest) == restored(text)


def cut(text: str, cuts: list[int]) -> list[str]:
    places = sorted({0, len(text), *(place for place in cuts if place < len(text))})
    return [text[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("text", ["금리는 <", "금리는 5 < 6", "[", "&lt", "<PERSON_"])
def test_what_was_held_back_goes_out_at_the_end(text: str) -> None:
    assert streamed([*tokens([text]), ChatEvent(2, "done", {})]) == [*tokens([text]), ChatEvent(2, "done", {})]


def test_text_is_held_back_no_longer_than_it_can_become_a_placeholder() -> None:
    pieces = ["이자 <", "표", " 참조> 입니다", "< " + "A" * 23, "A", "끝"]
    assert [event.id for event in streamed(tokens(pieces))] == [2, 3, 5, 6]


def test_a_placeholder_is_asked_for_once_a_stream() -> None:
    vault = Vault()
    streamed(tokens(["<PERSON_1>", "과 <PERSON_1>", "[PERSON_9] <PERSON_9>"]), vault)
    assert vault.asked == [
        (CONVERSATION, "guest", ("<PERSON_1>",)),
        (CONVERSATION, "guest", ("<PERSON_9>",)),
    ]


def test_a_text_without_placeholders_asks_for_nothing() -> None:
    vault = Vault()
    streamed(tokens(["예금자 보호 한도는 ", "1억원입니다. [1]"]), vault)
    assert vault.asked == []


def test_when_values_cannot_be_had_the_answer_is_whole_with_its_placeholders() -> None:
    vault = Vault(fails=True)
    assert text_of(streamed(tokens(["<PERSON_1>님 ", "<PHONE_1>으로"]), vault)) == "<PERSON_1>님 <PHONE_1>으로"
    assert len(vault.asked) == 1


def test_notices_are_restored_and_sources_are_not() -> None:
    source = {"sources": [{"text": "<PERSON_1>"}]}
    events = [ChatEvent(0, "notice", {"code": "follow_up", "text": "<PERSON_1>님"}), ChatEvent(1, "sources", source)]
    shown = {"code": "follow_up", "text": "홍길동님", "masked": "<PERSON_1>님"}
    assert [event.data for event in streamed(events)] == [shown, source]


def test_what_was_restored_comes_with_its_masked_text_for_whoever_keeps_it() -> None:
    events = [ChatEvent(1, "token", {"text": "<PERSON_1>님, "}), ChatEvent(2, "token", {"text": "안녕하세요"})]
    assert [event.data for event in streamed(events)] == [
        {"text": "홍길동님, ", "masked": "<PERSON_1>님, "},
        {"text": "안녕하세요"},
    ]


# Rule 6: the same through the gateway's own door.
class RememberingStandIn(LlmServiceStandIn):
    """Masks the telephone number as the service does, repeats it in answers, and restores it for its owner."""

    def app(self) -> Starlette:
        restoring = Route("/v1/conversations/{conversation_id}/restore", self.restore, methods=["POST"])
        return Starlette(routes=[*super().app().routes, restoring])

    async def create_turn(self, request: Request) -> Response:
        response = await super().create_turn(request)
        return Response(bytes(response.body).replace(b"KR_PHONE_1", b"PHONE_1"), media_type="application/json")

    async def generate(self, turn: Any) -> None:
        self.emit(turn, "sources", {"sources": [{"number": 1, "text": "<PHONE_1>"}]})
        for piece in ("번호 <PH", "ONE_1", ">로 ", "안내합니다."):
            self.emit(turn, "token", {"text": piece})
        turn.state = "answered"
        done = {"turn_id": turn.turn_id, "state": "answered", "refused": False, "engine": "extractive", "timings": {}}
        self.emit(turn, "done", done)

    async def restore(self, request: Request) -> Response:
        body = await request.json()
        owned = {
            (self.conversations[key["channel"], key["thread"]], key["user"])
            for key in self.conversation_keys
            if key["channel"] == "web"
        }
        is_owner = (request.path_params["conversation_id"], body["owner"]) in owned
        known = is_owner and "<PHONE_1>" in body["placeholders"]
        return JSONResponse({"values": {"<PHONE_1>": "010-1234-5678"} if known else {}})


@pytest.fixture
def llm_service(behind: Behind) -> LlmServiceStandIn:
    stand_in = RememberingStandIn()
    behind.llm_service.inside = stand_in.app()
    return stand_in


QUESTION = "제 번호는 010-1234-5678입니다. 등록되나요?"


def test_a_guest_sees_their_own_value_in_the_answer_and_not_in_its_sources(guest: Caller) -> None:
    events = guest.ask(QUESTION)
    assert words(events) == "번호 010-1234-5678로 안내합니다."
    assert only(events, "sources") == [{"sources": [{"number": 1, "text": "<PHONE_1>"}]}]


def test_reading_again_restores_again_and_generates_nothing(guest: Caller, llm_service: LlmServiceStandIn) -> None:
    body = guest.chat_body(QUESTION)
    first, again = guest.post("/v1/chat", body), guest.post("/v1/chat", body)
    assert again.text.count("010-1234-5678") == first.text.count("010-1234-5678") == 1
    assert llm_service.generations == 1


def test_a_reader_who_was_cut_off_inside_a_placeholder_gets_the_value(guest: Caller) -> None:
    body = guest.chat_body(QUESTION)
    ids = [line for line in guest.post("/v1/chat", body).text.splitlines() if line.startswith("id: ")]
    assert ids == ["id: 0", "id: 1", "id: 4", "id: 5", "id: 6"]
    after_sources = guest.post("/v1/chat", body, **{"Last-Event-ID": "1"})
    assert "010-1234-5678" in after_sources.text


def test_a_deterministic_reply_is_restored_too(guest: Caller, rasa: RasaStandIn) -> None:
    messages = [{"text": "<PHONE_1> 번호로 접수했습니다."}]
    rasa.says = JSONResponse({"intent": {"name": "card_lost", "confidence": 0.9}, "messages": messages})
    assert words(guest.ask(QUESTION)) == "010-1234-5678 번호로 접수했습니다."


def test_a_service_caller_never_gets_restored_text(service: Caller) -> None:
    assert words(service.ask(QUESTION, user=str(uuid4()))) == "번호 <PHONE_1>로 안내합니다."


def test_nothing_restored_goes_back_to_llm_service_or_to_rasa(
    guest: Caller, llm_service: LlmServiceStandIn, rasa: RasaStandIn
) -> None:
    guest.ask(QUESTION)
    assert all("010-1234-5678" not in str(received) for received in rasa.received)
    assert all("010-1234-5678" not in str(turn.answer) for turn in llm_service.all_turns())


def test_restored_streams_are_never_cached(guest: Caller) -> None:
    assert guest.post("/v1/chat", guest.chat_body(QUESTION)).headers["Cache-Control"] == "no-store"
