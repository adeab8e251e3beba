"""Answers in Teams: streamed in one-to-one chats, whole elsewhere, labelled, cited, judged, never silent."""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Any, Protocol

import pytest
import redis
from starlette.responses import JSONResponse

from benchmarks.pii import values
from bot.gateway.teams.kept import KeptMessages
from bot.gateway.texts import sentence
from bot.teams_door.activity import activity_of, message_of
from bot.teams_door.inbox import STREAM, InboxDoor, InboxWorker, KeyPair
from llm_service import wiring
from tests.bot.gateway.stand_ins import (
    PHONE_NUMBER,
    RASA_TOKEN,
    SENTENCES,
    SERVICE_TOKEN,
    RasaStandIn,
    Swap,
    served,
)
from tests.bot.teams.bank import SPEED, WEB_CHAT, InTeams, TalkingStandIn, in_teams
from tests.bot.teams.microsoft import FakeConnector, Received, payload, throttled

ANSWER = "".join(SENTENCES)
WORDS_A_SECOND = 3


class Chat(Protocol):
    def __call__(
        self, speed: float = 1.0, abandoned_milliseconds: int = 60_000, **stand_in: Any
    ) -> AbstractAsyncContextManager[InTeams]: ...


@pytest.fixture(scope="module")
def behind() -> Iterator[tuple[Swap, Swap, dict[str, Any]]]:
    llm_service, rasa = Swap(), Swap()
    with served(llm_service) as llm_service_url, served(rasa) as rasa_url:
        settings = {
            "llm_service_url": llm_service_url,
            "rasa_url": rasa_url,
            "rasa_token": RASA_TOKEN,
            "service_token": SERVICE_TOKEN,
            "session_secret": "a secret that signs the sessions of the tests",
        }
        yield llm_service, rasa, settings


@pytest.fixture
def chat(behind: tuple[Swap, Swap, dict[str, Any]], redis_url: str, inbox_keys: KeyPair) -> Chat:
    llm_swap, rasa_swap, settings = behind

    def opened(
        speed: float = 1.0, abandoned_milliseconds: int = 60_000, **stand_in: Any
    ) -> AbstractAsyncContextManager[InTeams]:
        llm_service = TalkingStandIn(**stand_in)
        llm_swap.inside, rasa_swap.inside = llm_service.app(), RasaStandIn().app()
        return in_teams(settings, redis_url, inbox_keys, llm_service, speed, abandoned_milliseconds)

    return opened


def one_message(connector: FakeConnector) -> bool:
    return len(connector.messages) == 1 and not any(stream.is_over is False for stream in connector.streams.values())


def finals(connector: FakeConnector) -> list[Received]:
    return [one for one in connector.received if one.activity["type"] == "message" and one.status < 300]


def gaps(connector: FakeConnector) -> list[float]:
    """Seconds between two requests of a stream, all of them."""
    times = [one.at for one in connector.received]
    return [later - earlier for earlier, later in pairwise(times)]


def words_for(seconds: float) -> dict[str, Any]:
    """An answer that takes so many of Teams' seconds."""
    count = int(seconds * WORDS_A_SECOND)
    words = " ".join(f"낱말{'가나다라마바사'[n % 7]}" for n in range(count)) + " [1]"
    return {"words": words, "pace_seconds": 1.0 / WORDS_A_SECOND / SPEED}


async def test_a_quick_answer_is_one_message_at_once(chat: Chat) -> None:
    async with chat() as person:
        await person.say("personal_message")
        await person.connector.until(one_message)
        assert person.connector.texts == [ANSWER]
        assert person.connector.authorizations == {"Bearer a-bot-token"}
        assert len(person.connector.received) == 1


async def test_t2_an_activity_that_is_left_three_times_is_answered_once(chat: Chat) -> None:
    async with chat() as person:
        await person.say("personal_message")
        for _ in range(2):
            await person.say("personal_message", again=True)
        await person.connector.until(one_message)
        await person.say("personal_message", text="다른 질문")
        await person.connector.until(lambda connector: len(connector.messages) == 2)
        assert person.llm_service.generations == 2


async def test_t3_the_pieces_of_a_minute_are_a_second_apart_all_of_them(chat: Chat) -> None:
    async with chat(SPEED, **words_for(60)) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: bool(finals(connector)))
        connector = person.connector
        assert len(connector.pieces) > 20
        assert min(gaps(connector)) >= 1.0
        assert connector.texts == [person.llm_service.words]
        sequences = [piece.stream_info["streamSequence"] for piece in connector.pieces if piece.stream_info]
        assert sequences == list(range(1, len(sequences) + 1))


async def test_t3_an_answer_of_three_minutes_ends_as_one_message_with_all_its_text(chat: Chat) -> None:
    async with chat(SPEED, **words_for(180)) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: bool(finals(connector)))
        connector = person.connector
        assert connector.texts == [person.llm_service.words]
        assert [one.method for one in finals(connector)] == ["PUT"]
        assert connector.pieces[-1].at - connector.pieces[0].at <= 120
        assert min(gaps(connector)) >= 1.0


async def test_t3_throttled_pieces_and_ends_come_later_and_whole(chat: Chat) -> None:
    async with chat(SPEED, **words_for(20)) as person:
        person.connector.refuse = [throttled(3), throttled(0)]
        await person.say("personal_message")
        await person.connector.until(lambda connector: len(connector.pieces) > 2)
        person.connector.refuse = [throttled(2)]
        await person.connector.until(lambda connector: bool(finals(connector)))
        assert person.connector.texts == [person.llm_service.words]
        assert min(gaps(person.connector)) >= 1.0


async def test_a_chat_that_may_not_stream_gets_the_whole_answer(chat: Chat) -> None:
    not_allowed = JSONResponse({"error": {"code": "BadSyntax", "message": "Content stream is not allowed"}}, 403)
    async with chat(SPEED, **words_for(10)) as person:
        person.connector.refuse = [not_allowed]
        await person.say("personal_message")
        await person.connector.until(one_message)
        assert person.connector.texts == [person.llm_service.words]


@pytest.mark.parametrize("name", ["group_mention", "channel_mention"])
async def test_groups_and_channels_see_typing_and_one_message(chat: Chat, name: str) -> None:
    async with chat(SPEED, **words_for(10)) as person:
        message = await person.say(name)
        await person.connector.until(one_message)
        typing, final = person.connector.received
        assert (typing.activity["type"], "text" in typing.activity) == ("typing", False)
        assert (final.conversation, final.activity["replyToId"]) == (message.conversation_id, message.activity_id)
        assert final.activity["text"] == person.llm_service.words


async def test_t4_a_final_answer_is_labelled_cited_and_can_be_judged(chat: Chat) -> None:
    async with chat() as person:
        await person.say("personal_message")
        await person.connector.until(one_message)
        (final,) = finals(person.connector)
        (about,) = [e for e in final.activity["entities"] if e["type"] == "https://schema.org/Message"]
        assert about["additionalType"] == ["AIGeneratedContent"]
        assert [claim["position"] for claim in about["citation"]] == [1, 2]
        assert all(f"[{claim['position']}]" in final.activity["text"] for claim in about["citation"])
        for claim in about["citation"]:
            assert 0 < len(claim["appearance"]["name"]) <= 80
            assert 0 < len(claim["appearance"]["abstract"]) <= 160
        assert final.activity["channelData"]["feedbackLoop"] == {"type": "custom"}
        (card,) = final.activity["attachments"]
        assert card["contentType"] == "application/vnd.microsoft.card.adaptive"


async def test_t4_a_streamed_answer_ends_with_the_same_label_citations_and_thumbs(chat: Chat) -> None:
    async with chat(SPEED, **words_for(10)) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: bool(finals(connector)))
        (final,) = finals(person.connector)
        kinds = [entity["type"] for entity in final.activity["entities"]]
        assert sorted(kinds) == ["https://schema.org/Message", "streaminfo"]
        assert final.activity["channelData"]["feedbackLoop"] == {"type": "custom"}


@pytest.mark.parametrize(
    ("thumb", "verdict", "reason", "correction"),
    [
        ("feedback_like_asked", "up", None, None),
        ("feedback_form_sent", "down", "outdated", "2025년 9월부터 예금자보호 한도는 1억원입니다."),
        ("feedback_default_box", "down", None, "예전 내용입니다."),
    ],
)
async def test_t4_a_thumb_with_its_words_is_stored_within_a_second(
    chat: Chat, thumb: str, verdict: str, reason: str | None, correction: str | None
) -> None:
    async with chat() as person:
        await person.say("personal_message")
        await person.connector.until(one_message)
        (message_id,) = person.connector.messages
        await eventually(lambda: person.llm_service.generations == 1)
        began = time.monotonic()
        for again in (False, True):
            await person.say(thumb, again=again, replyToId=message_id)
        await eventually(lambda: bool(person.llm_service.feedback))
        assert time.monotonic() - began <= 1.0
        (stored,) = person.llm_service.feedback
        (turn,) = person.llm_service.all_turns()
        assert (stored["turn_id"], stored["verdict"]) == (turn.turn_id, verdict)
        assert (stored["reason"], stored["correction"]) == (reason, correction)


async def test_a_thumb_under_a_message_that_is_no_answer_is_told_why_it_does_not_count(chat: Chat) -> None:
    async with chat() as person:
        await person.say("feedback_like_asked")
        await person.connector.until(one_message)
        assert person.connector.texts == [sentence("teams", "feedback_too_late", "ko")]


async def test_t5_stop_ends_the_generation_within_a_second(chat: Chat) -> None:
    async with chat(words="낱말 " * 2000, pace_seconds=0.02) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: len(connector.pieces) >= 2)
        person.connector.stopped = True
        await eventually(lambda: person.llm_service.stopped_at is not None)
        assert person.connector.stopped_at is not None
        assert person.llm_service.stopped_at is not None
        assert person.llm_service.stopped_at - person.connector.stopped_at <= 1.0
        assert len(person.connector.messages) == 1


async def test_t5_stop_is_noticed_while_the_engine_is_silent(chat: Chat) -> None:
    async with chat(SPEED, words="낱말 " * 100, pace_seconds=3.0) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: len(connector.pieces) >= 1)
        first = person.connector.pieces[0]
        assert first.stream_info == {"type": "streaminfo", "streamType": "informative", "streamSequence": 1}
        assert first.activity["text"] == sentence("teams", "working", "ko")
        person.connector.stopped = True
        await person.connector.until(lambda connector: connector.stopped_at is not None, seconds=2)
        await eventually(lambda: person.llm_service.all_turns()[0].stopped)


@pytest.mark.parametrize(
    ("stand_in", "code"),
    [({"masking_down": True}, "masking_unavailable"), ({"answering_down": True}, "service_failed")],
)
async def test_a_failure_is_a_sentence_with_its_reason(chat: Chat, stand_in: dict[str, Any], code: str) -> None:
    async with chat(**stand_in) as person:
        await person.say("personal_message")
        await person.connector.until(one_message)
        assert person.connector.texts == [sentence("errors", code, "ko")]


async def test_an_answer_that_breaks_off_while_it_streams_says_so_in_its_own_place(chat: Chat) -> None:
    async with chat(SPEED, **words_for(30)) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: len(connector.pieces) >= 3)
        turn = person.llm_service.all_turns()[0]
        person.llm_service.emit(turn, "error", {"code": "engine_unavailable", "message": "stand-in"})
        await person.connector.until(lambda connector: any(one.method == "PUT" for one in connector.received))
        (text,) = person.connector.texts
        assert "낱말" not in text
        assert text.endswith("주세요.")


async def test_a_question_in_english_is_answered_in_english(chat: Chat) -> None:
    async with chat(masking_down=True) as person:
        await person.say("personal_message", locale="en-GB")
        await person.connector.until(one_message)
        assert person.connector.texts == [sentence("errors", "masking_unavailable", "en")]


async def test_a_newcomer_is_told_that_this_is_an_ai(chat: Chat) -> None:
    async with chat() as person:
        await person.say("installed")
        await person.connector.until(one_message)
        assert "AI" in person.connector.texts[0]


async def test_a_rules_reply_carries_no_thumbs_and_no_label(chat: Chat) -> None:
    async with chat() as person:
        await person.say("personal_message", text="안녕하세요")
        await person.connector.until(one_message)
        (final,) = finals(person.connector)
        assert final.activity["text"] == "안녕하세요, 해치입니다."
        assert "entities" not in final.activity


async def test_a_question_with_personal_data_is_answered_and_its_writer_warned_without_quoting(chat: Chat) -> None:
    async with chat() as person:
        await person.say("personal_message", text=f"제 번호는 {PHONE_NUMBER}인데 한도가 얼마죠?")
        await person.connector.until(lambda connector: len(connector.messages) == 2)
        warning = sentence("outbound", "question_has_personal_data", "ko").format(web=WEB_CHAT)
        assert person.connector.texts == [warning, ANSWER]
        assert PHONE_NUMBER not in str(person.connector.received)


async def test_in_a_group_the_warning_goes_to_the_writer_alone_where_that_can_be_done(chat: Chat) -> None:
    text = f"<at>해치</at> 제 번호는 {PHONE_NUMBER}인데 한도가 얼마죠?"
    async with chat() as person:
        message = await person.say("group_mention", text=text)
        await person.connector.until(lambda connector: len(connector.messages) == 2)
        warned, answered = finals(person.connector)
        assert warned.conversation == f"a:private-of-{message.user_id}"
        assert answered.conversation == message.conversation_id
    async with chat() as person:
        person.connector.private_chats = False
        message = await person.say("group_mention", text=text)
        await person.connector.until(lambda connector: len(connector.messages) == 2)
        assert {one.conversation for one in finals(person.connector)} == {message.conversation_id}


async def test_t7_an_answer_with_personal_data_is_withdrawn_in_place_and_its_reader_told_where_to_go(
    chat: Chat,
) -> None:
    words = "낱말 " * 30 + f"담당자 {PHONE_NUMBER} 에게 문의하세요. " + "낱말 " * 30
    async with chat(SPEED, words=words, pace_seconds=1 / WORDS_A_SECOND / SPEED) as person:
        await person.say("personal_message")
        await person.connector.until(lambda connector: any(one.method == "PUT" for one in connector.received))
        blocked = sentence("outbound", "personal_data_blocked", "ko").format(web=WEB_CHAT)
        assert person.connector.texts == [blocked]
        assert PHONE_NUMBER not in str(person.connector.received)


async def test_t7_nothing_leaves_while_masking_is_away(chat: Chat) -> None:
    async with chat(SPEED, **words_for(20)) as person:
        await person.say("personal_message")
        await eventually(lambda: person.llm_service.generations == 1)
        person.llm_service.masking_down = True
        await person.connector.until(lambda connector: bool(finals(connector)))
        blocked = sentence("outbound", "unchecked_blocked", "ko").format(web=WEB_CHAT)
        assert person.connector.texts[0] == blocked


SLOTS = {
    "주민등록번호는 {} 입니다.": values.rrn,
    "외국인등록번호는 {} 입니다.": values.frn,
    "카드번호 {} 로 결제되었습니다.": values.card,
    "계좌번호 {} 로 입금해 주세요.": values.account,
    "전화번호 {} 로 연락해 주세요.": values.phone,
}


async def test_t7_no_value_of_a_synthetic_corpus_leaves_for_teams(chat: Chat, analysers: wiring.Analysers) -> None:
    r = random.Random(20261121)
    made = [(frame, make(r).text) for frame, make in SLOTS.items() for _ in range(20)]
    said = {
        f"{number}번째 질문은 무엇인가요?": f"확인한 내용입니다. {frame.format(value)} 감사합니다. [1]"
        for number, (frame, value) in enumerate(made)
    }
    async with chat(SPEED, said=said, masker=analysers.masker) as person:
        for number, question in enumerate(said):
            conversation = {**payload("personal_message")["conversation"], "id": f"a:chat-{number}"}
            await person.say("personal_message", text=question, conversation=conversation)
        blocked = sentence("outbound", "personal_data_blocked", "ko").format(web=WEB_CHAT)
        await person.connector.until(lambda connector: connector.texts == [blocked] * len(made), seconds=90)
        left = json.dumps([one.activity for one in person.connector.received], ensure_ascii=False)
        assert [value for _, value in made if value in left] == []


async def test_two_questions_of_one_chat_are_answered_one_after_the_other(chat: Chat) -> None:
    async with chat(SPEED, **words_for(5)) as person:
        await person.say("personal_message", text="첫 질문")
        await person.say("personal_message", text="둘째 질문")
        await person.connector.until(lambda connector: len(finals(connector)) == 2)


async def test_an_answer_goes_to_no_host_outside_the_list_even_if_the_inbox_says_so(chat: Chat) -> None:
    async with chat() as person:
        await person.say("personal_message", serviceUrl="https://evil.example/")
        await person.say("channel_mention")
        await person.connector.until(one_message)
        assert {one.conversation[:3] for one in person.connector.received} == {"19:"}


async def test_a_foreign_tenants_message_in_the_inbox_is_not_handled(chat: Chat) -> None:
    async with chat() as person:
        conversation = {"id": "a:foreign", "conversationType": "personal", "tenantId": "another-tenant"}
        await person.say("personal_message", conversation=conversation)
        await person.say("channel_mention")
        await person.connector.until(one_message)
        assert person.llm_service.generations == 1


async def test_what_a_lost_worker_began_is_ended_in_its_place_by_the_next(
    chat: Chat, redis_url: str, inbox_keys: KeyPair
) -> None:
    message = message_of(activity_of(json.dumps(payload("personal_message")).encode()))
    assert message is not None
    door = InboxDoor(redis_url, inbox_keys.public, 10)
    lost = InboxWorker(redis_url, inbox_keys.private, "lost")
    kept = KeptMessages(redis_url, feedback_days=1)
    await lost.prepare()
    await door.put(message)
    assert await lost.take() is not None
    await kept.keep_begun(message.conversation_id, message.activity_id, "m1")
    for part in (door, lost, kept):
        await part.close()
    async with chat(SPEED, abandoned_milliseconds=1500, **words_for(10)) as person:
        person.connector.messages["m1"] = {"text": "낱말"}
        await person.connector.until(lambda connector: bool(finals(connector)))
        assert person.connector.texts == [person.llm_service.words]
        assert [one.method for one in person.connector.received] == ["PUT"]
        await eventually(lambda: left_in(redis_url) == 0)


def left_in(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(client.xlen(STREAM))


async def eventually(is_so: Any, seconds: float = 10.0) -> None:
    """For what another thread does, of which no event tells."""
    async with asyncio.timeout(seconds):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
