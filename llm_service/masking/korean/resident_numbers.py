"""Resident and foreigner registration numbers (주민등록번호, 외국인등록번호).

Six digits of birth date and seven more: YYMMDD-GNNNNNN, where G tells century and sex (주민등록법 시행규칙 제2조):
1-4, 9 and 0 for citizens, 5-8 for foreigners (출입국관리법 시행규칙). Since October 2020 the last six digits are
random and there is no check digit, so a check digit only raises the score; the date part must be possible. A tail
masked with stars is still personal data.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import (
    CERTAIN,
    LIKELY,
    STRONG,
    Finding,
    KoreanRecogniser,
    digits_of,
    finding,
    is_amount,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_WEIGHTS = (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)
_NUMBER = re.compile(
    r"(?<![0-9])(?P<date>[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))(?P<gap>\s{0,2}[-~/.·_:]?\s{0,2})"
    r"(?P<tail>[0-9]{7}|[0-9]{1,6}[*xX#●○•]{1,6}|[*xX#●○•]{7})(?![0-9])"
)


# Only behind the number's own label may words stand between its halves (앞자리 901231 뒷자리 1234567).
_HALVES = re.compile(
    r"(?:주민|외국인|등록|실명|앞\s?자리)[^0-9]{0,16}"
    r"(?P<number>(?<![0-9])[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[^0-9]{1,14}(?P<tail>[0-9]{7}))(?![0-9])"
)


# Half a number behind its label: the seven last digits, or the birth date with the digit for century and sex.
_HALF = re.compile(
    r"뒷?뒤?\s?자리[은는이가:\s]{0,4}(?P<tail>[0-9]{7})(?![0-9])"
    r"|주민\s?(?:등록)?\s?번호[은는이가:\s]{0,4}(?P<head>[0-9]{6}\s?-\s?[0-9])(?![0-9])"
)


class ResidentNumberRecogniser(KoreanRecogniser):
    TYPES = ("KR_RRN", "KR_FRN")

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_NUMBER):
                if score := _score(view, match):
                    yield finding(_type(match["tail"]), view, match.start(), match.end(), score)
            for match in view.matches(_HALVES):
                yield finding(_type(match["tail"]), view, match.start("number"), match.end("number"), STRONG)
            for match in view.matches(_HALF):
                half = "tail" if match["tail"] else "head"
                yield finding("KR_RRN", view, match.start(half), match.end(half), STRONG)


def _type(tail: str) -> str:
    return "KR_FRN" if tail[0] in "5678" else "KR_RRN"


def _score(view: View, match: re.Match[str]) -> float:
    digits = digits_of(match.group())
    bare = not match["gap"]
    if not match["tail"].isdigit():
        return STRONG if match["gap"].strip() or len(digits) > 6 else 0.0
    if (
        bare
        and not view.guessed
        and (names_a_thing(view, match.start()) or is_amount(view, match.start(), match.end()))
    ):
        return 0.0
    if _check_digit_holds(digits):
        return CERTAIN
    return LIKELY if view.guessed else STRONG


def _check_digit_holds(digits: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=False))
    offset = 13 if digits[6] in "5678" else 11
    return (offset - total % 11) % 10 == int(digits[12])
