"""Business registration numbers (사업자등록번호): 3-2-5 digits with a check digit (국세청 고시); a sole proprietor's
points to a person.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import (
    LIKELY,
    STRONG,
    Finding,
    KoreanRecogniser,
    before,
    digits_of,
    finding,
    is_amount,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_NUMBER = re.compile(
    r"(?<![0-9A-Za-z-])(?P<number>[1-9][0-9]{2}(?P<gap>[\s.·/_-]{0,3})[0-9]{2}[\s.·/_-]{0,3}[0-9]{5})(?![0-9]|-[0-9])"
)
_LABEL = re.compile(r"사업자|BRN|business", re.IGNORECASE)
_WEIGHTS = (1, 3, 7, 1, 3, 7, 1, 3, 5)


class BusinessNumberRecogniser(KoreanRecogniser):
    TYPES = ("KR_BRN",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_NUMBER):
                if score := _score(view, match):
                    yield finding("KR_BRN", view, match.start(), match.end(), score)


def _score(view: View, match: re.Match[str]) -> float:
    if _LABEL.search(before(view, match.start())):
        return STRONG
    if match["gap"] and not view.guessed:
        return LIKELY
    holds = _check_digit_holds(digits_of(match["number"]))
    a_thing = names_a_thing(view, match.start()) or is_amount(view, match.start(), match.end())
    return LIKELY if holds and not a_thing else 0.0


def _check_digit_holds(digits: str) -> bool:
    total = sum(weight * int(digit) for weight, digit in zip(_WEIGHTS, digits, strict=False)) + int(digits[8]) * 5 // 10
    return (10 - total % 10) % 10 == int(digits[9])
