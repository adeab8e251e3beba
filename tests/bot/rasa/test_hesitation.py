"""When a turn acts on the intent Rasa guessed, and when it asks the documents instead."""

import pytest

from bot.rasa.channel.hesitation import UNSURE_BELOW, intent_to_act_on

SURE, UNSURE = UNSURE_BELOW, UNSURE_BELOW - 0.01


@pytest.mark.parametrize(
    ("guessed", "confidence", "entities", "acted_on"),
    [
        ("help", SURE, [], "help"),
        ("help", UNSURE, [], "nlu_fallback"),
        ("chitchat", UNSURE, ["loan_term"], "nlu_fallback"),
        ("ask_knowledge", UNSURE, [], "ask_knowledge"),
        ("card_lost", UNSURE, [], "card_lost"),
        ("fraud_report", UNSURE, [], "fraud_report"),
        ("human_handoff", UNSURE, [], "human_handoff"),
        ("inform", SURE, ["loan_amount"], "inform"),
        ("inform", SURE, ["loan_amount", "loan_amount"], "inform"),
        ("inform", SURE, ["loan_amount", "loan_rate"], "loan_calculator"),
        ("ask_knowledge", SURE, ["loan_amount", "loan_rate"], "ask_knowledge"),
    ],
)
def test_a_fixed_reply_needs_a_sure_guess_and_two_values_are_a_loan(
    guessed: str, confidence: float, entities: list[str], acted_on: str
) -> None:
    assert intent_to_act_on(guessed, confidence, entities) == acted_on
