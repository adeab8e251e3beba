"""Vehicle plates: two or three digits, one syllable of the list, four digits, on old plates behind a region (자동차
등록번호판 고시).
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import LIKELY, STRONG, Finding, KoreanRecogniser, finding
from llm_service.masking.language import Reading

_SYLLABLES = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주아바사자배하허호국합육해공"
_REGIONS = "서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주"
_PLATE = re.compile(
    rf"(?:(?:{_REGIONS})\s?)?(?<![0-9])[0-9]{{2,3}}\s?[-.·_]?\s?[{_SYLLABLES}]\s?[-.·_]?\s?[0-9]{{4}}(?![0-9]|\s?(?:원|만|년|번지))"
    rf"|(?:{_REGIONS})\s?[0-9]{{1,2}}\s?[{_SYLLABLES}]\s?[0-9]{{4}}(?![0-9])"
)


# Where digits are read from letters, the syllable may have been read as a digit too.
_READ_PLATE = re.compile(
    rf"(?:차량|차번호|번호판)\s?(?:번호)?[은는이가:\s]{{0,4}}(?P<behind>(?:{_REGIONS})?\s?[0-9]{{2,3}}\s?[0-9]\s?[0-9]{{4}})(?![0-9])"
    rf"|(?<![0-9])(?P<before>[0-9]{{2,3}}\s?[0-9]\s?[0-9]{{4}})(?=\s?(?:차주|차량))"
)


class VehiclePlateRecogniser(KoreanRecogniser):
    TYPES = ("VEHICLE_PLATE",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_PLATE):
                yield finding("VEHICLE_PLATE", view, match.start(), match.end(), STRONG)
            for match in view.matches(_READ_PLATE) if view.guessed else ():
                start, end = match.span(match.lastgroup or 0)
                yield finding("VEHICLE_PLATE", view, start, end, LIKELY)
