"""Birth dates: a date counts only with a cue (생년월일, 생일, …생) or directly beside a person's name; every other
date stays.
"""

import re
from collections.abc import Iterator
from typing import Any

from llm_service.masking.korean.recogniser import POSSIBLE, STRONG, Finding, KoreanRecogniser, after, before, finding
from llm_service.masking.language import Reading
from llm_service.masking.presidio import NlpArtifacts, RecognizerResult
from llm_service.masking.views import View

# Below the masker's threshold: such a date is dropped unless a name beside it lifts it.
ONLY_BESIDE_A_NAME = 0.2
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0[1-9]|[12][0-9]|3[01]|[1-9])"
_FULL = re.compile(
    rf"(?<![0-9.-])(?:(?:19|20)[0-9]{{2}}|'?[0-9]{{2}})\s?(?:[-./·년]|년생)\s?{_MONTH}\s?[-./·월]\s?{_DAY}(?:\s?일)?(?![0-9]|[.-][0-9])"
    rf"|(?<![0-9A-Za-z.,-])(?:19|20)?[0-9]{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9A-Za-z]|[-.,][0-9])"
    rf"|(?<![0-9])(?:19|20)?[0-9]{{2}}\s{_MONTH}\s{_DAY}(?![0-9])"
)
_MONTH_AND_DAY = re.compile(rf"(?<![0-9])(?:음력\s?|양력\s?)?{_MONTH}\s?월\s?{_DAY}\s?일(?![0-9])")
_CUE_BEFORE = re.compile(
    r"(?:생년\s?월일|(?:주민|앞)\s?(?:등록)?\s?(?:번호)?\s?앞?\s?(?:여섯|6)?\s?자리|생년|생일|출생\s?일?자?|태어난\s?(?:날|해|건)|생신|DOB|D\.O\.B|[Bb]irth(?:day|\s?date|\s?of)?|dob)[^0-9\n]{0,14}\n?[^0-9\n]{0,3}$"
)
_NUMBER_LABEL = re.compile(r"(?:주민\s?(?:등록)?\s?번호)[은는이가:\s(]{0,4}$")
_CUE_AFTER = re.compile(
    r"\.?\s?일?\s?(?:생(?!각|활|명|산|긴|겼|기|략|성|존|애)|출생|태생|에\s?태어|에\s?출생|\(?생일|년생"
    r"|\s?(?:이|가)?\s?(?:제\s?)?(?:생일|생년월일))"
)
_BETWEEN_NAME_AND_DATE = re.compile(r"\s?(?:님|씨|고객님?)?\s?[(,/·:\[|]?\s?")


class BirthdateRecogniser(KoreanRecogniser):
    TYPES = ("BIRTHDATE",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        for view in reading.views:
            for match in view.matches(_FULL):
                if _has_cue(view, match):
                    yield finding("BIRTHDATE", view, match.start(), match.end(), STRONG)
                elif not view.guessed:
                    yield finding("BIRTHDATE", view, match.start(), match.end(), ONLY_BESIDE_A_NAME)
            for match in view.matches(_MONTH_AND_DAY):
                if _has_cue(view, match):
                    yield finding("BIRTHDATE", view, match.start(), match.end(), STRONG)

    def enhance_using_context(
        self,
        text: str,
        raw_recognizer_results: list[RecognizerResult],
        other_raw_recognizer_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        """Lifts a date that stands directly behind a person's name."""
        name_ends = [result.end for result in other_raw_recognizer_results if _is_name(result)]
        for result in raw_recognizer_results:
            if result.score == ONLY_BESIDE_A_NAME and _could_be_birth(text[result.start : result.end]):
                near = (end for end in name_ends if 0 <= result.start - end <= 8)
                if any(_BETWEEN_NAME_AND_DATE.fullmatch(text[end : result.start]) for end in near):
                    result.score = POSSIBLE
        return raw_recognizer_results


def _has_cue(view: View, match: re.Match[str]) -> bool:
    head = before(view, match.start())
    if match.group().isdigit() and _NUMBER_LABEL.search(head):
        return True
    return bool(_CUE_BEFORE.search(head) or _CUE_AFTER.match(after(view, match.end(), 12)))


def _is_name(result: Any) -> bool:
    return bool(result.entity_type == "PERSON" and result.score >= POSSIBLE)


def _could_be_birth(value: str) -> bool:
    """A year of the last decade beside a name is a visit or a contract."""
    year = re.match(r"20(\d\d)", value)
    return year is None or int(year[1]) < 16
