"""Readings of one text that undo disguises and keep, for every character, where it stood in the original.

A *view* is a string plus the original offsets of each of its characters, so a match in any view is an exact span of
the original. The base view only undoes what cannot change a meaning (widths, styles, scripts, encodings, invisible
characters, decomposed Hangul). The guessed views also squeeze separators out of digit runs and read spelt-out or
look-alike digits; what is found only there must validate itself or stand in context. Knows nothing of any kind of
personal data.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_SEPARATOR_CHARACTERS = 4
MIN_RUN_DIGITS = 6
LABELLED_REACH_CHARACTERS = 30

# Text in which every character is already in its base form: most messages, and the cheap way out.
_PLAIN = re.compile(r"[\t\n !-$'-\[\]-~가-힣·…“”‘’「」『』《》○●※→₩ㄱ-ㅣ]*")
_ENCODED = re.compile(
    r"&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});?|(?:%[0-9A-Fa-f]{2})+|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}"
)
_ENTITIES = {
    "amp",
    "nbsp",
    "hyphen",
    "dash",
    "commat",
    "period",
    "lowbar",
    "lpar",
    "rpar",
    "colon",
    "sol",
    "num",
    "ensp",
    "emsp",
}
_FORM_OF_CATEGORY = {"Cf": "", "Mn": "", "Me": "", "Cc": "", "Pd": "-", "Zs": " ", "Zl": "\n", "Zp": "\n"}
_SPECIAL_FORMS = (
    dict.fromkeys("\u115f\u1160\u3164\uffa0\u17b4\u17b5", "")  # letters without a shape
    | dict.fromkeys("\u2212\u2500\u2501\u30fc\u02d7\u2043\uff70", "-")  # minus, box drawing and the like
    | {"\u2800": " ", "\t": "\t", "\n": "\n", "\r": "\n", "\U0001f10b": "0", "\U0001f10c": "0"}
)


@dataclass(frozen=True, slots=True)
class View:
    """A reading of a text. `starts`/`ends` hold original offsets per character; None means the original itself.

    `boundaries` is None for views without guesses; else it holds the base offset of each character and of the end, so
    that a match can be required not to cut a digit run of the base text in two.
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None
    guessed: bool = False
    base: str = ""
    base_starts: Sequence[int] = ()
    base_ends: Sequence[int] = ()

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The original offsets of view offsets `start`..`end` (end after the last character; start < end)."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]

    def matches(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Matches of a pattern; in a guessed view those that do not cut a run of digits of the base text in two."""
        if not self.guessed:
            yield from pattern.finditer(self.text)
            return
        position = 0
        while match := pattern.search(self.text, position):
            start, end = match.span()
            if start < end and self._stands_alone(start, end):
                yield match
                position = end
            else:
                position = start + 1

    def _stands_alone(self, start: int, end: int) -> bool:
        before, after = self.base_starts[start], self.base_ends[end - 1]
        cut_left = self.text[start].isdigit() and before > 0 and self.base[before - 1].isdigit()
        cut_right = self.text[end - 1].isdigit() and after < len(self.base) and self.base[after].isdigit()
        return not (cut_left or cut_right)


# --- the base view


def base_view(original: str) -> View:
    """Undoes widths, styles, scripts, encodings, invisible characters and decomposed Hangul; one pass, linear."""
    if not _ENCODED.search(original) and (same_length := _letter_by_letter(original)) is not None:
        return View(same_length)
    characters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for decoded, start, end in _decoded(original):
        form = _base_form(decoded)
        if not form:
            if ends:
                ends[-1] = end
            continue
        if characters and _is_jamo(form) and len(merged := unicodedata.normalize("NFC", characters[-1] + form)) == 1:
            characters[-1], ends[-1] = merged, end
            continue
        for character in form:
            characters.append(character)
            starts.append(start)
            ends.append(end)
    return View("".join(characters), starts, ends)


def _letter_by_letter(original: str) -> str | None:
    """The base view of a text whose characters each become one character, None for others: the cheap way out."""
    if _PLAIN.fullmatch(original):
        return original
    forms = {character: _base_form(character) for character in set(original)}
    if any(len(form) != 1 or _is_jamo(form) for form in forms.values()):
        return None
    return original.translate({ord(character): form for character, form in forms.items() if form != character})


def _decoded(original: str) -> Iterator[tuple[str, int, int]]:
    """(character, start, end) with HTML entities, percent and backslash escapes decoded."""
    at = 0
    for match in _ENCODED.finditer(original):
        for offset in range(at, match.start()):
            yield original[offset], offset, offset + 1
        yield from _decode_escape(match.group(), match.start())
        at = match.end()
    for offset in range(at, len(original)):
        yield original[offset], offset, offset + 1


def _decode_escape(escape: str, start: int) -> Iterator[tuple[str, int, int]]:
    if escape[0] == "%":
        yield from _decode_percent(escape, start)
        return
    if escape[0] == "\\":
        character = chr(int(escape[2:], 16))
        decoded = character if not 0xD800 <= ord(character) < 0xE000 else escape
    elif escape[1] == "#" or escape[1:].rstrip(";") in _ENTITIES:
        decoded = html.unescape(escape if escape.endswith(";") else escape + ";")
    else:
        decoded = escape
    if decoded == escape:
        for offset, character in enumerate(escape, start):
            yield character, offset, offset + 1
        return
    for character in decoded:
        yield character, start, start + len(escape)


def _decode_percent(escape: str, start: int) -> Iterator[tuple[str, int, int]]:
    data = bytes.fromhex(escape.replace("%", ""))
    try:
        decoded = data.decode("utf-8")
    except UnicodeDecodeError:
        for offset, character in enumerate(escape, start):
            yield character, offset, offset + 1
        return
    at = start
    for character in decoded:
        end = at + 3 * len(character.encode("utf-8"))
        yield character, at, end
        at = end


@lru_cache(maxsize=8192)
def _base_form(character: str) -> str:
    """The base form of one character; empty for one that is not seen."""
    if "\u3130" <= character <= "\u318f" and character != "\u3164":
        return character  # NFKC would turn ㅋㅋ and ㅠㅠ into conjoining letters
    category = unicodedata.category(character)
    if character in _SPECIAL_FORMS:
        return _SPECIAL_FORMS[character]
    if category in _FORM_OF_CATEGORY:
        return _FORM_OF_CATEGORY[category]
    return _digits_of(character, category) or unicodedata.normalize("NFKC", character)


def _digits_of(character: str, category: str) -> str:
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    number = unicodedata.numeric(character, -1.0) if category == "No" else -1.0
    return str(int(number)) if number in range(100) else ""  # ⑩, ㉑


def _is_jamo(form: str) -> bool:
    return "\u1100" <= form[0] <= "\u11ff"


# --- guessed views

_SPOKEN = r"다시|대시|데시|하이픈|하이펀|바|빼기|마이너스|짝대기|작대기|줄|점|쩜|슬래시|콜론|에|의|dash|hyphen|bar|dot"
_MARK = r"[^0-9A-Za-z가-힣%₩$€℃]"
_GAP = rf"(?:{_MARK}{{0,{MAX_SEPARATOR_CHARACTERS}}}|{_MARK}{{0,2}}(?:{_SPOKEN}){_MARK}{{0,2}})"
_DIGIT_RUN = re.compile(rf"[0-9](?:(?!,\s){_GAP}[0-9])+")
_DATE = re.compile(
    r"(?<![0-9])(?:19|20)[0-9]{2}\s?[-./]\s?[01]?[0-9]\s?[-./]\s?[0-3]?[0-9](?![0-9])|[0-9]{1,2}:[0-9]{2}(?![0-9])"
)
_SEPARATED = re.compile(r"[0-9][^0-9][^0-9]?")

_HANGUL_DIGITS = {
    letter: str(value)
    for value, letters in enumerate(["공영빵", "일", "이", "삼", "사", "오", "육륙", "칠", "팔", "구"])
    for letter in letters
}
_HANGUL_DIGITS |= {
    letter: str(value)
    for value, letters in enumerate(["〇零", "一", "二", "三", "四", "五", "六", "七", "八", "九"])
    for letter in letters
}
_HANGUL = "".join(_HANGUL_DIGITS)
_SPELT_RUN = re.compile(rf"[0-9{_HANGUL}](?:{_GAP}[0-9{_HANGUL}])+")
_SPELT_TRIGGER = re.compile(rf"[{_HANGUL}]")
_SPACED_SPELT = re.compile(rf"[{_HANGUL}] [{_HANGUL}]")
_COPULA_AFTER = re.compile(r"고|야|에요|예요|요|라|며|니|다|었|랑|나|든|면|지|구|죠|십|신|네|냐|란|거")

_LOOKALIKES = {
    letter: digit
    for digit, letters in {
        "0": "OoQDОоΟοㅇ",
        "1": "lIi|ㅣ",
        "2": "Zz",
        "3": "З",
        "5": "SsЅ",
        "6": "б",
        "8": "B",
        "9": "qg",
    }.items()
    for letter in letters
}
_LOOKALIKE_LETTERS = "".join(re.escape(letter) for letter in _LOOKALIKES)
_LOOKALIKE_RUN = re.compile(
    rf"(?<![A-Za-z가-힣])(?:[0-9]|[{_LOOKALIKE_LETTERS}](?=[-. ]{{0,2}}[0-9{_LOOKALIKE_LETTERS}]))"
    rf"(?:[^0-9A-Za-z가-힣ㄱ-ㅣ|]{{0,2}}[0-9{_LOOKALIKE_LETTERS}])+(?![A-Za-z])"
)
_LOOKALIKE_TRIGGER = re.compile(rf"[0-9][-. ]?[{_LOOKALIKE_LETTERS}]|[{_LOOKALIKE_LETTERS}][-. ]?[0-9]")


def guessed_views(base: View) -> tuple[View, ...]:
    """The views that guess, each only where something in the text calls for it."""
    views: list[View] = []
    if _SEPARATED.search(base.text) and (squeezed := _rewrite(base, _squeeze_edits(base.text))):
        views.append(squeezed)
    spelt = _spelt_edits(base.text, copula=True)
    with_copula = _spelt_edits(base.text, copula=False) if spelt else []
    readings = (
        spelt,
        with_copula if with_copula != spelt else [],
        _lookalike_edits(base.text),
        _labelled_edits(base.text),
    )
    for edits in readings:
        if edits and (read := _rewrite(base, edits)):
            views.append(read)
            squeezing = _squeeze_edits(read.text)
            if squeezing and (again := _rewrite(read, squeezing)):
                views.append(again)
    return tuple(views)


def _squeeze_edits(text: str) -> list[tuple[int, str]]:
    edits: list[tuple[int, str]] = []
    for run in _DIGIT_RUN.finditer(text):
        value = run.group()
        if _DATE.search(value):
            continue
        if not value.isdigit() and sum(map(str.isdigit, value)) >= MIN_RUN_DIGITS:
            edits.extend((offset, "") for offset, character in enumerate(value, run.start()) if not character.isdigit())
    return edits


def _spelt_edits(text: str, *, copula: bool) -> list[tuple[int, str]]:
    if not _SPELT_TRIGGER.search(text):
        return []
    edits: list[tuple[int, str]] = []
    for run in _SPELT_RUN.finditer(text):
        start, value = _without_words(text, run.start(), run.group(), copula=copula)
        spelt = [(offset, _HANGUL_DIGITS[c]) for offset, c in enumerate(value, start) if c in _HANGUL_DIGITS]
        real = sum(map(str.isdigit, value))
        if spelt and len(spelt) + real >= MIN_RUN_DIGITS and (len(spelt) >= 3 or real >= 4):
            edits.extend(spelt)
    return edits


def _without_words(text: str, start: int, value: str, *, copula: bool) -> tuple[int, str]:
    """A run without the particle before it (번호가 제일 …, 버전이 …) and the word or copula behind it (…이에요, … 이
    계좌).
    """
    if value[0] in _HANGUL_DIGITS and start and "가" <= text[start - 1] <= "힣" and value[1:2] in (" ", "\n", ""):
        shorter = value[1:].lstrip()
        start, value = start + len(value) - len(shorter), shorter
    end = start + len(value)
    if copula and value[-1:] == "이" and _COPULA_AFTER.match(text, end):
        return start, value[:-1]
    if value[-2:] == " 이" and not _SPACED_SPELT.search(value[:-2]):
        return start, value[:-2]
    if value[-2:-1] == " " and value[-1] in _HANGUL_DIGITS and "가" <= text[end : end + 1] <= "힣":
        return (start, value) if _SPACED_SPELT.search(value[:-2]) else (start, value[:-2])
    return start, value


def _lookalike_edits(text: str) -> list[tuple[int, str]]:
    if not _LOOKALIKE_TRIGGER.search(text):
        return []
    edits: list[tuple[int, str]] = []
    for run in _LOOKALIKE_RUN.finditer(text):
        value = run.group()
        letters = [(offset, _LOOKALIKES[c]) for offset, c in enumerate(value, run.start()) if c in _LOOKALIKES]
        real = sum(map(str.isdigit, value))
        if letters and real >= 4 and real + len(letters) >= MIN_RUN_DIGITS:
            edits.extend(letters)
    return edits


# Behind these words (차주 and 차량 also before them) a few disguised digits are enough, because a letter, a unit or a
# syllable stands among them.
_LABELLED = re.compile(
    rf"(?:여권|차량|차번호|번호판|생년월일|생일|아이피|IP|CIF|(?:고객|회원|주민|등록|전화|카드|계좌|면허|사업자)\s?번호)(?P<behind>[^\n]{{0,{LABELLED_REACH_CHARACTERS}}})"
    rf"|(?P<before>[^\n]{{1,{LABELLED_REACH_CHARACTERS // 2}}})(?=\s?(?:차주|차량))"
)
_LABEL_TRIGGER = re.compile(r"번호|여권|차량|차주|생년월일|생일|아이피|IP|CIF")
_LABELLED_DIGITS = _HANGUL_DIGITS | dict.fromkeys("lI|", "1") | dict.fromkeys("oO", "0")
_DIGIT_LIKE = frozenset("0123456789") | _LABELLED_DIGITS.keys()


def _labelled_edits(text: str) -> list[tuple[int, str]]:
    if not _LABEL_TRIGGER.search(text):
        return []
    return [
        (offset, _LABELLED_DIGITS[text[offset]])
        for stretch in _LABELLED.finditer(text)
        for offset in range(*stretch.span(stretch.lastgroup or 0))
        if text[offset] in _LABELLED_DIGITS and _reads_as_digit(text, offset)
    ]


def _reads_as_digit(text: str, offset: int) -> bool:
    """Not the copula 이, and not the 일 behind the day of a date."""
    character, behind = text[offset], text[offset + 1 : offset + 2]
    if character == "이" and behind not in _DIGIT_LIKE and _COPULA_AFTER.match(text, offset + 1):
        return False
    copula = behind == "이" and _COPULA_AFTER.match(text, offset + 2)
    ends = copula or (behind not in _DIGIT_LIKE and behind not in ("년", "월"))
    is_day = "월" in text[max(0, offset - 5) : offset] and text[offset - 1 : offset] in _DIGIT_LIKE
    return not (character == "일" and is_day and ends)


def _rewrite(view: View, edits: list[tuple[int, str]]) -> View | None:
    """The view with single characters replaced or dropped; None when nothing changes."""
    if not edits:
        return None
    replacement = dict(edits)
    base = view.base if view.guessed else view.text
    text: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    base_starts: list[int] = []
    base_ends: list[int] = []
    for offset, character in enumerate(view.text):
        shown = replacement.get(offset, character)
        if not shown:
            continue
        start, end = view.original_span(offset, offset + 1)
        text.append(shown)
        starts.append(start)
        ends.append(end)
        base_starts.append(view.base_starts[offset] if view.guessed else offset)
        base_ends.append(view.base_ends[offset] if view.guessed else offset + 1)
    return View("".join(text), starts, ends, True, base, base_starts, base_ends)
