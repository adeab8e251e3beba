"""Addresses from the road or lot name on (도로명주소법; 지번): 시/도 and 시/군/구 may stay, a place alone is no
personal data.

A road or lot name with a number counts behind a region, near an address word, or with a flat, floor or building
behind it.
"""

import re
from collections.abc import Iterator

from llm_service.masking.korean.recogniser import LIKELY, STRONG, Finding, KoreanRecogniser, after, before, finding
from llm_service.masking.language import Reading
from llm_service.masking.views import View

_PROVINCES = (
    "서울|부산|대구|인천|광주|대전|울산|세종|경기|강원|충북|충남|전북|전남|경북|경남|제주"
    "|충청북|충청남|전라북|전라남|경상북|경상남"
)
_REGION = re.compile(
    rf"(?:(?:{_PROVINCES})(?:특별자치시|특별자치도|특별시|광역시|도|시)?|[가-힣]{{1,5}}(?:시|군|구))\s{{0,2}},?\s?"
    r"(?:[가-힣]{1,5}(?:시|군|구|읍|면|동|리)\s{0,2}){0,3}$"
)
_NUMBER = r"(?P<number>(?:지하\s?|산\s?)?[0-9]{1,5}(?:\s?-\s?[0-9]{1,5})?(?:\s?번지)?)"
# What makes the number behind 로, 길 or 동 an amount, a date, a time or a count (카드로 3만원, 앱으로 2번).
_NO_UNIT = (
    r"(?![0-9]|,[0-9]{3}|\.[0-9]|\s?(?:원|만|천|백|억|%|퍼센트|프로|달러|포인트|점|년|개월|일|월|시(?!\s?[가-힣]+구)|시간|분|초|주"
    r"|조|항|호의|명|건|회|배|개|번(?!지|길)|등급|차|가지|위|세|단계|인))"
)
_ROAD = re.compile(
    r"(?P<name>(?:(?<![0-9])[0-9]{1,2})?[가-힣A-Za-z]{1,10}?[0-9]{0,3}(?:대로|로|길)(?:\s?[0-9]{1,4}(?:번안|번|가|나|다|라)?길)?)\s{0,2}"
    rf"{_NUMBER}{_NO_UNIT}"
)
_LOT = re.compile(
    r"(?P<name>[가-힣]{1,6}[0-9]{0,2}(?:동|읍|면|리|가)(?:\s[가-힣]{1,5}[0-9]?리)?)\s{0,2}"
    rf"{_NUMBER}{_NO_UNIT}"
)
_BUILDING = (
    r"[가-힣A-Za-z0-9]{1,14}?(?:아파트|APT|apt|빌딩|타워|오피스텔|빌라|맨션|맨숀|주택|하이츠|자이|래미안|푸르지오|힐스테이트"
    r"|편한세상|아이파크|롯데캐슬|상가|프라자|플라자|센터|빌|타운|마을|단지|팰리스|캐슬|파크|더샵|스퀘어|하우스|연립|리버|시티|뷰"
    r"|원룸|고시원|기숙사|회관|별관|본관|신관|몰)|[가-힣A-Za-z0-9]{2,12}\s(?:별관|본관|신관|아파트|빌딩|타워|오피스텔|빌라)"
)
_UNIT = (
    r"(?:제?[0-9A-Za-z가나다라마]{1,4}\s?동(?![가-힣])|[0-9]{1,4}\s?동|지하\s?[0-9]{0,2}\s?층?|[0-9]{1,3}\s?층"
    r"|[BF]?[0-9A-Z]{1,5}\s?호(?:실)?|[0-9]{1,4}-[0-9]{2,5}|[0-9]{1,2}F|B[0-9])"
)
_BEFORE_A_UNIT = r"[가-힣A-Za-z0-9]{1,12}\s?(?=[0-9A-Za-z]{1,4}\s?동\s?[0-9]{1,5}\s?호|[0-9]{1,3}\s?층|[0-9]{1,5}\s?호)"
_DETAIL = re.compile(rf"(?:\s{{0,2}},?\s{{0,2}}(?:\([^()\n]{{1,30}}\)|{_BUILDING}|{_UNIT}|{_BEFORE_A_UNIT})){{1,7}}")
_FLAT = re.compile(r"(?:[가-힣A-Za-z0-9]{1,14}\s?)?(?<![0-9])[0-9]{1,4}\s?동\s{0,2}[0-9]{1,5}\s?호")
_ADDRESS_WORD = re.compile(
    r"주소|거주|배송|사는|살고|살아|삽니다|자택|우리\s?집|저희\s?집|집은|집이|집으로|직장|우편|이사|소재|주민등록지|사업장"
    r"|거소|등기지|택배|받을\s?곳|수령지|전입|[Aa]ddress|회사는"
)
_ENGLISH = re.compile(
    r"(?:(?:#|[Aa]pt\.?|[Uu]nit|[Rr]oom|[Nn]o\.)\s?[0-9A-Za-z-]{1,8},?\s)?(?<![0-9])[0-9]{1,5}(?:-[0-9]{1,5})?,?\s"
    r"(?:[A-Z][A-Za-z]{1,20}(?:\s|-)){0,2}[A-Z]?[A-Za-z]{2,20}[-\s](?:daero|ro|gil)(?:\s?[0-9]{1,3}(?:beon)?-gil)?(?![A-Za-z])"
)


class AddressRecogniser(KoreanRecogniser):
    TYPES = ("ADDRESS",)

    def find(self, reading: Reading) -> Iterator[Finding]:
        if not reading.views:
            return
        view = reading.base
        if reading.has_hangul:
            yield from _korean(view)
        for match in _ENGLISH.finditer(view.text):
            yield finding("ADDRESS", view, match.start(), match.end(), STRONG)


def _korean(view: View) -> Iterator[Finding]:
    for pattern in (_ROAD, _LOT):
        for match in pattern.finditer(view.text):
            start = _name_start(match)
            detail = _DETAIL.match(view.text, match.end())
            if score := _score(view, match, start, detail):
                yield finding("ADDRESS", view, start, detail.end() if detail else match.end(), score)
    for match in _FLAT.finditer(view.text):
        yield finding("ADDRESS", view, match.start(), match.end(), STRONG)


def _name_start(match: re.Match[str]) -> int:
    """Where the road or lot name begins when a region is glued to it (서울강남구테헤란로)."""
    glued = re.match(
        r"[가-힣]*?(?:특별시|광역시|[가-힣]시|[가-힣]군|[가-힣]구)(?=[가-힣]{2,}[0-9]{0,3}(?:대로|로|길|동|읍|면|리|가))",
        match["name"],
    )
    return match.start() + (glued.end() if glued else 0)


def _score(view: View, match: re.Match[str], start: int, detail: re.Match[str] | None) -> float:
    if start > match.start() or _REGION.search(before(view, start, 30)):
        return STRONG
    if "번지" in match["number"] or (detail and re.search(r"[동호층]", detail.group())):
        return STRONG
    near = before(view, start, 30) + "\n" + after(view, match.end(), 25)
    return LIKELY if _ADDRESS_WORD.search(near) else 0.0
