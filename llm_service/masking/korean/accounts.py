"""Bank account numbers: eleven to fourteen digits in the groups of their bank (data/accounts.yaml), bare or spaced beside a context word.

There is no common check digit and customers may choose ten to fourteen digits (평생계좌), so a bare number without context counts too,
unless a unit, a currency, a thing's label or the shape of a time stamp says otherwise.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import (
    LIKELY,
    POSSIBLE,
    STRONG,
    Finding,
    KoreanRecogniser,
    after,
    before,
    finding,
    is_amount,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.rules import AccountRules
from llm_service.masking.views import View

MIN_DIGITS, MAX_DIGITS = 10, 16
MAX_BARE_DIGITS = 14
CONTEXT_BEFORE_CHARACTERS, CONTEXT_AFTER_CHARACTERS = 30, 16

_GROUPED = re.compile(r"(?<![0-9A-Za-z-])[0-9]{1,8}(?:\s?[-.·/_~*:]\s?[0-9]{1,8}){1,4}(?![0-9A-Za-z]|[,.][0-9])")
_SPACED = re.compile(r"(?<![0-9A-Za-z.,-])[0-9]{1,8}(?:[\s-]{1,3}[0-9]{1,8}){1,5}(?![0-9A-Za-z]|[,.][0-9])")
_BARE = re.compile(r"(?<![0-9A-Za-z.,])[0-9]{10,14}(?![0-9A-Za-z]|[,.][0-9])")
_TIME_STAMP = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:(?:[01][0-9]|2[0-4])(?:[0-5][0-9]){0,2})?"
)
_DATE_INSIDE = re.compile(r"(?:19|20)[0-9]{2}\s?[-./]\s?[01]?[0-9]\s?[-./]\s?[0-3]?[0-9](?![0-9])")


class AccountRecogniser(KoreanRecogniser):
    TYPES = ("KR_BANK_ACCOUNT",)

    def __init__(self, rules: AccountRules) -> None:
        super().__init__()
        self._shapes = rules.shapes
        words = sorted(rules.context_words, key=len, reverse=True)
        self._context = re.compile("|".join(map(re.escape, words)))

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            if not view.guessed:
                yield from self._grouped(view)
            for match in view.matches(_BARE):
                if score := self._bare_score(view, match):
                    yield finding("KR_BANK_ACCOUNT", view, match.start(), match.end(), score)

    def _grouped(self, view: View) -> Iterator[Finding]:
        for pattern, dashed in ((_GROUPED, True), (_SPACED, False)):
            for match in pattern.finditer(view.text):
                if score := self._grouped_score(view, match, dashed):
                    yield finding("KR_BANK_ACCOUNT", view, match.start(), match.end(), score)

    def _grouped_score(self, view: View, match: re.Match[str], dashed: bool) -> float:
        groups = re.findall(r"[0-9]+", match.group())
        total = sum(map(len, groups))
        if (
            not MIN_DIGITS <= total <= MAX_DIGITS
            or _DATE_INSIDE.search(match.group())
            or names_a_thing(view, match.start())
        ):
            return 0.0
        known = tuple(map(len, groups)) in self._shapes and total > MIN_DIGITS - 1
        in_context = self._in_context(view, match)
        uniform_dashes = dashed and match.group().count("-") == len(groups) - 1
        if known and uniform_dashes:
            return STRONG if in_context else LIKELY
        return LIKELY if in_context and not is_amount(view, match.start(), match.end()) else 0.0

    def _bare_score(self, view: View, match: re.Match[str]) -> float:
        if is_amount(view, match.start(), match.end()):
            return 0.0
        if names_a_thing(view, match.start()):
            return 0.0
        if self._in_context(view, match):
            return LIKELY
        return 0.0 if view.guessed or _TIME_STAMP.fullmatch(match.group()) else POSSIBLE

    def _in_context(self, view: View, match: re.Match[str]) -> bool:
        near = (
            before(view, match.start(), CONTEXT_BEFORE_CHARACTERS)
            + "\n"
            + after(view, match.end(), CONTEXT_AFTER_CHARACTERS)
        )
        return self._context.search(near) is not None
