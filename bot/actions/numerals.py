"""Reads amounts, terms and yearly rates as people write them in Korean, digits and spoken numerals alike.

Pure functions on text. What cannot be read without guessing is None; whether a value is sensible is not decided here.
"""

import re
from decimal import Decimal
from typing import Final

_DIGITS: Final = {"영": 0, "공": 0, "일": 1, "이": 2, "삼": 3, "사": 4, "오": 5, "육": 6, "칠": 7, "팔": 8, "구": 9}
_SMALL_UNITS: Final = {"십": 10, "백": 100, "천": 1000}
_LARGE_UNITS: Final = {"만": 10**4, "억": 10**8, "조": 10**12}
_MANWON: Final = 10**4
_LEAST_BARE_WON: Final = 10**5
_TOKEN: Final = re.compile(r"\d[\d,]*(?:\.\d+)?|\S")
_PARTICLE_AFTER_UNIT: Final = re.compile(r"(?<=[억조])\s*만$")
_SHORTENED: Final = re.compile(r"(?P<head>.*[억조])\s*(?P<tail>[^만억조]+)")

# 이 is two, but also the start of 이요, 이에요, 이고: 1억 2천이요 is not 1억 2천 2.
_NUMERAL: Final = r"(?:[영공일삼사오육칠팔구십백천만억조]|이(?!요|에요|예요|고|라|면|나|지|야|다))"
_AMOUNT: Final = re.compile(
    rf"(?<![\d.\-])(?:\d[\d,]*(?:\.\d+)?|{_NUMERAL})(?:[\s,]*(?:\d[\d,]*(?:\.\d+)?|{_NUMERAL}))*(?P<won>\s*원)?"
)
_ENGLISH_UNITS: Final = {"million": 10**6, "billion": 10**9}
_ENGLISH_AMOUNT: Final = re.compile(r"(?<![\d.,\-])(?P<number>\d{1,4}(?:\.\d+)?)\s*(?P<unit>million|billion)")
_TERM: Final = re.compile(
    r"(?<![\d.\-])(?:(?P<years>\d{1,3}|[일이삼사오육칠팔구십]+)\s*(?:년|years?)(?!\w*월)"
    r"(?:\s*(?P<rest>\d{1,2}|[일이삼사오육칠팔구십]+)\s*(?:개월|달))?"
    r"|(?P<months>\d{1,3}|[일이삼사오육칠팔구십백]+)\s*(?:개월|months?))"
)
_RATE: Final = re.compile(
    r"(?<![\d.\-])(?P<digits>\d{1,3}(?:\.\d+)?)\s*(?:%|퍼센트|프로|percent)"
    r"|(?P<whole>[영공일이삼사오육칠팔구십]+)"
    r"(?:\s*점\s*(?P<tenths>[영공일이삼사오육칠팔구]+(?:\s+[영공일이삼사오육칠팔구])*))?\s*(?:%|퍼센트|프로)"
)
_BARE_NUMBER: Final = re.compile(r"\s*\d{1,2}(?:\.\d{1,4})?\s*")


def read_number(text: str) -> int | None:
    """A whole number in digits, Sino-Korean numerals or both, without its unit: 삼십 → 30, 1억5천만 → 150000000.

    None if it is no number, or its units stand in an order nobody uses (천조억).
    """
    total, section, pending = Decimal(0), Decimal(0), None
    last_large: int | None = None
    for token in _TOKEN.findall(text):
        digit = _read_digit(token)
        if digit is not None:
            if pending is not None:
                return None
            pending = digit
        elif token in _SMALL_UNITS:
            section += (Decimal(1) if pending is None else pending) * _SMALL_UNITS[token]
            pending = None
        elif token in _LARGE_UNITS:
            unit = _LARGE_UNITS[token]
            section += pending or 0
            if last_large is not None and (unit >= last_large or not section):
                return None
            total += (section or 1) * unit
            section, pending, last_large = Decimal(0), None, unit
        else:
            return None
    total += section + (pending or 0)
    return int(total) if total == int(total) else None


def _read_digit(token: str) -> Decimal | None:
    if token[0].isdecimal():
        return Decimal(token.replace(",", ""))
    return Decimal(_DIGITS[token]) if token in _DIGITS else None


def read_amount(text: str) -> int | None:
    """The amount in won, or None: 3천만원, 1억 5천, 삼천만원, 30,000,000원, 30 million, 3천 (of a loan: 3천만원)."""
    english = _ENGLISH_AMOUNT.search(text.lower())
    if english:
        return int(Decimal(english["number"]) * _ENGLISH_UNITS[english["unit"]])
    # 1억 30년 is not 1억 30.
    match = _AMOUNT.search(_RATE.sub(" ; ", _TERM.sub(" ; ", text)))
    if match is None:
        return None
    # 1억만 is "just 1억".
    span = _PARTICLE_AFTER_UNIT.sub("", match.group().removesuffix("원").strip())
    if match["won"]:
        return read_number(span)
    shortened = _SHORTENED.fullmatch(span)
    if shortened:
        head, tail = read_number(shortened["head"]), _spoken_of_a_loan(shortened["tail"])
        return None if head is None or tail is None else head + tail
    return _spoken_of_a_loan(span)


def _spoken_of_a_loan(span: str) -> int | None:
    """A number without 원: 1억 5천 and 삼천오백 leave out the ten thousand, 300 leaves out too much to be read."""
    number = read_number(span)
    if number is None or re.search(r"[만억조]", span):
        return number
    if re.search(r"[천백]", span):
        return number * _MANWON
    return number if number >= _LEAST_BARE_WON else None


def read_term_months(text: str) -> int | None:
    """The term in months, or None: 5년, 2년 6개월, 오년, 60개월, 10 years. A number without its unit is not guessed."""
    match = _TERM.search(text.lower())
    if match is None:
        return None
    if match["months"]:
        return read_number(match["months"])
    years, rest = read_number(match["years"]), read_number(match["rest"] or "0")
    return None if years is None or rest is None else years * 12 + rest


def read_rate_percent(text: str) -> Decimal | None:
    """The yearly rate in percent, or None: 4.5%, 연 4.5퍼센트, 사 점 오 퍼센트, or nothing but a bare 4.5."""
    lowered = text.lower().replace("％", "%")
    if _BARE_NUMBER.fullmatch(lowered):
        return Decimal(lowered.strip())
    match = _RATE.search(lowered)
    if match is None:
        return None
    if match["digits"]:
        return Decimal(match["digits"])
    whole = read_number(match["whole"])
    tenths = "".join(str(_DIGITS[digit]) for digit in (match["tenths"] or "영").replace(" ", ""))
    return None if whole is None else Decimal(f"{whole}.{tenths}")
