"""Cuts a passage into what can be quoted: sentences, items of a statute (항, 호, 목), list items and rows of a table.

Knows the outward form of Korean documents only; which unit answers a question is decided elsewhere.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

PROSE_LEVEL: Final = 0
ROW_LEVEL: Final = 6

# Depth in Korean statutes (법제처, 법령입안심사기준): 항 ①, 호 1., 목 가., then 1) and 가). A bullet is an item.
_ITEM_FORMS: Final = (
    (1, re.compile(r"\**[①-⑳㉑-㉟]")),
    (2, re.compile(r"\d{1,3}(?:의\d{1,2})?\\?\.(?=\s)")),
    (3, re.compile(r"[가-하]\\?\.(?=\s)")),
    (4, re.compile(r"\(?\d{1,3}\)")),
    (5, re.compile(r"\(?[가-하]\)")),
    (5, re.compile(r"[-*•·▪○●◦‣](?=\s)")),
)
_ROW: Final = re.compile(r"\|.*\|$")
_ROW_RULE: Final = re.compile(r"\|[\s:|-]+\|$")
_HEADING: Final = re.compile(
    r"#{1,6}\s|(?=제\d{1,4}조(?:의\d{1,3})?(?:\([^\n]*\))?$)|(?=\d{1,2}(?:\.\d{1,2}){1,3}\.?\s[^.!?]{1,60}$)"
)
# A line this long that ends in the middle of a sentence was broken by the page, not by its writer.
_WRAPPED_LINE_CHARACTERS: Final = 25
_OPEN_END: Final = re.compile(r"[가-힣A-Za-z0-9,ㆍ·]$")
# Marks such as "Q." and "A." end nothing.
_SHORTEST_SENTENCE: Final = 3
_LABELLED_CELL: Final = re.compile(r"\S: \S")
# A full stop ends a sentence unless a digit stands before it: dates (2024. 3. 1.) and numbers keep theirs.
_SENTENCE_END: Final = re.compile(r"(?<=[^\s\d.])[.!?](?=[\s<“\"]|$)")
_NOTE: Final = re.compile(
    r"<(?:\d{4}|개정|신설|삭제|전문개정|본조신설|제목개정|종전)[^<>]*>|\[(?:전문개정|본조신설|제목개정|종전)[^\[\]]*\]"
)
_DELETED: Final = re.compile(r"^\W*(?:\d+(?:의\d+)?\W+|[가-하]\W+)?삭제\W*$")
# Sentences that cannot stand without the one before them.
_CONTINUATION: Final = re.compile(r"(?:다만|단|이 경우|이때|그러나|이에 따라)[,\s]")
_ANNOUNCEMENT: Final = re.compile(r"다음\s*(?:각|의)|아래|:$")


@dataclass(frozen=True)
class Unit:
    """A quotable stretch: `text` stands verbatim in the passage from `start`.

    `lead` is the index of the unit this one hangs from: an item from the sentence that announces it, a proviso from its
    rule, a row from the head of its table. `heading` is the heading above it. `line` numbers the lines of the passage.
    """

    text: str
    start: int
    level: int
    line: int
    lead: int | None
    heading: int | None = None
    is_proviso: bool = False
    is_heading: bool = False


def units_of(passage: str) -> tuple[Unit, ...]:
    """Every quotable unit in the order of the passage; revision notes and deleted items are left out."""
    outline = _Outline()
    lines = list(_unwrapped(passage, _lines(passage)))
    for number, (start, line) in enumerate(lines):
        below = lines[number + 1][1] if number + 1 < len(lines) else ""
        heads_rows = " | " in line and not _LABELLED_CELL.search(line) and _LABELLED_CELL.search(below) is not None
        outline.add_line(number, start, line, heads_rows=heads_rows)
    return tuple(outline.units)


class _Outline:
    """Grows line by line and remembers which units the next line may hang from."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self._above: list[int] = []
        self._heading: int | None = None

    def add_line(self, number: int, start: int, line: str, *, heads_rows: bool) -> None:
        """Take in a line; `heads_rows` says that the cells of the rows below repeat the names of their columns."""
        marked = _HEADING.match(line)
        if marked or heads_rows:
            end = marked.end() if marked else 0
            self._above, self._heading = [], len(self.units)
            self.units.append(Unit(line[end:], start + end, PROSE_LEVEL, number, None, is_heading=True))
            return
        level, marker_end = _level_of(line)
        lead = self._lead_of(level, number) if level != ROW_LEVEL or not _LABELLED_CELL.search(line) else None
        first = len(self.units)
        for offset, sentence in _sentences(line, marker_end, whole=level == ROW_LEVEL):
            proviso = len(self.units) > first and _CONTINUATION.match(sentence) is not None
            hangs_from = len(self.units) - 1 if proviso else lead
            self.units.append(Unit(sentence, start + offset, level, number, hangs_from, self._heading, proviso))
        self._above += range(first, len(self.units))

    def _lead_of(self, level: int, number: int) -> int | None:
        """The announcing unit above a line of this level; the first row of a table announces the others."""
        last = self.units[-1] if self.units else None
        if level == ROW_LEVEL and last is not None and last.level == ROW_LEVEL and last.line == number - 1:
            return last.lead if last.lead is not None else len(self.units) - 1
        self._above = [index for index in self._above if self.units[index].level < level]
        return _announcing(self.units, self._above) if PROSE_LEVEL < level < ROW_LEVEL else None


def _lines(passage: str) -> Iterator[tuple[int, str]]:
    """Each line that says something, with its place; the pipes around a row and the rule under its head are no text."""
    place = 0
    for raw in passage.splitlines(keepends=True):
        line = raw.strip()
        if line and not _ROW_RULE.match(line):
            start = place + raw.index(line)
            if _ROW.match(line):
                inner = line.strip("|").strip()
                start += line.index(inner)
                line = inner if "|" in inner else line
            if line:
                yield start, line
        place += len(raw)


def _unwrapped(passage: str, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Lines that a page broke in mid-sentence are one line again; their text stays as it stands in the passage."""
    start, end = 0, 0
    for place, line in lines:
        held = passage[start:end]
        last = held.rpartition("\n")[2]
        if end and _is_wrapped(last, line) and "\n\n" not in passage[end:place]:
            end = place + len(line)
            continue
        if end:
            yield start, held
        start, end = place, place + len(line)
    if end:
        yield start, passage[start:end]


def _is_wrapped(line: str, following: str) -> bool:
    breaks_off = len(line) >= _WRAPPED_LINE_CHARACTERS and _OPEN_END.search(line) is not None
    starts_anew = (
        _HEADING.match(following) or _level_of(following) != (PROSE_LEVEL, 0) or _LABELLED_CELL.search(following)
    )
    return breaks_off and not starts_anew and " | " not in line and not line.endswith(("다", "요", "함", "됨", "임"))


def _level_of(line: str) -> tuple[int, int]:
    """The depth of a line and where its marker ends."""
    for level, form in _ITEM_FORMS:
        if marker := form.match(line):
            return level, marker.end()
    is_row = " | " in line or (_LABELLED_CELL.search(line) and not _SENTENCE_END.search(line))
    return (ROW_LEVEL if is_row else PROSE_LEVEL), 0


def _sentences(line: str, marker_end: int, *, whole: bool) -> Iterator[tuple[int, str]]:
    """The sentences of a line with their places, revision notes cut off."""
    ends = [] if whole else _outside_brackets(line, [end.end() for end in _SENTENCE_END.finditer(line, marker_end)])
    start = 0
    for end in [*(end for end in ends if end > _SHORTEST_SENTENCE), len(line)]:
        for offset, part in _without_notes(line[start:end]):
            if part and not _DELETED.match(part) and any(map(str.isalnum, part)):
                yield start + offset, part
        start = max(start, end)


def _outside_brackets(line: str, ends: list[int]) -> list[int]:
    """Statutes put whole sentences in brackets; those end nothing. Brackets that never close are ignored."""
    if line.count("(") != line.count(")"):
        return ends
    outside, depth, place = [], 0, 0
    for end in ends:
        depth += line.count("(", place, end) - line.count(")", place, end)
        place = end
        if depth <= 0:
            outside.append(end)
    return outside


def _without_notes(stretch: str) -> Iterator[tuple[int, str]]:
    place = 0
    for note in _NOTE.finditer(stretch):
        yield _stripped(stretch, place, note.start())
        place = note.end()
    yield _stripped(stretch, place, len(stretch))


def _stripped(stretch: str, start: int, end: int) -> tuple[int, str]:
    part = stretch[start:end]
    return start + len(part) - len(part.lstrip()), part.strip()


def _announcing(units: list[Unit], parents: list[int]) -> int | None:
    """Of the nearest line above, the sentence that announces a list; else its first sentence."""
    if not parents:
        return None
    same_line = [index for index in parents if units[index].line == units[parents[-1]].line]
    announcing = [index for index in same_line if _ANNOUNCEMENT.search(units[index].text)]
    return (announcing or same_line)[0]
