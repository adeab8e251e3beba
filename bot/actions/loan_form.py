"""The actions behind the loan form: check what was said, show the result, forget the values."""

from decimal import Decimal
from typing import Any, Final

from bot.actions.loan import repay
from bot.actions.numerals import read_amount, read_rate_percent, read_term_months
from bot.actions.protocol import ActionReply, Tracker

MIN_AMOUNT_WON: Final = 100_000
MAX_AMOUNT_WON: Final = 100_000_000_000
MAX_TERM_MONTHS: Final = 600
# 대부업법 시행령 제5조, 이자제한법 제2조제1항의 최고이자율에 관한 규정: 20 % a year since 2021-07-07.
MAX_RATE_PERCENT: Final = Decimal(20)
SLOTS: Final = ("loan_amount", "loan_term", "loan_rate")


def validate_loan_form(tracker: Tracker) -> ActionReply:
    """Replace what was said by its checked value: won and months as int, the rate as text ("4.5%").

    What cannot be read or is out of range is emptied, with a word why, and the form asks again. A value that was
    checked before gets no event: an event would tell Rasa that the turn was for the form, and a question asked in the
    middle of the form would go unanswered.
    """
    reply = ActionReply()
    for name in SLOTS:
        given = tracker.slots.get(name)
        if given is None:
            continue
        checked = _CHECKS[name](given)
        if checked != given:
            reply.set_slot(name, checked)
        if checked is None:
            reply.say(f"utter_{name}_invalid")
    return reply


def show_result(tracker: Tracker) -> ActionReply:
    """The repayment of the completed form; the slots are emptied for the next question."""
    values = [_CHECKS[name](tracker.slots.get(name)) for name in SLOTS]
    match values:
        case [int(amount), int(months), str(rate)]:
            percent = Decimal(rate.removesuffix("%"))
            repayment = repay(amount, months, percent)
            reply = forget_values(tracker).say(
                "utter_loan_result",
                amount=f"{amount:,}",
                months=str(months),
                rate=f"{percent:f}",
                payment=f"{repayment.payment:,}",
                last_payment=f"{repayment.last_payment:,}",
                interest=f"{repayment.total_interest:,}",
                total=f"{repayment.total_paid:,}",
            )
        case _:
            # The conversation expired in Redis in the middle of the form.
            reply = forget_values(tracker).say("utter_loan_stopped")
    return reply


def forget_values(tracker: Tracker) -> ActionReply:
    """Empty the form's slots; otherwise the next loan question would start from the old amount."""
    reply = ActionReply()
    for name in SLOTS:
        reply.set_slot(name, None)
    return reply


def _check_amount(given: Any) -> int | None:
    amount = given if isinstance(given, int) else read_amount(str(given))
    return amount if amount is not None and MIN_AMOUNT_WON <= amount <= MAX_AMOUNT_WON else None


def _check_term(given: Any) -> int | None:
    months = given if isinstance(given, int) else read_term_months(str(given))
    return months if months is not None and 1 <= months <= MAX_TERM_MONTHS else None


def _check_rate(given: Any) -> str | None:
    rate = read_rate_percent(str(given))
    return f"{rate.normalize():f}%" if rate is not None and 0 <= rate <= MAX_RATE_PERCENT else None


_CHECKS: Final = {"loan_amount": _check_amount, "loan_term": _check_term, "loan_rate": _check_rate}
