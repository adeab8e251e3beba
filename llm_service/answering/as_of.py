"""Reads from a masked question the day whose law and terms it asks about; says nothing where nothing is said.

A date alone is no such day (an account opened in 2020, a birth, the name of a law): a word that makes it the day of
asking must stand with it. Knows no documents; which edition was in force that day is retrieval's affair.

The rules: a year, half-year, quarter or month stands for its last day, 초 for its first; before a date is the day
before it; from a coming date on is its first day; a span of time that holds today is today. Of several days the last
one named counts, and so do 지금 and now.
"""

import re
from calendar import monthrange
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from llm_service.masked import MaskedText

_FIRST_YEAR: Final = 1900
_DAY: Final = timedelta(days=1)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH_NAME: Final = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
_YEAR: Final = r"(?<![0-9,.제A-Za-z-])(?P<year>(?:19|20)[0-9]{2})"

# Names, quotations, placeholders and revision notes: a year inside them dates them, not the question.
_NAMED: Final = re.compile(
    r"「[^「」]{0,200}」|『[^『』]{0,200}』|“[^“”]{0,200}”|‘[^‘’]{0,200}’|\"[^\"]{0,200}\"|<[^<>]{0,200}>"
)

_KOREAN_DATE: Final = (
    rf"(?:{_YEAR}(?:"
    r"\s?년도?(?:\s?(?P<month>[0-9]{1,2})\s?월(?:\s?(?P<day>[0-9]{1,2})\s?일(?:자)?)?)?"
    r"|(?P<mark>[-./])\s?(?P<month_2>[0-9]{1,2})(?:(?P=mark)\s?(?P<day_2>[0-9]{1,2})\.?)?(?![0-9]))"
    r"|(?P<relative>재작년|작년|지난\s?해|내년|올해|금년|지난\s?달|저번\s?달|다음\s?달|이번\s?달)"
    r"|(?:(?<=^)|(?<=[.,?!]\s)|(?<=그럼\s)|(?<=그러면\s))(?P<ago>[0-9]{1,2})\s?(?P<ago_unit>년|개월|달)\s?(?=전))"
    r"(?:\s?(?P<part>상반기|하반기|[1-4]\s?분기|초|말))?"
)
_SAYS_DAY: Final = r"(?:에는|엔|에도|까지는|기준|당시|현재|시점|때는|때에는|에\s?시행\s?(?:중|되))"
_KOREAN: Final = re.compile(
    rf"{_KOREAN_DATE}\s?(?:"
    rf"(?P<before>(?:에?\s?(?:시행|개정)(?:되기|하기)?\s?(?:일\s?)?)?이?전(?=에는|엔|에도|까지|의|은|[\s?]|에|$))"
    r"|(?P<since>이후|부터)"
    rf"|(?P<strong>{_SAYS_DAY}|시행)"
    r"|(?P<weak>에|의|도|은|는|(?=\s|$)))"
    r"(?:에는|엔|에도|까지는|으로는?|로는?|의|에|은|는)?"
)
_ALONE: Final = re.compile(
    rf"\s*(?:그럼|그러면|그렇다면|그리고|그런데|혹시|and|how about|what about|then)?[\s,]*{_KOREAN_DATE}"
    r"\s?(?:은|는|에|엔|에는|이면|이라면|도|에도)?(?:요)?[\s?.!]*",
    re.IGNORECASE,
)
_NOW: Final = re.compile(
    r"(?:지금|현재|오늘|요즘|이제)(?:은|는|도|\s?기준|에는|엔)(?![가-힣]{2})|\b(?:now|today|currently)\b", re.IGNORECASE
)

_ENGLISH_DATE: Final = (
    rf"(?:(?P<month_name>{_MONTH_NAME})\.?\s(?:(?P<day>[0-9]{{1,2}})(?:st|[nr]d|th)?,?\s)?(?P<year>(?:19|20)[0-9]{{2}})"
    rf"|(?P<day_2>[0-9]{{1,2}})(?:st|[nr]d|th)?\s(?P<month_name_2>{_MONTH_NAME})\.?,?\s(?P<year_2>(?:19|20)[0-9]{{2}})"
    r"|(?P<year_3>(?:19|20)[0-9]{2})(?:-(?P<month>[0-9]{2})(?:-(?P<day_3>[0-9]{2}))?)?"
    r"|(?P<relative>(?:the\s)?year\sbefore\slast|last\syear|next\syear|this\syear|last\smonth|next\smonth))"
    r"(?![0-9A-Za-z-])"
)
_ENGLISH: Final = re.compile(
    r"(?<![A-Za-z])(?:(?P<strong>as\sof|back\sin|how\sabout(?:\sin)?|what\sabout(?:\sin)?|(?:at|by)\sthe\send\sof)"
    r"|(?P<before>before|until)|(?P<weak>(?<!ed\s)(?<!born\s)in|on|(?=last\s|next\s|the\syear)))"
    rf"\s?{_ENGLISH_DATE}",
    re.IGNORECASE,
)
_ENGLISH_TENSE: Final = re.compile(r"\b(?:was|were|did|had|used to|will|would|going to)\b", re.IGNORECASE)

_REVISED: Final = r"(?:개정|시행일|시행|상향|인상|인하|변경|바뀌)(?:되|하)?기?\s?이?전"
_BEFORE_REVISION: Final = re.compile(
    rf"(?:법이?\s?)?(?:(?P<strong>(?:개정|시행일|시행)(?:되기|하기)?\s?이?전(?:에는|엔|에도|의|까지는|(?=\s?[?]|\s?$))"
    r"|개정\s?전(?=\s))"
    rf"|(?P<weak>{_REVISED}(?:에는|에|엔|의|까지는)?|종전(?:에는|의)?)"
    r"|(?P<english>before\s(?:the|its|this)\s(?:amendment|revision|change|increase)))",
    re.IGNORECASE,
)

# 받았는데, 가입했고: the sentence goes on after something that happened on that day.
_GOES_ON: Final = re.compile(r"([가-힣])(?:는데|고\s|으며|지만|으니|더니|다가)")
_THAT_HAPPENED: Final = re.compile(r"^\s?(?:[^\s]{1,20}\s){0,2}[^\s]{0,20}(?:한|된|던|받은|만든|산|낸|든)\s")
_PAST_QUESTION: Final = re.compile(r"([가-힣])(?:나요|는지|습니까|을까|니|어|지|죠|던가|냐|는가|음)")
_FINAL_SS: Final = 20
_LETTERS_WITH_FINAL: Final = 28
_NOT_PAST: Final = frozenset("있겠")
_SAYS_NOTHING: Final = re.compile(
    r"(?:그럼|그러면|그렇다면|그리고|그런데|혹시|and|how about|what about|then|요|은|는)*", re.IGNORECASE
)


@dataclass(frozen=True)
class _Cue:
    """Words that say which day is asked about; `day` is None for today."""

    start: int
    end: int
    day: date | None


@dataclass(frozen=True)
class _Span:
    first: date
    last: date


def day_asked_about(question: str, today: date) -> date | None:
    """The day whose documents should answer; None where the question names none, or today."""
    cues = sorted(_cues(question, today), key=lambda cue: cue.start)
    return cues[-1].day if cues else None


def asks_before_revision(question: str) -> bool:
    """Whether it asks what held before a revision without saying which (개정 전에는, 바뀌기 전에 얼마였나요)."""
    return _before_revision(_without_names(question)) is not None


def without_day(question: MaskedText, history: Sequence[MaskedText], today: date) -> MaskedText:
    """What is asked once the day has been read: the words that name it would be looked for in the documents.

    Where nothing else was said ("그럼 2019년에는?"), it is the question before.
    """
    left = _remainder(question, today)
    bare = re.sub(r"[\s?.,!]", "", left)
    if left != question and _SAYS_NOTHING.fullmatch(bare) and history:
        return MaskedText(_remainder(history[-1], today))
    return MaskedText(left if bare else question)


def _remainder(question: str, today: date) -> str:
    spans = [(cue.start, cue.end) for cue in _cues(question, today)]
    named = _before_revision(_without_names(question))
    if named is not None:
        spans.append(named.span())
    left = question
    for start, end in sorted(spans, reverse=True):
        left = f"{left[:start]} {left[end:]}"
    return " ".join(left.split()) if spans else question


def _cues(question: str, today: date) -> Iterator[_Cue]:
    readable = _without_names(question)
    if alone := _ALONE.fullmatch(readable):
        span = _span(alone, today)
        if span is not None:
            start = min(place for place in map(alone.start, ("year", "relative", "ago")) if place >= 0)
            yield _Cue(start, len(readable.rstrip(" ?.!")), _day(span.last, span, today))
            return
    for match in _KOREAN.finditer(readable):
        yield from _cue(match, readable, today, _is_korean_cue)
    for match in _ENGLISH.finditer(readable):
        yield from _cue(match, readable, today, _is_english_cue)
    for match in _NOW.finditer(readable):
        yield _Cue(match.start(), match.start(), None)


def _cue(match: re.Match[str], text: str, today: date, is_cue: Callable[[re.Match[str], str], bool]) -> Iterator[_Cue]:
    span = _span(match, today)
    if span is None or not is_cue(match, text):
        return
    named = match.groupdict()
    if named.get("ago"):
        yield _Cue(match.start(), match.end(), span.last)
    elif named["before"]:
        yield _Cue(match.start(), match.end(), _earlier(span.first))
    elif named.get("since"):
        if span.first > today:
            yield _Cue(match.start(), match.end(), span.first)
    else:
        yield _Cue(match.start(), match.end(), _day(span.last, span, today))


def _is_korean_cue(match: re.Match[str], text: str) -> bool:
    after = text[match.end() :]
    if match["strong"] == "시행":
        # 2020년 시행 names a law by its year; with a whole date it is an edition.
        return bool(match["day"] or match["day_2"])
    if match["strong"] or match["since"]:
        return True
    if match["ago"] and not match["before"]:
        return False
    if _THAT_HAPPENED.match(after) or any(_is_past(found[1]) for found in _GOES_ON.finditer(after)):
        return False
    if match["before"] and match[0].endswith(("는", "엔", "도", "의")):
        return True
    return _asks_about_the_past(after)


def _is_english_cue(match: re.Match[str], text: str) -> bool:
    return bool(match["strong"]) or _ENGLISH_TENSE.search(text) is not None


def _before_revision(text: str) -> re.Match[str] | None:
    for match in _BEFORE_REVISION.finditer(text):
        rest = text[match.end() :]
        alone = not re.sub(r"[\s?.,!요은는]", "", rest) and not text[: match.start()].strip(" 그럼러면")
        said = match["strong"] or (match["english"] and _ENGLISH_TENSE.search(text))
        if said or alone or (match["weak"] and _asks_about_the_past(rest)):
            return match
    return None


def _span(match: re.Match[str], today: date) -> _Span | None:
    """The days that are named; None if there is no such date."""
    named = match.groupdict()
    if named.get("ago"):
        return _ago(int(named["ago"]), named["ago_unit"], today)
    try:
        if named.get("relative"):
            return _part_of(_relative(" ".join(named["relative"].lower().split()), today), named.get("part"))
        year = int(named["year"] or named.get("year_2") or named.get("year_3") or 0)
        month, day = _month(named), int(named["day"] or named.get("day_2") or named.get("day_3") or 0)
        if day:
            return _Span(date(year, month, day), date(year, month, day))
        return _part_of(_month_span(year, month) if month else _year_span(year), named.get("part"))
    except ValueError:
        return None


def _month(named: dict[str, str | None]) -> int:
    name = named.get("month_name") or named.get("month_name_2")
    if name:
        return _MONTHS.index(name[:3].lower()) + 1
    return int(named.get("month") or named.get("month_2") or 0)


def _relative(word: str, today: date) -> _Span:
    squeezed = word.replace(" ", "")
    if "달" in squeezed or "month" in squeezed:
        shift = -1 if squeezed.startswith(("지난", "저번", "last")) else 0 if squeezed.startswith("이번") else 1
        return _month_span(*_shifted(today, shift))
    years = {"재작년": -2, "theyearbeforelast": -2, "yearbeforelast": -2, "작년": -1, "지난해": -1, "lastyear": -1}
    years |= {"내년": 1, "nextyear": 1}
    return _year_span(today.year + years.get(squeezed, 0))


def _ago(count: int, unit: str, today: date) -> _Span | None:
    year, month = _shifted(today, -count * (12 if unit == "년" else 1))
    if year < _FIRST_YEAR:
        return None
    day = date(year, month, min(today.day, monthrange(year, month)[1]))
    return _Span(day, day)


def _part_of(span: _Span, part: str | None) -> _Span:
    if part is None or part == "말":
        return _Span(span.last, span.last) if part else span
    if part == "초":
        return _Span(span.first, span.first)
    year = span.first.year
    if part.endswith("반기"):
        first, last = (1, 6) if part == "상반기" else (7, 12)
    else:
        last = int(part[0]) * 3
        first = last - 2
    return _Span(date(year, first, 1), _month_span(year, last).last)


def _year_span(year: int) -> _Span:
    return _Span(date(year, 1, 1), date(year, 12, 31))


def _month_span(year: int, month: int) -> _Span:
    return _Span(date(year, month, 1), date(year, month, monthrange(year, month)[1]))


def _shifted(today: date, months: int) -> tuple[int, int]:
    counted = today.year * 12 + today.month - 1 + months
    return counted // 12, counted % 12 + 1


def _day(day: date, span: _Span, today: date) -> date | None:
    return None if span.first <= today <= span.last else day


def _earlier(day: date) -> date:
    return day - _DAY


def _without_names(question: str) -> str:
    return _NAMED.sub(lambda match: "\ue000" * len(match[0]), question)


def _asks_about_the_past(text: str) -> bool:
    return any(_is_past(found[1]) for found in _PAST_QUESTION.finditer(text))


def _is_past(letter: str) -> bool:
    """Whether a syllable ends in ㅆ, as 했, 였 and 받았 do."""
    return (ord(letter) - ord("가")) % _LETTERS_WITH_FINAL == _FINAL_SS and letter not in _NOT_PAST
