"""Payment card numbers: 15 or 16 digits with a Luhn check digit (ISO/IEC 7812-1), including domestic BINs that begin
with 9.

A number printed in the card's groups (4-4-4-4, 4-6-5) is masked even when the check digit fails: people mistype.
The tail of a number already masked with stars is masked too.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import (
    CERTAIN,
    LIKELY,
    STRONG,
    Finding,
    KoreanRecogniser,
    after,
    before,
    digits_of,
    finding,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_NUMBER = re.compile(
    r"(?<![0-9])(?:[2-69][0-9]{3}(?P<gap>[\s.·/_~-]{0,3})[0-9*xX]{4}[\s.·/_~-]{0,3}[0-9*xX]{4}[\s.·/_~-]{0,3}[0-9]{4}"
    r"|3[47][0-9]{2}(?P<amex>[\s.·/_~-]{0,3})[0-9*xX]{6}[\s.·/_~-]{0,3}[0-9]{5}|9[0-9]{14})(?![0-9])"
)
_CONTEXT = re.compile(r"카드|card|결제|체크|신용|비자|마스터|아멕스|VISA|Visa", re.IGNORECASE)


class CardRecogniser(KoreanRecogniser):
    TYPES = ("CREDIT_CARD",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_NUMBER):
                if score := _score(view, match):
                    yield finding("CREDIT_CARD", view, match.start(), match.end(), score)


def _score(view: View, match: re.Match[str]) -> float:
    digits = digits_of(match.group())
    grouped = bool(match["gap"] or match["amex"])
    if luhn_holds(digits) and not (view.guessed and names_a_thing(view, match.start())):
        return CERTAIN
    if grouped and not view.guessed:
        return STRONG
    return (
        LIKELY
        if _CONTEXT.search(before(view, match.start()) + after(view, match.end(), 10))
        and not names_a_thing(view, match.start())
        else 0.0
    )


def luhn_holds(digits: str) -> bool:
    doubled = (int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0
