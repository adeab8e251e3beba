"""Finds every quantity in a text and gives it one spelling, so that two ways of writing the same thing compare equal.

1억2천만원 is 120,000,000원, 연 3.5% is 3.50 퍼센트, 2024년 3월 1일 is 2024.3.1., 열흘 is 10일. Knows no passages.
Every pattern is bounded: the time grows linearly with the text, whatever the text is.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Final, Literal

from llm_service.answering.numerals import DIGITS, NATIVE, NATIVE_DAYS, SCALED, SINO, SINO_DIGIT, value_of

Kind = Literal["amount", "rate", "date", "time", "period", "count", "age", "article", "phone", "name", "number"]
Bound = Literal["at_least", "at_most", "over", "under", "before", "after"]


@dataclass(frozen=True)
class Quantity:
    """A quantity at `start` to `end`: `value` is its one spelling within its `kind`, `number` its bare number, if any.

    `bound` is the word behind it (이상, 이하, 초과, 미만, 전, 후). The `value` of an article is the chain of its parts:
    제4조의2/제1항/제3호.
    """

    kind: Kind
    value: str
    start: int
    end: int
    number: Fraction | None = None
    bound: Bound | None = None


_Read = Callable[[re.Match[str]], tuple[Kind, str, Fraction | None]]

# Fullwidth forms keep their places when they are written as ASCII.
_ASCII: Final = str.maketrans("０１２３４５６７８９％，．－～（）", "0123456789%,.-~()")
_PLACEHOLDER: Final = re.compile(r"<[A-Z][A-Z0-9_]{0,60}>")
_LIST_MARKER: Final = re.compile(r"(?m)^[ \t“\"'*#-]{0,8}[0-9]{1,3}(?:의[0-9]{1,2})?[.)](?=\s)")
_TAKEN: Final = "\ue000"
_BEFORE_RANGE: Final = re.compile(r"\s?[~∼–-]\s?")
_BOUND: Final = re.compile(
    r"\s?(?:을|를|의|이|가)?\s?(?:(?P<at_least>이상)|(?P<at_most>이하|이내|까지|(?:넘|초과하)지\s?(?:아니|않|못))"
    r"|(?P<over>초과|넘)|(?P<under>미만)|(?P<before>이?전(?!부|체|자|화|환|액|세))|(?P<after>이?후(?!불|보|견)|지난|지나|경과))"
)


@lru_cache(maxsize=1024)
def quantities_of(text: str) -> tuple[Quantity, ...]:
    """Every quantity of the text in order; placeholders and the numbers of list items are none."""
    readable = text.translate(_ASCII)
    left = _blanked(_blanked(readable, _PLACEHOLDER), _LIST_MARKER)
    found: list[Quantity] = []
    for pattern, read in _RULES:
        for match in pattern.finditer(left):
            kind, value, number = read(match)
            bound = None if number is None else _bound_after(readable, match.end())
            found.append(Quantity(kind, value, match.start(), match.end(), number, bound))
        left = _blanked(left, pattern)
    return tuple(_share_units(sorted(found, key=lambda quantity: quantity.start), readable))


def without_quantities(text: str) -> str:
    """The text with a blank for each quantity: what is left to compare once the quantities have been compared."""
    left = list(text)
    for quantity in quantities_of(text):
        left[quantity.start : quantity.end] = " " * (quantity.end - quantity.start)
    return "".join(left)


def _blanked(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: _TAKEN * (match.end() - match.start()), text)


def _bound_after(text: str, end: int) -> Bound | None:
    found = _BOUND.match(text, end)
    return found.lastgroup if found else None  # type: ignore[return-value]


def _share_units(found: Sequence[Quantity], text: str) -> Iterator[Quantity]:
    """In 3~5년 the 3 is a number of years: the front of a range takes kind and unit of its end."""
    for place, quantity in enumerate(found):
        follower = found[place + 1] if place + 1 < len(found) else None
        if (
            quantity.kind == "number"
            and quantity.number is not None
            and follower is not None
            and follower.number
            and _BEFORE_RANGE.fullmatch(text, quantity.end, follower.start)
        ):
            unit = follower.value.lstrip("0123456789/")
            factor = Fraction(follower.value.removesuffix(unit)) / follower.number
            yield replace(quantity, kind=follower.kind, value=f"{quantity.number * factor}{unit}")
        else:
            yield quantity


# What each kind looks like, the most particular first: what one rule has read, the next ones no longer see.

_NAME: Final = re.compile(r"「([^「」\n]{1,80})」")
_PHONE: Final = re.compile(
    r"(?<![0-9-])(?:[0-9]{2,4}-[0-9]{3,4}-[0-9]{4}|1[0-9]{3}-[0-9]{4})(?![0-9-])|국번\s?없이\s?[0-9]{3,4}(?![0-9])"
)
_BRANCH: Final = r"(?:\s?의\s?[0-9]{1,3}(?![0-9.,]*\s?[%년월일주회개명배천백만억]))?"
_ARTICLE: Final = re.compile(
    rf"(?:제\s?[0-9]{{1,4}}\s?조{_BRANCH}|(?<![0-9.,])[0-9]{{1,4}}조{_BRANCH}(?=\s?제?[0-9]{{1,3}}항))"
    rf"(?:\s?제?\s?[0-9]{{1,3}}\s?[항호]{_BRANCH}){{0,2}}(?:\s?[가-하]목)?"
    rf"|제\s?[0-9]{{1,3}}\s?[항호]{_BRANCH}(?:\s?제?\s?[0-9]{{1,3}}\s?호{_BRANCH})?(?:\s?[가-하]목)?"
    rf"|제\s?[0-9]{{1,3}}\s?[편장절관](?![가-힣])|별표\s?[0-9]{{1,3}}{_BRANCH}"
)
_ARTICLE_PART: Final = re.compile(
    r"(?P<annex>별표)?\s?(?P<number>[0-9]{1,4})\s?(?P<level>[조항호편장절관])?(?:\s?의\s?(?P<branch>[0-9]{1,3}))?"
    r"|(?P<letter>[가-하])목"
)
_DATE: Final = re.compile(
    r"(?<![0-9])(?:(?P<year>(?:19|20)[0-9]{2})\s?년도?(?:\s?(?P<month>[0-9]{1,2})\s?월(?:\s?(?P<day>[0-9]{1,2})\s?일)?)?"
    r"|(?P<dotted>(?:19|20)[0-9]{2}(?P<mark>[-./])\s?[0-9]{1,2}(?P=mark)\s?[0-9]{1,2})(?![0-9])"
    r"|(?P<dotted_month>(?:19|20)[0-9]{2}\.\s?[0-9]{1,2})(?=\.(?:[^0-9]|$))"
    r"|(?P<month_alone>[0-9]{1,2})\s?월(?:\s?(?P<day_alone>[0-9]{1,2})\s?일"
    r"|(?!\s?(?:이내|이상|이하|미만|초과|간|동안|분|[0-9]))))"
)
_TIME: Final = re.compile(
    r"(?:(?P<half>오전|오후)\s?)?(?<![0-9:])(?:(?P<hour>[0-9]{1,2})시(?![간행작도군점중장설스효가세])"
    r"(?:\s?(?P<minute>[0-9]{1,2})\s?분|\s?(?P<thirty>반))?"
    r"|(?P<clock_hour>[0-9]{1,2}):(?P<clock_minute>[0-9]{2})(?![0-9:]))"
)
_PARTS_OF: Final = re.compile(rf"({SCALED}|{SINO})\s?분의\s?({SCALED}|{SINO}|[일이삼사오육칠팔구])")

_AMOUNT_UNITS: Final = r"원(?!금|리금|본|장|칙|인|천)|달러|유로|엔|위안|파운드"
_RATE_UNITS: Final = r"%\s?p|%\s?P|%\s?포인트|퍼센트\s?포인트|%|퍼센트|프로(?![가-힣]{2})"
_LONG: Final = r"(?=\s?(?:이내|이상|이하|미만|초과|동안|간))"
_PERIOD_UNITS: Final = {
    **{"영업일": ("영업일", 1), "주일": ("일", 7), "개월": ("개월", 1), "시간": ("분", 60), "일": ("일", 1)},
    **{"주": ("일", 7), "달": ("개월", 1), "월": ("개월", 1), "년": ("개월", 12), "해": ("개월", 12)},
    **{"분": ("분", 1), "초": ("초", 1)},
}
_COUNT_UNITS: Final = {"인": "명", "사람": "명", "번": "회", "차례": "회", "개사": "개"}
_MEASURED: Final = re.compile(
    rf"(?P<digits>{SCALED})(?:\s?(?:(?P<amount>{_AMOUNT_UNITS})|(?P<rate>{_RATE_UNITS})|(?P<age>세(?![대율액금무])|살)"
    rf"|(?P<period>영업일|주일|개월|년|시간|월{_LONG}|일(?![반부치정괄])|주(?![식택민주당소])|분(?!의)|초(?!과))"
    r"|(?P<count>개사|명|인(?!치)|회|번|차례|개(?![인시정])|건|매|장|부(?![터동])|배|가지|곳|종|좌|등급|급|층|차)))?"
)
_ENGLISH: Final = re.compile(rf"({DIGITS})\s?(thousand|million|billion|trillion)\b", re.IGNORECASE)
_ENGLISH_SCALES: Final = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}

# Words for numbers are read only where what follows leaves no doubt: 만원, 삼 개월, 십오일 이내, 두 달, 열흘.
_AFTER_WON: Final = r"(?![가-힣])|(?=[은을의에과와도씩당]|이[\s상하]|으로|까지|미만|초과)"
_IN_WORDS: Final = re.compile(
    rf"(?P<digits>{SINO}|{SINO_DIGIT})\s?(?:(?P<rate>퍼센트|프로(?![가-힣]{{2}}))|(?P<period>개월|년{_LONG}|영업일|일{_LONG}))"
    rf"|(?P<won>{SINO})\s?원(?:{_AFTER_WON})"
)
_NATIVE: Final = re.compile(
    rf"(?<![가-힣0-9])(?:(?P<number>{'|'.join(NATIVE)})\s?(?:(?P<period>달|해|시간)(?![가-힣]{{2}})"
    r"|(?<!한)(?<!한\s)(?P<count>명|사람|가지|곳|개(?!월|인)|번|차례|배|건)|(?P<age>살))"
    rf"|(?P<days>{'|'.join(NATIVE_DAYS)})(?!빨리|속히)|(?P<week>일주일)|(?P<half_year>반년))"
)


def _read_name(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    return "name", "".join(match[1].split()), None


def _read_phone(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    return "phone", re.sub(r"[^0-9]", "", match[0]), None


def _read_article(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    parts = []
    for part in _ARTICLE_PART.finditer(match[0]):
        if part["letter"]:
            parts.append(f"{part['letter']}목")
        else:
            branch = f"의{int(part['branch'])}" if part["branch"] else ""
            parts.append(f"{part['annex'] or '제'}{int(part['number'])}{part['level'] or ''}{branch}")
    return "article", "/".join(parts), None


def _read_date(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    written = match["dotted"] or match["dotted_month"]
    parts = re.findall(r"[0-9]+", written or match[0])
    spelt = [str(int(part)) for part in parts]
    return "date", "-".join(spelt if match["month_alone"] is None else ["", *spelt]), None


def _read_time(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    hour = int(match["hour"] or match["clock_hour"])
    minute = 30 if match["thirty"] else int(match["minute"] or match["clock_minute"] or 0)
    if match["half"] == "오후" and hour < 12:
        hour += 12
    return "time", f"{hour}:{minute:02}", None


def _read_parts(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    whole = value_of(match[1])
    share = value_of(match[2]) * 100 / whole if whole else Fraction(0)
    return "rate", f"{share}%", share


def _read_english(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    number = value_of(match[1]) * _ENGLISH_SCALES[match[2].lower()]
    return "number", str(number), number


def _read_measured(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    groups = match.groupdict()
    return _with_unit(value_of(groups["digits"]), groups)


def _read_words(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    if match["won"]:
        number = value_of(match["won"])
        return "amount", f"{number}원", number
    return _with_unit(value_of(match["digits"]), match.groupdict())


def _read_native(match: re.Match[str]) -> tuple[Kind, str, Fraction | None]:
    if match["number"]:
        return _with_unit(Fraction(NATIVE[match["number"]]), match.groupdict())
    if match["half_year"]:
        return "period", "6개월", Fraction(6)
    days = Fraction(NATIVE_DAYS[match["days"]] if match["days"] else 7)
    return "period", f"{days}일", days


def _with_unit(number: Fraction, groups: dict[str, str | None]) -> tuple[Kind, str, Fraction | None]:
    if amount := groups.get("amount"):
        return "amount", f"{number}{amount}", number
    if rate := groups.get("rate"):
        points = rate.lower().endswith("p") or rate.endswith("포인트")
        return "rate", f"{number}{'%p' if points else '%'}", number
    if groups.get("age"):
        return "age", f"{number}세", number
    if period := groups.get("period"):
        unit, factor = _PERIOD_UNITS[period]
        return "period", f"{number * factor}{unit}", number
    if count := groups.get("count"):
        return "count", f"{number}{_COUNT_UNITS.get(count, count)}", number
    return "number", str(number), number


_RULES: Final[tuple[tuple[re.Pattern[str], _Read], ...]] = (
    (_NAME, _read_name),
    (_PHONE, _read_phone),
    (_ARTICLE, _read_article),
    (_DATE, _read_date),
    (_TIME, _read_time),
    (_PARTS_OF, _read_parts),
    (_ENGLISH, _read_english),
    (_MEASURED, _read_measured),
    (_IN_WORDS, _read_words),
    (_NATIVE, _read_native),
)
