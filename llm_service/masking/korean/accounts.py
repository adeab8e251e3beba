"""Bank account numbers: eleven to fourteen digits in the groups of their bank (data/accounts.yaml), bare or spaced
beside a context word.

There is no common check digit and customers may choose ten to fourteen digits (평생계좌), so a bare number without
context counts too, unless a unit, a currency, a thing's label or the shape of a time stamp says otherwise.
"""

import re
from collections.abc import Iterator
from itertools import pairwise

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

_GROUPED = re.compile(r"(?<![0-9A-Za-z-])[0-9]{1,9}(?:\s?[-.·/_~*:]\s?[0-9]{1,9}){1,4}(?![0-9A-Za-z]|[,.][0-9])")
_SPACED = re.compile(r"(?<![0-9A-Za-z.,-])[0-9]{1,9}(?:[\s-]{1,3}[0-9]{1,9}){1,5}(?![0-9A-Za-z]|[,.][0-9])")
_BARE = re.compile(r"(?<![0-9A-Za-z.,])[0-9]{10,16}(?![0-9A-Za-z]|[,.][0-9])")
_TIME_STAMP = re.compile(
    r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?:(?:[01][0-9]|2[0-4])(?:[0-5][0-9]){0,2})?"
)
_DATE_INSIDE = re.compile(r"(?:19|20)[0-9]{2}\s?[-./]\s?[01]?[0-9]\s?[-./]\s?[0-3]?[0-9](?![0-9])")
# A nationwide service number (15xx, 16xx, 18xx) with something else behind it: "1588-0000 (24시간)".
_SERVICE_NUMBER = re.compile(r"1[568][0-9]{2}\s?-\s?[0-9]{4}(?![0-9]|\s?-)")


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
                if found := self._grouped_number(view, match, dashed=dashed):
                    end, score = found
                    yield finding("KR_BANK_ACCOUNT", view, match.start(), end, score)

    def _grouped_number(self, view: View, match: re.Match[str], *, dashed: bool) -> tuple[int, float] | None:
        """(end, score) of the account in a run of digit groups: a known shape it begins with, else in context all of
        it.
        """
        if _DATE_INSIDE.search(match.group()) or names_a_thing(view, match.start()):
            return None
        groups = list(re.finditer(r"[0-9]+", match.group()))
        lengths = tuple(len(group.group()) for group in groups)
        for count in range(len(groups), 1, -1):
            end = match.start() + groups[count - 1].end()
            if (
                lengths[:count] in self._shapes
                and sum(lengths[:count]) >= MIN_DIGITS
                and not is_amount(view, match.start(), end)
            ):
                uniform = (
                    len(
                        {
                            view.text[a.end() + match.start() : b.start() + match.start()]
                            for a, b in pairwise(groups[:count])
                        }
                    )
                    == 1
                )
                if uniform or self._in_context(view, match):
                    return end, STRONG if dashed and self._in_context(view, match) else LIKELY
        whole = MIN_DIGITS <= sum(lengths) <= MAX_DIGITS and not is_amount(view, match.start(), match.end())
        return (match.end(), LIKELY) if whole and self._in_context(view, match) else None

    def _bare_score(self, view: View, match: re.Match[str]) -> float:
        if is_amount(view, match.start(), match.end()):
            return 0.0
        if names_a_thing(view, match.start()) or _begins_with_service_number(view, match.start()):
            return 0.0
        if self._in_context(view, match):
            return LIKELY
        if len(match.group()) > MAX_BARE_DIGITS:
            return 0.0
        return 0.0 if view.guessed or _TIME_STAMP.fullmatch(match.group()) else POSSIBLE

    def _in_context(self, view: View, match: re.Match[str]) -> bool:
        near = (
            before(view, match.start(), CONTEXT_BEFORE_CHARACTERS)
            + "\n"
            + after(view, match.end(), CONTEXT_AFTER_CHARACTERS)
        )
        return self._context.search(near) is not None


def _begins_with_service_number(view: View, start: int) -> bool:
    return view.guessed and _SERVICE_NUMBER.match(view.base, view.base_starts[start]) is not None
