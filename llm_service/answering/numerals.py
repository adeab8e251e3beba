"""Reads numbers as Korean writes them: 1억2천만, 2.5억, 1,200, 삼천만, 열둘. Knows no units and no sentences.

The patterns are bounded, so that searching with them takes time that grows linearly with the text.
"""

import re
from fractions import Fraction
from typing import Final

DIGITS: Final = r"(?:[0-9]{1,3}(?:,[0-9]{3}){1,6}(?![0-9])|[0-9]{1,20})(?:\.[0-9]{1,10})?"
_SCALED_MORE: Final = r"[0-9]{1,4}(?:,[0-9]{3})?(?=\s?[천백십만억조원])"
SCALED: Final = rf"{DIGITS}(?:\s?[십백천만억조](?:(?:(?<=[만억조])\s)?{_SCALED_MORE})?){{0,8}}"
"""Digits, with or without 만, 억 ...; a blank may stand only after 만, 억 and 조 (1억 2천만)."""

SINO: Final = (
    r"(?<![가-힣0-9])(?:[일이삼사오육칠팔구]?[십백천만억조](?:(?<=[억조])\s(?=[일이삼사오육칠팔구십백천]))?){1,8}"
    r"[일이삼사오육칠팔구]?"
)
"""Sino-Korean words of two and more places; single syllables such as 일 and 이 are too often something else."""

SINO_DIGIT: Final = r"(?<![가-힣0-9])[일이삼사오육칠팔구]"

_SCALES: Final = {"십": 10, "백": 100, "천": 1000, "만": 10**4, "억": 10**8, "조": 10**12}
_SINO_DIGITS: Final = {digit: value for value, digit in enumerate("일이삼사오육칠팔구", start=1)}
_PART: Final = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|[십백천만억조일이삼사오육칠팔구]")

NATIVE: Final = {
    **{"한": 1, "두": 2, "세": 3, "석": 3, "서": 3, "네": 4, "넉": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8},
    **{"아홉": 9, "열한": 11, "열두": 12, "열": 10, "스무": 20},
}
"""Native numerals as they stand before a counter."""

NATIVE_DAYS: Final = {
    **{"하루": 1, "이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "엿새": 6, "이레": 7, "여드레": 8, "아흐레": 9},
    **{"열흘": 10, "보름": 15},
}


def value_of(written: str) -> Fraction:
    """The number a numeral of this module stands for. Raises ValueError for a text without one.

    >>> [int(value_of(written)) for written in ("1억2천만", "2.5억", "1,200", "삼천만", "천")]
    [120000000, 250000000, 1200, 30000000, 1000]
    """
    parts = _PART.findall(written)
    if not parts:
        raise ValueError(f"no numeral in a text of {len(written)} characters")
    total, below_ten_thousand, digits = Fraction(0), Fraction(0), None
    for part in parts:
        scale = _SCALES.get(part)
        if scale is None:
            digits = Fraction(_SINO_DIGITS[part]) if part in _SINO_DIGITS else Fraction(part.replace(",", ""))
        elif scale < 10**4:
            below_ten_thousand += (1 if digits is None else digits) * scale
            digits = None
        else:
            section = below_ten_thousand + (digits or 0)
            total += (section or 1) * scale
            below_ten_thousand, digits = Fraction(0), None
    return total + below_ten_thousand + (digits or 0)
