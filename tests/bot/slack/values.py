"""Invented values of people, valid by their own check digits, in the spellings people use."""

import random

RRN_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)


def personal_values(each: int) -> list[str]:
    """Resident numbers, cards and accounts, `each` of every kind; the same every time."""
    chosen = random.Random(20261121)
    found = []
    for number in range(each):
        separator = ("-", " - ", "", " ")[number % 4]
        found.append(_resident_number(chosen, separator or "-"))
        found.append(f"카드 {_card(chosen, separator or ' ')}")
        account = f"{chosen.randrange(100, 999)}-{chosen.randrange(100, 999)}-{chosen.randrange(10**5, 10**6)}"
        found.append(f"계좌번호 {account}")
    return found


def _resident_number(chosen: random.Random, separator: str) -> str:
    first = f"{chosen.randrange(50, 99):02d}{chosen.randrange(1, 13):02d}{chosen.randrange(1, 29):02d}"
    digits = f"{first}{chosen.choice('12')}{chosen.randrange(10**5):05d}"
    check = (11 - sum(int(digit) * weight for digit, weight in zip(digits, RRN_WEIGHTS, strict=True)) % 11) % 10
    return f"{first}{separator}{digits[6:]}{check}"


def _card(chosen: random.Random, separator: str) -> str:
    digits = f"4{chosen.randrange(10**14):014d}"
    doubled = [int(digit) * (2 if index % 2 == 0 else 1) for index, digit in enumerate(digits)]
    check = -sum(value - 9 if value > 9 else value for value in doubled) % 10
    return separator.join((digits + str(check))[start : start + 4] for start in range(0, 16, 4))
