"""Telephone numbers that point to a person: mobile 01x, Internet 070, virtual 050x, area-code landlines, each also
as +82.

Numbering: 전기통신번호관리세칙. Nationwide service numbers (15xx, 16xx, 18xx) and short numbers (112, 119, 1332)
belong to companies and authorities and stay. A branch's landline stays only if the bank lists it in
data/phones.yaml.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import (
    LIKELY,
    STRONG,
    Finding,
    KoreanRecogniser,
    digits_of,
    finding,
    names_a_thing,
)
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_GAP = r"[\s.·/_~-]{0,3}"
_NUMBER = re.compile(
    rf"(?<![0-9])(?:(?P<country>\(?(?:\+|00)?\s?82\)?{_GAP}\(?0?\)?)|(?:\((?=0[0-9]{{1,3}}\)))?(?P<trunk>0))"
    rf"(?:(?P<mobile>1[016789])\)?{_GAP}[0-9]{{3,4}}{_GAP}[0-9]{{4}}"
    rf"|(?P<virtual>70|50[2-8])\)?{_GAP}[0-9]{{3,4}}{_GAP}[0-9]{{4}}"
    rf"|(?P<area>2|3[1-3]|4[1-4]|5[1-5]|6[1-4])\)?{_GAP}[0-9]{{3,4}}{_GAP}[0-9]{{4}})(?![0-9])"
)


class PhoneRecogniser(KoreanRecogniser):
    TYPES = ("PHONE",)

    def __init__(self, branch_numbers: frozenset[str]) -> None:
        super().__init__()
        self._branch_numbers = branch_numbers

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_NUMBER):
                if self._is_personal(view, match):
                    yield finding("PHONE", view, match.start(), match.end(), LIKELY if view.guessed else STRONG)

    def _is_personal(self, view: View, match: re.Match[str]) -> bool:
        digits = digits_of(match.group())
        if match["country"]:
            national = "0" + re.sub(r"^0{0,2}820?", "", digits)
            explicit = "+" in match["country"] or digits.startswith("00")
            if not explicit and not match["mobile"]:
                return False
        else:
            national = digits
        if national in self._branch_numbers:
            return False
        bare_landline = match["area"] is not None and match.group().isdigit()
        return not (bare_landline and match["area"] == "2" and names_a_thing(view, match.start()))
