"""What every recogniser of this folder is: a rule from one reading of a text to findings, dressed as a Presidio
recogniser.
"""

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from llm_service.masking.language import LANGUAGE, Reading, reading_of
from llm_service.masking.presidio import EntityRecognizer, NlpArtifacts, RecognizerResult
from llm_service.masking.views import View

CERTAIN = 1.0
STRONG = 0.9
LIKELY = 0.7
POSSIBLE = 0.5
LABEL_REACH_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class Finding:
    """A value of one type at original offsets `start`..`end` (end after its last character)."""

    type: str
    start: int
    end: int
    score: float


class KoreanRecogniser(EntityRecognizer):
    """Subclasses name their TYPES and implement `find`; regular expressions are linear and compiled at import."""

    TYPES: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        super().__init__(supported_entities=list(self.TYPES), supported_language=LANGUAGE, country_code="kr")

    def load(self) -> None:
        """Nothing to load: rules are compiled when the module is imported."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts) -> list[RecognizerResult]:
        return [RecognizerResult(f.type, f.start, f.end, f.score) for f in self.find(reading_of(nlp_artifacts))]

    @abstractmethod
    def find(self, reading: Reading) -> Iterator[Finding]:
        """Every value of this recogniser's types in the text; overlaps are united later."""


def finding(type_: str, view: View, start: int, end: int, score: float) -> Finding:
    """A finding at view offsets, carried back to the original."""
    original_start, original_end = view.original_span(start, end)
    return Finding(type_, original_start, original_end, score)


def digits_of(value: str) -> str:
    return "".join(filter(str.isdigit, value))


def before(view: View, start: int, reach: int = LABEL_REACH_CHARACTERS) -> str:
    return view.text[max(0, start - reach) : start]


def after(view: View, end: int, reach: int = LABEL_REACH_CHARACTERS) -> str:
    return view.text[end : end + reach]


# A number that directly follows one of these words names a thing, not a person (approval, order, receipt, article
# numbers …).
_THING_LABEL = re.compile(
    r"(?:여신|승인|주문|거래|접수|문서|상품|오류|에러|일련|관리|참조|전표|송장|운송장|모델|시리얼|버전|공시|사건|지수|종목|표준|예약|배송"
    r"|단말기|차대|발급|티켓|민원|신청|조회|증서|고지|납부|인증|우편|심사|허가|등기|의안|고유|펀드|기기|단말|가맹점|발행|유가증권|채권|처리|공고|코드|로그|품의|결재|요청|전문|추적"
    r")\s?(?:번호|코드|ID|No\.?|아이디)?\s*(?:는|은|이|가|:|：|=|#|\()?\s*[\"'(\[A-Za-z#-]{0,6}$"
    r"|(?:[A-Za-z]{2,}[-_#:]|\b(?:ISIN|REF|ref|order|Order|ORDER|code|Code|CODE|error|Error|ERROR|ID|id|No|no|v|ver|txn|TXN|trace|sku|SKU)\b[\s.:=#-]{0,3})$"
)


def names_a_thing(view: View, start: int) -> bool:
    """Whether the number at `start` stands behind a word such as 승인번호 or a code prefix such as `REF-`."""
    return _THING_LABEL.search(before(view, start)) is not None


# A unit is one only at the end of its word: 조회 is no 조, 주소 no 주.
_UNIT_AFTER = re.compile(
    r"\s?(?:(?:만\s?|억\s?|천만\s?|백만\s?|천\s?)?(?:원|주|달러|불|엔|유로|위안|좌|건|개|명|회|년|번째|포인트|점|퍼센트|바이트|초)|만|억|조|천|백)"
    r"(?![가-힣]|$)|\s?(?:원|만\s?원|억\s?원|주|건|개|명|회|점|달러|포인트|좌)(?:은|는|이|가|을|를|의|에|으로|로|도|만|씩|쯤|정도|까지|부터|입|인데|이고|짜리|$)"
    r"|\s?(?:[%㎡]|(?:pt|p|P|byte|ms|KRW|USD|won)(?![A-Za-z]))"
)
_CURRENCY_BEFORE = re.compile(
    r"(?:₩|\\|\$|€|¥|KRW|USD|EUR|JPY|금액|잔액|한도|총액|합계|매출|자산)\s?[:은는이가]{0,2}\s?$"
)


def is_amount(view: View, start: int, end: int) -> bool:
    """Whether a unit follows the number or a currency or a word such as 잔액 precedes it."""
    return bool(_UNIT_AFTER.match(view.text, end) or _CURRENCY_BEFORE.search(before(view, start, 10)))
