"""Routing while there is no Rasa: what must not wait gets its reply, everything else goes to the documents."""

import pytest

from bot.gateway.fallback import FallbackRouter

ROUTER = FallbackRouter()


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("카드를 잃어버렸어요 어떡하죠", "card_lost"),
        ("I lost my card yesterday", "card_lost"),
        ("보이스피싱 당한 것 같아요", "fraud_report"),
        ("상담원 연결해 주세요", "human_handoff"),
        ("카드 분실 시 책임은 누가 지나요?", "ask_knowledge"),
        ("보이스피싱 피해금 지급정지 절차의 법적 근거는?", "ask_knowledge"),
        ("정기예금 중도해지 이율이 궁금해요", "ask_knowledge"),
        ("<KR_PHONE_1>", "ask_knowledge"),
    ],
)
def test_a_text_has_an_intent_without_rasa(text: str, intent: str) -> None:
    assert ROUTER.intent_of(text).name == intent


def test_a_knowledge_question_goes_to_the_documents_with_the_reason_and_no_claimed_confidence() -> None:
    decision = ROUTER.decide("예금자보호 한도는?", "ko", "timeout")
    assert decision.asks_documents
    assert (decision.route.by, decision.route.reason, decision.route.confidence) == ("fallback", "timeout", 0.0)


@pytest.mark.parametrize("locale", ["ko", "en"])
def test_an_urgent_text_gets_its_reply_in_the_persons_language(locale: str) -> None:
    decision = ROUTER.decide("보이스피싱 당했어요", locale, "disabled")  # type: ignore[arg-type]
    assert not decision.asks_documents
    assert ("112" in decision.replies[0], decision.replies[0].isascii()) == (True, locale == "en")
