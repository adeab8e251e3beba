"""Computes what a loan costs when it is repaid in equal instalments (원리금균등상환), exactly and in whole won.

Knows nothing of conversations, products or what a customer may borrow.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal, localcontext
from typing import Final

MONTHS_IN_YEAR: Final = 12
_PRECISION_DIGITS: Final = 50
_ONE_WON: Final = Decimal(1)


@dataclass(frozen=True)
class Repayment:
    """What is paid, in won. Every month `payment`, but the last month `last_payment`."""

    payment: int
    last_payment: int
    total_interest: int
    total_paid: int


def repay(amount: int, months: int, yearly_rate_percent: Decimal) -> Repayment:
    """Equal monthly instalments of `amount` won over `months` at a constant yearly rate in percent.

    The annuity formula: payment = P · r · (1 + r)^n / ((1 + r)^n − 1), r = yearly rate / 12, and P / n at rate zero
    (Brealey, Myers and Allen, Principles of Corporate Finance, ch. 2, "annuity").
    Won has no smaller unit: every instalment and each month's interest is rounded down to whole won, and the last
    month settles what is left, so that principal repaid adds up to `amount` to the won.
    Raises ValueError if an argument is out of its range: amount and months at least one, rate not negative.
    """
    if amount < 1 or months < 1 or yearly_rate_percent < 0:
        raise ValueError("amount and months have to be at least 1, the rate at least 0")
    with localcontext() as context:
        context.prec = _PRECISION_DIGITS
        monthly_rate = yearly_rate_percent / 100 / MONTHS_IN_YEAR
        payment = _whole_won(_instalment(amount, months, monthly_rate))
        balance, interest_paid = amount, 0
        for _ in range(months - 1):
            interest = _whole_won(balance * monthly_rate)
            interest_paid += interest
            balance -= payment - interest
        last_interest = _whole_won(balance * monthly_rate)
    total_interest = interest_paid + last_interest
    return Repayment(payment, balance + last_interest, total_interest, amount + total_interest)


def _instalment(amount: int, months: int, monthly_rate: Decimal) -> Decimal:
    if monthly_rate == 0:
        return Decimal(amount) / months
    growth = (1 + monthly_rate) ** months
    return amount * monthly_rate * growth / (growth - 1)


def _whole_won(value: Decimal) -> int:
    return int(value.quantize(_ONE_WON, rounding=ROUND_DOWN))
