"""What a loan costs, against figures computed by hand and against the promises of amortisation."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.actions.loan import Repayment, repay

amounts = st.integers(min_value=100_000, max_value=100_000_000_000)
terms = st.integers(min_value=1, max_value=600)
rates = st.decimals(min_value=0, max_value=20, places=2)


@pytest.mark.parametrize(
    ("amount", "months", "rate", "expected"),
    [
        # One month: the whole amount with one month's interest, 1,200,000 · 1 % = 12,000.
        (1_200_000, 1, "12", Repayment(1_212_000, 1_212_000, 12_000, 1_212_000)),
        # Two months at 1 % a month: 1,000,000 · 0.01 · 1.0201 / 0.0201 = 507,512.4…; 10,000, then 5,024 of interest.
        (1_000_000, 2, "12", Repayment(507_512, 507_512, 15_024, 1_015_024)),
        (1_200_000, 12, "0", Repayment(100_000, 100_000, 0, 1_200_000)),
        (1_000_000, 3, "0", Repayment(333_333, 333_334, 0, 1_000_000)),
        (200_000_000, 360, "4.2", Repayment(978_034, 977_936, 152_092_142, 352_092_142)),
    ],
)
def test_known_loans_cost_what_they_cost(amount: int, months: int, rate: str, expected: Repayment) -> None:
    assert repay(amount, months, Decimal(rate)) == expected


@given(amounts, terms, rates)
def test_the_instalment_is_the_exact_annuity_cut_to_whole_won(amount: int, months: int, rate: Decimal) -> None:
    monthly = Fraction(rate) / 1200
    growth = (1 + monthly) ** months
    exact = Fraction(amount, months) if monthly == 0 else amount * monthly * growth / (growth - 1)
    assert repay(amount, months, rate).payment == exact.numerator // exact.denominator


@given(amounts, terms, rates)
def test_what_is_paid_amortises_the_loan_to_zero(amount: int, months: int, rate: Decimal) -> None:
    repayment = repay(amount, months, rate)
    balance = amount
    for _ in range(months - 1):
        balance -= repayment.payment - int(Fraction(rate) / 1200 * balance)
    last_interest = int(Fraction(rate) / 1200 * balance)
    assert balance + last_interest == repayment.last_payment
    assert repayment.total_paid == repayment.payment * (months - 1) + repayment.last_payment
    assert repayment.total_paid - repayment.total_interest == amount


@given(amounts, terms, rates)
def test_the_last_month_differs_by_rounding_alone(amount: int, months: int, rate: Decimal) -> None:
    repayment = repay(amount, months, rate)
    # Each month cuts less than one won off the instalment and less than one off the interest, grown by compounding.
    allowed = 2 * sum((1 + Fraction(rate) / 1200) ** month for month in range(months))
    assert abs(repayment.last_payment - repayment.payment) <= allowed


@pytest.mark.parametrize(("amount", "months", "rate"), [(0, 12, "4"), (1_000_000, 0, "4"), (1_000_000, 12, "-1")])
def test_a_loan_that_cannot_be_is_refused(amount: int, months: int, rate: str) -> None:
    with pytest.raises(ValueError, match="at least"):
        repay(amount, months, Decimal(rate))
