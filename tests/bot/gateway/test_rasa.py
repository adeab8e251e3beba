"""What the gateway makes of Rasa's guarded channel, reply by reply, and of a Rasa that does not answer."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from bot.gateway.decision import Decision
from bot.gateway.rasa import RasaClient, RasaUnusable

ANSWER = {"custom": {"data": {"type": "answer", "answer_id": 7}}}


def rasa_that(reply: Callable[[httpx.Request], httpx.Response]) -> RasaClient:
    return RasaClient("http://rasa", "the token", httpx.MockTransport(reply))


def rasa_saying(*messages: Any, intent: str = "ask_knowledge") -> RasaClient:
    reply = {"intent": {"name": intent, "confidence": 0.8}, "messages": list(messages)}
    return rasa_that(lambda _: httpx.Response(200, json=reply))


def rasa_raising(error: Exception) -> RasaClient:
    def fail(_request: httpx.Request) -> httpx.Response:
        raise error

    return rasa_that(fail)


async def decided(rasa: RasaClient) -> Decision:
    try:
        return await rasa.decide("conversation", "수수료가 얼마예요?", "ko")
    finally:
        await rasa.close()


async def test_the_request_carries_conversation_masked_text_locale_and_the_token() -> None:
    seen: list[httpx.Request] = []

    def keep(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"intent": {"name": "greet", "confidence": 1}, "messages": [{"text": "안녕"}]})

    await decided(rasa_that(keep))
    (request,) = seen
    assert (request.method, request.url.path) == ("POST", "/webhooks/guarded/webhook")
    assert request.headers["authorization"] == "Bearer the token"
    assert json.loads(request.content) == {"conversation": "conversation", "text": "수수료가 얼마예요?", "locale": "ko"}


@pytest.mark.parametrize(
    ("messages", "intent", "asks_documents", "replies", "handoff", "verdict"),
    [
        ([{"text": "안녕하세요."}], "greet", False, ("안녕하세요.",), False, None),
        ([{"text": "하나"}, {"text": "둘"}], "help", False, ("하나", "둘"), False, None),
        ([ANSWER], "ask_knowledge", True, (), False, None),
        ([ANSWER], "nlu_fallback", True, (), False, None),
        ([{"custom": {"type": "answer"}}], "ask_knowledge", True, (), False, None),
        ([ANSWER] * 10, "ask_knowledge", True, (), False, None),
        ([ANSWER, {"text": "기간은요?"}], "ask_knowledge", True, ("기간은요?",), False, None),
        ([{"custom": {"data": {"type": "handoff"}}}], "human_handoff", False, (), True, None),
        ([{"custom": {"type": "handoff"}}, ANSWER], "human_handoff", False, (), True, None),
        ([{"custom": {"type": "feedback", "verdict": "down"}}], "feedback_negative", False, (), False, "down"),
        ([{"custom": {"type": "feedback"}}], "feedback_negative", False, (), False, "down"),
        (
            [{"text": "감사합니다."}, {"custom": {"type": "feedback"}}],
            "feedback_positive",
            False,
            ("감사합니다.",),
            False,
            "up",
        ),
    ],
)
async def test_a_reply_becomes_a_decision(
    messages: list[Any], intent: str, asks_documents: bool, replies: tuple[str, ...], handoff: bool, verdict: str | None
) -> None:
    decision = await decided(rasa_saying(*messages, intent=intent))
    assert (decision.asks_documents, decision.replies, decision.handoff, decision.verdict) == (
        asks_documents,
        replies,
        handoff,
        verdict,
    )
    assert (decision.route.intent, decision.route.confidence, decision.route.by) == (intent, 0.8, "rasa")


@pytest.mark.parametrize(
    ("rasa", "reason"),
    [
        (rasa_that(lambda _: httpx.Response(200, json=[])), "empty"),
        (rasa_saying(), "empty"),
        (rasa_saying({"text": "  "}), "empty"),
        (rasa_that(lambda _: httpx.Response(500)), "status"),
        (rasa_that(lambda _: httpx.Response(401, json={})), "status"),
        (rasa_that(lambda _: httpx.Response(200, text="<html>")), "unreadable"),
        (rasa_that(lambda _: httpx.Response(200, json={"messages": []})), "unreadable"),
        (rasa_saying({"custom": 7}), "unreadable"),
        (rasa_saying({"custom": {"data": {"type": "restart"}}}), "unknown_custom"),
        (rasa_raising(httpx.ReadTimeout("")), "timeout"),
        (rasa_raising(httpx.ConnectError("")), "unreachable"),
        (RasaClient("", ""), "disabled"),
    ],
)
async def test_what_is_no_usable_reply_has_a_reason(rasa: RasaClient, reason: str) -> None:
    with pytest.raises(RasaUnusable) as unusable:
        await decided(rasa)
    assert unusable.value.reason == reason


async def test_rasa_is_asked_once_and_for_three_seconds_at_most() -> None:
    timeouts: list[Any] = []

    def keep(request: httpx.Request) -> httpx.Response:
        timeouts.append(request.extensions["timeout"])
        raise httpx.ReadTimeout("")

    with pytest.raises(RasaUnusable):
        await decided(rasa_that(keep))
    assert [set(timeout.values()) for timeout in timeouts] == [{3.0}]


async def test_rasa_is_ready_only_when_a_synthetic_question_is_understood() -> None:
    understanding = rasa_that(lambda _: httpx.Response(200, json={"intent": {"name": "greet", "confidence": 0.9}}))
    silent = rasa_that(lambda _: httpx.Response(200, json=[]))
    assert await understanding.is_ready() is True
    assert await silent.is_ready() is False
    await understanding.close()
    await silent.close()
