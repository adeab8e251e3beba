"""Passport and driver's licence numbers.

Passport (여권법 시행령): a letter (M, S, R, D, O, G, P, T) and eight digits, since December 2021 a letter, three digits, a letter and four
digits (M123A4567). Licence (도로교통법 시행규칙): region code 11-26 or 28 or the region's name, then 2-6-2 digits.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import (
    LIKELY,
    POSSIBLE,
    STRONG,
    Finding,
    KoreanRecogniser,
    before,
    finding,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?:[MSRDOGPTmsrdogpt][\s-]{0,2}[0-9]{3}[\s-]?[A-Za-z][\s-]?[0-9]{4}|(?:PM|PS|PR|[MSRDOGPTmsrdogpt])[\s-]{0,2}[0-9]{8}"
    r"|[A-Z]{2}[0-9]{7})(?![0-9A-Za-z])"
)
_PASSPORT_LABEL = re.compile(r"여권|passport", re.IGNORECASE)
_REGIONS = "서울|부산|경기남부|경기북부|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산|세종"
_LICENCE = re.compile(
    rf"(?:(?P<region>{_REGIONS})[\s-]{{0,2}}(?:(?:1[1-9]|2[0-8])[\s-]{{0,2}})?(?<![0-9])|(?<![0-9])(?P<code>1[1-9]|2[0-68])(?P<gap>[\s.·/_-]{{0,3}}))"
    r"[0-9]{2}(?P<dash>[\s.·/_-]{0,3})[0-9]{6}[\s.·/_-]{0,3}[0-9]{2}(?![0-9])"
)
_LICENCE_LABEL = re.compile(r"면허")


class PassportRecogniser(KoreanRecogniser):
    TYPES = ("KR_PASSPORT",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_PASSPORT):
                labelled = _PASSPORT_LABEL.search(before(view, match.start()))
                if labelled or (_looks_korean(match.group()) and not names_a_thing(view, match.start())):
                    yield finding("KR_PASSPORT", view, match.start(), match.end(), STRONG if labelled else LIKELY)


class DriverLicenceRecogniser(KoreanRecogniser):
    TYPES = ("KR_DRIVER_LICENSE",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_LICENCE):
                if score := _licence_score(view, match):
                    yield finding("KR_DRIVER_LICENSE", view, match.start(), match.end(), score)


def _looks_korean(value: str) -> bool:
    return value[0].upper() in "MSRDOGPT"


def _licence_score(view: View, match: re.Match[str]) -> float:
    labelled = _LICENCE_LABEL.search(before(view, match.start())) is not None
    if match["region"] or (match["gap"] and match["dash"]) or labelled:
        return STRONG if labelled or not view.guessed else LIKELY
    return 0.0 if view.guessed or names_a_thing(view, match.start()) else POSSIBLE
