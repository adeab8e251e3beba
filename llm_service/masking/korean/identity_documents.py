"""Passport and driver's licence numbers.

Passport (여권법 시행령): a letter (M, S, R, D, O, G, P, T) and eight digits, since December 2021 a letter, three
digits, a letter and four digits (M123A4567). Licence (도로교통법 시행규칙): region code 11-26 or 28 or the region's
name, then 2-6-2 digits.
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
    is_amount,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_PASSPORT = re.compile(
    r"(?<![A-Za-z0-9])(?:[MSRDOGPTmsrdogpt](?P<gap>[\s·./_-]{0,2})[0-9]{3}[\s-]?[A-Za-z][\s-]?[0-9]{4}"
    r"|(?:PM|PS|PR|PD|[A-Za-z])(?P<old_gap>[\s·./_-]{0,2})[0-9]{8}|[A-Za-z]{2}[0-9]{7})(?![0-9A-Za-z])"
)
# Where digits are read from letters, the first letter may have been read as a digit too (O1234567).
_READ_PASSPORT = re.compile(r"여권\s?(?:번호)?[은는이가:\s]{0,4}(?P<number>[0-9]{9})(?![0-9])")
_PASSPORT_LABEL = re.compile(r"여권|passport", re.IGNORECASE)
_REGIONS = "서울|부산|경기남부|경기북부|경기|강원|충북|충남|전북|전남|경북|경남|제주|대구|인천|광주|대전|울산|세종"
_GAP = r"(?:[\s.·/_*~:,-]{0,3})"
_LICENCE = re.compile(
    rf"(?:(?P<region>{_REGIONS}){_GAP}(?:(?:1[1-9]|2[0-8]){_GAP})?(?<![0-9])|(?<![0-9])(?P<code>1[1-9]|2[0-68])(?P<gap>{_GAP}))"
    rf"[0-9]{{2}}(?P<dash>{_GAP})[0-9]{{6}}{_GAP}[0-9]{{2}}(?![0-9])"
)
_LICENCE_LABEL = re.compile(r"면허[가-힣]{0,2}\s?(?:번호)?[^0-9]{0,8}$")
_LABELLED_LICENCE = re.compile(r"(?<![0-9])(?:[0-9]{2})?[0-9]{10}(?![0-9])")


class PassportRecogniser(KoreanRecogniser):
    TYPES = ("KR_PASSPORT",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_PASSPORT):
                labelled = _PASSPORT_LABEL.search(before(view, match.start()))
                if labelled or (_looks_korean(match) and not names_a_thing(view, match.start())):
                    yield finding("KR_PASSPORT", view, match.start(), match.end(), STRONG if labelled else LIKELY)
            for match in view.matches(_READ_PASSPORT):
                yield finding("KR_PASSPORT", view, match.start("number"), match.end("number"), LIKELY)


class DriverLicenceRecogniser(KoreanRecogniser):
    TYPES = ("KR_DRIVER_LICENSE",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_LICENCE):
                if score := _licence_score(view, match):
                    yield finding("KR_DRIVER_LICENSE", view, match.start(), match.end(), score)
            for match in view.matches(_LABELLED_LICENCE):
                if _LICENCE_LABEL.search(before(view, match.start())):
                    yield finding("KR_DRIVER_LICENSE", view, match.start(), match.end(), LIKELY)


def _looks_korean(match: re.Match[str]) -> bool:
    """Without a label only the letters of Korean passports, directly before the digits."""
    return match.group()[0] in "MSRDOG" and not match.group()[1].isalpha() and not (match["gap"] or match["old_gap"])


def _licence_score(view: View, match: re.Match[str]) -> float:
    labelled = _LICENCE_LABEL.search(before(view, match.start())) is not None
    if match["region"] or (match["gap"] and match["dash"]) or labelled:
        return STRONG if labelled or not view.guessed else LIKELY
    if view.guessed or names_a_thing(view, match.start()) or is_amount(view, match.start(), match.end()):
        return 0.0
    return POSSIBLE
