"""Statutes as drafts of passages: an article is a passage, a long one is split at 항, then 호, then 목.

Works on a document whose headings are 편, 장, 절, 관 and `제N조 (제목)`. Addenda (부칙) are left out, because they
repeat old amounts, and so are deleted articles. Knows neither formats nor the index.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from llm_service.retrieval.draft import PassageDraft, searchable_text, without_revision_notes
from llm_service.retrieval.labels import Labels
from llm_service.retrieval.loaders.content import Block, LoadedDocument
from llm_service.retrieval.sentences import pack, split_long

MAX_PASSAGE_CHARACTERS = 800
MAX_REPEATED_LEAD_CHARACTERS = 300
"""The sentence that opens a list ("다음 각 호의 …") is repeated on each part of the list unless it is longer than
this."""

ARTICLE_HEADING = re.compile(r"(제\d+조(?:의\d+)?)\s*(?:\((.*)\))?\s*")
_MARKS = (
    re.compile(r"(?P<mark>[①-⑳㉑-㉟㊱-㊿])\s*"),
    re.compile(r"(?P<mark>\d{1,3}(?:의\d+)?)\.\s"),
    re.compile(r"(?P<mark>[가-힣])\.\s"),
    re.compile(r"(?P<mark>\d{1,3})\)\s"),
)
_MARK_NAMES = ("제{}항", "제{}호", "{}목", "{})")
_DOUBLED_MARK = re.compile(r"([①-⑳㉑-㉟㊱-㊿])\s*\1\s*")
_DELETED = re.compile(r"\s*삭제\s*(?:<[^<>]*>)?\s*")
_IMAGE_TAG = re.compile(r"</?img[^<>]*>", re.IGNORECASE)
_BOX_RULE = re.compile(r"[\s─-╿]+")
_REPEALS = "폐지한다"


@dataclass(frozen=True)
class Article:
    """One article: `number` is `제4조의2`, `lines` its text line by line, marks included."""

    number: str
    heading: str | None
    heading_path: tuple[str, ...]
    page: int | None
    lines: tuple[str, ...]

    @property
    def head(self) -> str:
        """The article as it opens in print: `제4조(금융거래의 비밀보장)`."""
        return f"{self.number}({self.heading})" if self.heading else self.number


@dataclass
class _Unit:
    """A 항, 호, 목 or point: its own lines, and what stands below it."""

    level: int
    mark: str
    lines: list[str]
    children: list["_Unit"] = field(default_factory=list)

    def all_lines(self) -> list[str]:
        return self.lines + [line for child in self.children for line in child.all_lines()]


@dataclass(frozen=True)
class _Part:
    """A part of a split article: what it is called, and its lines."""

    clause: str | None
    lines: tuple[str, ...]


def is_statute(document: LoadedDocument) -> bool:
    """True for the law portal's texts: front matter that names a law, and articles as headings."""
    return "법령구분" in document.properties and any(map(_is_article_heading, document.blocks))


def is_repealing_act(document: LoadedDocument) -> bool:
    """True if the only article is a 제0조 that repeals the law: the text is no law in force, whatever its file says."""
    articles = list(articles_of(document.blocks))
    return len(articles) == 1 and articles[0].number == "제0조" and any(_REPEALS in line for line in articles[0].lines)


def draft_articles(blocks: Sequence[Block], title: str, labels: Labels) -> list[PassageDraft]:
    """The articles in force, in order; each draft knows its article, 항, title and chapter."""
    drafts: list[PassageDraft] = []
    for article in articles_of(blocks):
        parts = _parts(article)
        parent = len(drafts) if len(parts) > 1 else None
        for part in parts:
            text = "\n".join((article.head, *part.lines))
            draft = PassageDraft(
                text=text,
                header=f"{title} {article.head}",
                label=labels.article(title, article.number, part.clause),
                heading_path=article.heading_path,
                article=article.number,
                clause=part.clause,
                page=article.page,
                parent=parent,
            )
            if searchable_text(text):
                drafts.append(draft)
    return drafts


def articles_of(blocks: Sequence[Block]) -> Iterator[Article]:
    """Articles that are not deleted, without the addenda."""
    path: list[tuple[int, str]] = []
    current: Article | None = None
    lines: list[str] = []
    in_addenda = False
    for block in blocks:
        if block.kind != "heading":
            if current is not None:
                lines.append(block.text)
            continue
        yield from _finished(current, lines)
        current, lines = None, []
        heading = " ".join(without_revision_notes(block.text).split())
        match = ARTICLE_HEADING.fullmatch(heading)
        if match is None:
            path = [*((level, name) for level, name in path if level < block.level), (block.level, heading)]
            in_addenda = heading.replace(" ", "").startswith("부칙")
        elif not in_addenda:
            chapters = tuple(name for level, name in path if level > 1)
            current = Article(match[1], match[2], chapters, block.page, ())
    yield from _finished(current, lines)


def _finished(article: Article | None, lines: list[str]) -> Iterator[Article]:
    if article is None:
        return
    cleaned = tuple(filter(None, map(_clean_line, lines)))
    if cleaned and not all(_DELETED.fullmatch(line) for line in cleaned):
        yield replace(article, lines=cleaned)


def _is_article_heading(block: Block) -> bool:
    return block.kind == "heading" and ARTICLE_HEADING.fullmatch(block.text) is not None


def _clean_line(line: str) -> str:
    line = _IMAGE_TAG.sub("", line)
    if _BOX_RULE.fullmatch(line):
        return ""
    if "│" in line:
        line = " | ".join(" ".join(cell.split()) for cell in line.strip(" \t│").split("│"))
    return _DOUBLED_MARK.sub(r"\1 ", line.strip())


def _parts(article: Article) -> list[_Part]:
    if sum(map(len, article.lines)) <= MAX_PASSAGE_CHARACTERS:
        return [_Part(None, article.lines)]
    lead, units = _outline(article.lines)
    return list(_split_list(lead, units, prefix="", outer=()))


def _split_list(lead: list[str], units: list[_Unit], prefix: str, outer: tuple[str, ...]) -> Iterator[_Part]:
    """A list as parts of at most MAX_PASSAGE_CHARACTERS each, its opening sentence repeated on every part."""
    repeated = outer
    if units and sum(map(len, lead)) <= MAX_REPEATED_LEAD_CHARACTERS:
        repeated = (*outer, *lead)
    elif lead:
        for piece in split_long(lead, MAX_PASSAGE_CHARACTERS):
            yield _Part(prefix or None, (*outer, *piece))
    room = max(MAX_PASSAGE_CHARACTERS - sum(map(len, repeated)), MAX_PASSAGE_CHARACTERS // 2)
    for group in pack(units, room, lambda unit: sum(map(len, unit.all_lines()))):
        first, last = group[0], group[-1]
        names = _name(first) if first is last else f"{_name(first)}~{_name(last)}"
        clause = f"{prefix} {names}".strip()
        lines = [line for unit in group for line in unit.all_lines()]
        if first is last and sum(map(len, lines)) > room:
            yield from _split_list(first.lines, first.children, clause, repeated)
        else:
            yield _Part(clause, (*repeated, *lines))


def _outline(lines: Sequence[str]) -> tuple[list[str], list[_Unit]]:
    """The lines before the first mark, and the marked ones as a tree; an unmarked line belongs to the unit before
    it."""
    lead: list[str] = []
    roots: list[_Unit] = []
    stack: list[_Unit] = []
    for line in lines:
        unit = _marked(line)
        if unit is None:
            (stack[-1].lines if stack else lead).append(line)
            continue
        while stack and stack[-1].level >= unit.level:
            stack.pop()
        (stack[-1].children if stack else roots).append(unit)
        stack.append(unit)
    return lead, roots


def _marked(line: str) -> _Unit | None:
    for level, pattern in enumerate(_MARKS):
        if match := pattern.match(line):
            return _Unit(level, match["mark"], [line])
    return None


def _name(unit: _Unit) -> str:
    mark = str(_circled_number(unit.mark)) if unit.level == 0 else unit.mark
    number, _, branch = mark.partition("의")
    name = _MARK_NAMES[unit.level].format(number)
    return f"{name}의{branch}" if branch else name


def _circled_number(mark: str) -> int:
    code = ord(mark)
    for first, start in ((0x2460, 1), (0x3251, 21), (0x32B1, 36)):
        if first <= code < first + 20:
            return code - first + start
    raise ValueError("not a circled number")
