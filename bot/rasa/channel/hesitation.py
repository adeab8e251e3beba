"""Decides which intent a turn acts on, where acting on the best guess would be worse than asking the documents.

A wrong greeting or menu is no answer; a question that reaches the documents is answered or honestly refused. What the
guess was is still reported. Knows no conversation and no text.
"""

from collections.abc import Iterable
from typing import Final

UNSURE_BELOW: Final = 0.45
"""Confidence under which a fixed reply is not given."""

FIXED_REPLIES: Final = frozenset(
    {
        "greet",
        "goodbye",
        "thanks",
        "help",
        "chitchat",
        "out_of_scope",
        "exchange_rate",
        "branch_hours",
        "complaint",
        "feedback_positive",
        "feedback_negative",
    }
)
LOAN_VALUES: Final = frozenset({"loan_amount", "loan_term", "loan_rate"})
VALUES_OF_A_LOAN: Final = 2


def intent_to_act_on(intent: str, confidence: float, entities: Iterable[str]) -> str:
    """The intent whose rule runs. Card loss, fraud and hand-off are never hesitated over: a wrong reply is cheap there.

    Two values of a loan at once, an amount and a rate say, are a loan to compute, with or without the word for it.
    """
    if intent in FIXED_REPLIES and confidence < UNSURE_BELOW:
        return "nlu_fallback"
    if intent == "inform" and len(LOAN_VALUES.intersection(entities)) >= VALUES_OF_A_LOAN:
        return "loan_calculator"
    return intent
