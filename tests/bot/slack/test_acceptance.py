"""What Slack is held to, S1 to S10, each by name. Times are the real ones of the machine the tests run on."""

import asyncio
import json
import random
import re
import time
from itertools import pairwise
from typing import Any

import httpx
import pytest
from slack_sdk.signature import SignatureVerifier
from slack_sdk.web.async_client import AsyncWebClient
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bot.gateway.markup import WORD_JOINER
from bot.gateway.outbound import OutboundGate
from bot.gateway.settings import GatewaySettings
from bot.gateway.slack.app import SlackProcess, create_app
from bot.gateway.slack.blocks import below_answer
from bot.gateway.slack.message import Place, StreamedMessage
from llm_service import wiring
from llm_service.client import LlmServiceClient
from tests.bot.gateway.stand_ins import PHONE_NUMBER, SENTENCES
from tests.bot.slack.conftest import Begin, ScriptedLlmService, mention, payload, slack_settings
from tests.bot.slack.fake_slack import STREAM_SECONDS, FakeSlack
from tests.bot.slack.values import personal_values

ANSWER = "".join(SENTENCES)
SIGNING_SECRET = "signing-secret-of-the-tests"


def ended(slack: FakeSlack) -> int:
    return len(slack.called("chat.stopStream"))


def shown(slack: FakeSlack) -> list[str]:
    return [message.text for message in slack.messages.values()]


def handles(slack: FakeSlack) -> list[str]:
    """What the thumbs of the answers carry."""
    return re.findall(r'"value": "down:([^"]+)"', "".join(slack.texts()))


# S1


async def test_s1_deliveries_are_acknowledged_in_300_ms_while_the_engine_takes_twenty_seconds(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, redis_url: str
) -> None:
    llm_service.pace_seconds = 20.0
    sent: list[str] = []
    async with begin(redis_url=redis_url):
        for wave in range(25):
            sent += [await slack.deliver("events_api", mention(20 * wave + number)) for number in range(20)]
            await slack.until(lambda: len(slack.acks) == len(slack.sent_at))
    waits = sorted(slack.acks[envelope] - slack.sent_at[envelope] for envelope in sent)
    assert len(waits) == 500
    assert waits[494] <= 0.3


# S2


async def test_s2_everything_delivered_three_times_in_any_order_happens_once(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, redis_url: str
) -> None:
    async with begin(redis_url=redis_url):
        questions = [mention(number) for number in range(10)]
        thrice = [question for question in questions for _ in range(3)]
        random.Random(8).shuffle(thrice)
        for retry, question in enumerate(thrice):
            await slack.deliver("events_api", question, retry_attempt=retry % 3, retry_reason="timeout")
        await slack.until(lambda: ended(slack) == 10)
        judged = payload("block_actions")
        judged["actions"][0]["value"] = f"up:{handles(slack)[0]}"
        for _ in range(3):
            await slack.deliver("interactive", judged)
        await slack.until(lambda: len(slack.whispers) == 1)
    assert llm_service.generations == 10
    assert len(slack.messages) == 10
    assert len(llm_service.feedback) == 1


# S3


async def test_s3_the_first_words_are_seen_within_a_second_and_no_more_than_sixty_pieces_go_out_a_minute(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    llm_service.pace_seconds = 0.06
    async with begin(pace_seconds=1.0):
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: bool(llm_service.all_turns()) and len(llm_service.all_turns()[0].events) >= 2)
        first_token = time.monotonic()
        await slack.until(lambda: ended(slack) == 1)
    pieces = [call.at for call in slack.calls if call.method in ("chat.startStream", "chat.appendStream")]
    assert pieces[0] - first_token <= 1.0
    # The last piece comes with the end of the answer and waits for nothing.
    gaps = [later - earlier for earlier, later in pairwise(pieces[:-1])]
    assert gaps
    assert min(gaps) >= 0.95
    assert shown(slack) == [ANSWER]


async def test_s3_after_429_the_text_is_byte_for_byte_the_same(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    llm_service.script = ["예금자보호는 ", "원금과 이자를 ", "합하여 ", "보호합니다. ", "[1]\n\n", "끝입니다."]
    slack.limit = {"chat.startStream": [1], "chat.appendStream": [1, 0, 0], "chat.stopStream": [1]}
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack) == 1)
    assert shown(slack) == ["".join(llm_service.script)]
    assert sum(call.error == "ratelimited" for call in slack.calls) >= 3


# S4


async def test_s4_a_stream_that_slack_ended_after_five_minutes_is_made_whole_by_an_update(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    now = 0.0
    slack.now = lambda: now
    go_on = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked = 0

    async def wait() -> None:
        nonlocal asked
        asked += 1
        if asked > 8:
            # The stand-in lives in another thread's loop.
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(go_on.wait(), loop))

    llm_service.gate = wait
    llm_service.script = [f"{word} " for word in ANSWER.split()]
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: bool(slack.messages))
        now = STREAM_SECONDS + 1
        go_on.set()
        await slack.until(lambda: bool(handles(slack)))
    (message,) = slack.messages.values()
    assert message.updated
    assert message.text == "".join(llm_service.script)
    assert message.blocks[-1]["type"] == "context_actions"


@pytest.mark.parametrize("how", ["stop button of the stream", "session stopped"])
async def test_s4_a_stopped_answer_is_no_longer_generated_a_second_later(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, how: str
) -> None:
    llm_service.pace_seconds = 0.02
    async with begin(pace_seconds=0.1):
        await slack.deliver("events_api", payload("message_im", text="길게 설명해 주세요"))
        await slack.until(lambda: bool(slack.called("chat.appendStream")))
        (ts,) = slack.messages
        if how == "session stopped":
            await slack.deliver("events_api", payload("agent_session_stopped", streaming_message_ts=[ts]))
        else:
            slack.stopped_streams.add(ts)
        stopped_at = time.monotonic()
        (turn,) = llm_service.all_turns()
        while not turn.stopped:
            assert time.monotonic() - stopped_at <= 1.0
            await asyncio.sleep(0.01)
        await slack.until(lambda: bool(slack.calls) and turn.state == "stopped")


# S5

PIECES = [
    *(
        "<!channel> ",
        "<!here> ",
        "<@U0PERSON00> ",
        "<https://evil.example|눌러요> ",
        "@channel ",
        "# 제목\n",
        "**굵게** ",
    ),
    *("[열기](javascript:alert(1)) ", "![x](https://evil.example/x.png) ", "| 가 | 나 |\n|---|---|\n| 1 | 2 |\n\n"),
    *(
        "```\n<!channel>\ncode\n```\n",
        "- 하나\n- 둘\n",
        "&lt;!channel&gt; ",
        "[1] ",
        "\u202e뒤집기 ",
        "예금자보호 한도 ",
    ),
    *(
        "```",
        "|",
        "\n\n",
        "<",
        ">",
        "&",
        "[",
        "](",
        "가" * 50 + " ",
        "a" * 2000 + " ",
        "[은행법](https://www.law.go.kr/x) ",
    ),
]


async def test_s5_five_hundred_fuzzed_answers_are_valid_for_slack_and_nothing_in_them_is_live(slack: FakeSlack) -> None:
    chosen = random.Random(5)
    gate = OutboundGate(_nothing_found(), ["www.law.go.kr"], "https://bank.example/chat")
    client = AsyncWebClient("xoxb-of-the-tests", base_url=f"{slack.url}/api/")

    async def began(_ts: str) -> None:
        return None

    for number in range(500):
        written = "".join(chosen.choices(PIECES, k=chosen.choice((3, 30, 300) if number % 25 else (1200,))))[:20_000]
        message = StreamedMessage(client, Place("T0BANK0000", "C0BRANCH00", "1.1", "U0PERSON00"), began)
        stream = gate.stream("bank", "ko")
        stream.add(written[: len(written) // 2])
        await stream.release()
        await message.show(stream.whole)
        stream.add(written[len(written) // 2 :])
        await stream.finish()
        await message.end(stream.whole, below_answer((), None, lambda code: gate.own("slack", code, "ko")))
        texts = [each.text for each in slack.messages.values()]
        assert "".join(texts) == stream.whole.text
        assert not any("<" in text or "evil.example" in text or re.search(r"@\w|!\[", text) for text in texts)
        slack.messages.clear()
    assert WORD_JOINER in "".join(slack.texts())
    assert "<!channel>" not in "".join(slack.texts())


# S6


async def test_s6_a_killed_connection_is_back_within_two_seconds(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    async with begin():
        slack.kill(slack.sockets[0])
        killed_at = time.monotonic()
        await slack.until(lambda: len(slack.open_sockets) == 1 and len(slack.sockets) == 2)
        assert time.monotonic() - killed_at <= 2.0
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: ended(slack) == 1)


async def test_s6_of_two_replicas_one_is_killed_and_none_of_two_hundred_events_is_lost(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, redis_url: str
) -> None:
    llm_service.script = ["예금자보호 ", "한도는 ", "문서에 ", "있습니다. ", "[1]"]
    questions = [mention(number) for number in range(200)]
    async with begin(redis_url=redis_url) as survivor, begin(redis_url=redis_url) as doomed:
        for process in (survivor, doomed):
            process.inbox._shared._lease_seconds = 1.0  # type: ignore[union-attr]
        sent: dict[str, dict[str, Any]] = {}
        for number, question in enumerate(questions):
            sent[await slack.deliver("events_api", question, socket=number)] = question
            if number == 100:
                slack.kill(slack.sockets[1])
                await _kill(doomed)
        await slack.until(lambda: len(slack.open_sockets) == 1)
        # What was not acknowledged is delivered again, as Slack does.
        again = [question for envelope, question in sent.items() if envelope not in slack.acks]
        for question in again:
            await slack.deliver("events_api", question, retry_attempt=1)
        await slack.until(lambda: len({turn.turn_id for turn in _answered(llm_service)}) == 200, seconds=60)
        await slack.until(lambda: all(not message.streaming for message in slack.messages.values()), seconds=30)
    assert llm_service.generations == 200
    assert len({message.thread for message in slack.messages.values()}) == 200


# S7


async def test_s7_no_value_of_the_corpus_reaches_slack_and_the_person_is_told_alone(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, analysers: wiring.Analysers
) -> None:
    llm_service.analysers = analysers
    values = personal_values(40)
    async with begin():
        for number, value in enumerate(values):
            llm_service.script = ["고객이 물으신 ", "번호는 ", *re.findall(r".{1,3}", value), " 로 되어 ", "있습니다."]
            await slack.deliver("events_api", mention(number))
            await slack.until(lambda count=number: len(slack.whispers) == count + 1)  # type: ignore[misc]
    assert len(slack.whispers) == len(values)
    assert all("웹 상담 창" in whisper["text"] for whisper in slack.whispers)
    everything = "".join(slack.texts())
    digits = re.sub(r"\D", "", everything)
    for value in values:
        assert value not in everything
        assert re.sub(r"\D", "", value) not in digits


async def test_s7_a_persons_own_number_is_not_quoted_back_and_they_are_warned_alone(
    begin: Begin, slack: FakeSlack
) -> None:
    async with begin():
        await slack.deliver("events_api", mention(1, f"제 번호 {PHONE_NUMBER} 로 알려 주세요"))
        await slack.until(lambda: ended(slack) == 1)
    assert "지워 주세요" in slack.whispers[0]["text"]
    assert PHONE_NUMBER not in "".join(slack.texts())


async def test_s7_while_masking_is_away_nothing_is_answered_and_the_person_is_told_why(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService
) -> None:
    go_on = asyncio.Event()

    async def masking_goes_away() -> None:
        llm_service.masking_down = True

    llm_service.gate = masking_goes_away
    llm_service.script = ["예금자보호 ", "한도는 ", "1억원입니다. ", "끝 ", "입니다."]
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: len(slack.whispers) == 1 and len(slack.messages) == 1)
    assert "확인할 수 없어" in slack.whispers[0]["text"]
    assert "한도" not in "".join(slack.texts())
    assert not go_on.is_set()


# S8


def _signed(body: bytes, timestamp: str) -> dict[str, str]:
    signature = SignatureVerifier(SIGNING_SECRET).generate_signature(timestamp=timestamp, body=body) or ""
    return {
        "x-slack-request-timestamp": timestamp,
        "x-slack-signature": signature,
        "content-type": "application/json",
    }


async def test_s8_over_http_only_fresh_signed_requests_come_in_and_nothing_is_ever_a_500(
    behind: Any, slack: FakeSlack, llm_service: ScriptedLlmService, rasa: Any
) -> None:
    chosen = slack_settings(slack, slack_transport="http", slack_signing_secret=SIGNING_SECRET)
    process = SlackProcess(GatewaySettings(**behind.settings), chosen, 0.0)
    body = json.dumps(payload("app_mention")).encode()
    now = int(time.time())
    refused: list[dict[str, str]] = [
        {},
        {"x-slack-request-timestamp": str(now)},
        {**_signed(body, str(now)), "x-slack-signature": "v0=0"},
        {**_signed(body, str(now)), "x-slack-signature": "서명".encode().decode("latin-1")},
        _signed(body, str(now - 360)),
        _signed(body, str(now + 360)),
        {**_signed(body, str(now)), "x-slack-request-timestamp": "soon"},
        {**_signed(body, str(now)), "x-slack-request-timestamp": "1e9"},
        {**_signed(body, str(now)), "x-slack-request-timestamp": "9" * 400},
        _signed(b"another body", str(now)),
    ]
    app = create_app(process, chosen)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://slack") as http,
    ):
        for headers in refused:
            answer = await http.post("/slack/events", content=body, headers=_latin(headers))
            assert answer.status_code == 401, headers
        assert (await http.post("/slack/events", content=b"\xff", headers=_signed(b"", str(now)))).status_code == 401
        for _ in range(2):  # the second is a replay
            answer = await http.post("/slack/events", content=body, headers=_signed(body, str(now)))
            assert answer.status_code == 200
        await slack.until(lambda: ended(slack) == 1)
        challenge = json.dumps({"type": "url_verification", "challenge": "c", "token": "t"}).encode()
        answer = await http.post("/slack/events", content=challenge, headers=_signed(challenge, str(now)))
        assert (answer.status_code, "c" in answer.text) == (200, True)
    assert llm_service.generations == 1


# S10


FAILURES: dict[str, tuple[dict[str, Any], str, str]] = {
    "masking down": ({"masking_down": True}, "예금자보호 한도는?", "개인정보를 안전하게 가릴 수 없어"),
    "answering down": ({"answering_down": True}, "예금자보호 한도는?", "요청을 처리하지 못했습니다"),
    "stream cut": ({"cut_after": 3}, "예금자보호 한도는?", "도중에 끊겼습니다"),
    "too long": ({}, "가" * 4001, "질문이 너무 깁니다"),
    "no words": ({}, "🎉🎉", "글자가 없는"),
    "nothing": ({}, "", "질문을 입력해 주세요"),
    "a command": ({}, "/restart", "빗금"),
    "markup": ({}, "&lt;script&gt;alert(1)&lt;/script&gt;", "HTML"),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_s10_every_failure_posts_its_reason(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, failure: str
) -> None:
    state, question, reason = FAILURES[failure]
    for name, value in state.items():
        setattr(llm_service, name, value)
    async with begin():
        await slack.deliver("events_api", mention(1, question))
        await slack.until(lambda: reason in "".join(slack.texts()))


async def test_s10_llm_service_away_posts_its_reason(begin: Begin, slack: FakeSlack) -> None:
    async with begin(llm_service_url="http://127.0.0.1:9"):
        await slack.deliver("events_api", mention(1))
        await slack.until(lambda: "연결할 수 없습니다" in "".join(shown(slack)))


async def test_s10_who_asks_too_often_is_told_when_to_come_back(begin: Begin, slack: FakeSlack) -> None:
    async with begin(questions_per_minute_per_user=1, questions_at_once_per_user=1):
        for number in range(2):
            await slack.deliver("events_api", mention(number))
        await slack.until(lambda: any("질문" in text and "뒤에" in text for text in shown(slack)))


async def test_s10_a_full_inbox_says_so(begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService) -> None:
    llm_service.pace_seconds = 20.0
    async with begin(slack_waiting=1):
        for number in range(2):
            await slack.deliver("events_api", mention(number))
        await slack.until(lambda: any("몰려 있습니다" in whisper["text"] for whisper in slack.whispers))


async def test_s10_what_nobody_foresaw_is_told_as_well(
    begin: Begin, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("nobody foresaw this")

    async with begin() as process:
        monkeypatch.setattr(process.desk._parts.turns, "answer", broken)
        await slack.deliver("events_api", mention(1))
        await slack.until(lambda: any("문제가 생겨" in whisper["text"] for whisper in slack.whispers))


@pytest.mark.parametrize("error", ["channel_not_found", "not_in_channel", "is_archived"])
async def test_s10_a_stream_that_cannot_begin_is_told_to_the_person(begin: Begin, slack: FakeSlack, error: str) -> None:
    slack.fail["chat.startStream"] = [error] * 50
    slack.fail["chat.postMessage"] = [error] * 50
    async with begin():
        await slack.deliver("events_api", mention(1))
        await slack.until(lambda: any("올리지 못했습니다" in whisper["text"] for whisper in slack.whispers))


def _answered(llm_service: ScriptedLlmService) -> list[Any]:
    return [turn for turn in llm_service.all_turns() if turn.state == "answered"]


async def _kill(process: Any) -> None:
    """What SIGKILL leaves of a process in this one: nothing runs on, nothing was finished or said."""
    socket = process._socket.client
    socket.auto_reconnect_enabled = False
    for task in (socket.message_processor, socket.message_receiver, socket.current_session_monitor):
        if task is not None:
            task.cancel()
    inbox = process.inbox
    inbox._stopping.set()
    for task in (*inbox._working, inbox._own_taker):
        task.cancel()


def _latin(headers: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode("latin-1") for name, value in headers.items()}


def _nothing_found() -> LlmServiceClient:
    async def mask(request: Request) -> Response:
        return JSONResponse({"masked": (await request.json())["text"], "entity_counts": {}})

    app = Starlette(routes=[Route("/v1/mask", mask, methods=["POST"])])
    return LlmServiceClient("http://llm-service", "token", httpx.ASGITransport(app))
