"""A passage before it is masked and stored, and which part of its text is searched.

Knows neither formats nor the index; `chunking.py` makes drafts, `ingest.py` masks and stores them.
"""

import re
from dataclasses import dataclass

QUESTION_MARK = "Q. "
ANSWER_MARK = "A. "

_HEAD_LINE = re.compile(rf"\A(?:제\d+조(?:의\d+)?(?:\([^\n]*\))?|{re.escape(QUESTION_MARK)}[^\n]*)(?:\n|$)")
_REVISION_NOTE = re.compile(
    r"\s*<(?=[^<>]*\d{4}\s*\.\s*\d)[^<>]*>|\s*\[(?:시행일|본조신설|전문개정|제목개정|종전|법률 제)[^\[\]\n]*\]"
)
_DELETED_LINE = re.compile(
    r"^[ \t]*(?:[①-⑳㉑-㉟㊱-㊿]|\d+(?:의\d+)?\.|[가-힣]\.|\d+\))?[ \t]*삭제[ \t]*$\n?", re.MULTILINE
)


@dataclass(frozen=True)
class PassageDraft:
    """A passage as the file has it, unmasked.

    `text` is shown and quoted; it opens with a head line (`제4조(금융거래의 비밀보장)`, `Q. …`) where there is one.
    `header` is searched with it. `clause` says which part of an article it is (`제1항`, `제1항 제2호~제4호`), None for
    a whole article. `parent` is the place, within the document, of the first part of the same article or section; None
    if it was not split.
    """

    text: str
    header: str
    label: str
    heading_path: tuple[str, ...] = ()
    article: str | None = None
    clause: str | None = None
    page: int | None = None
    parent: int | None = None


def searchable_text(text: str) -> str:
    """What is searched of a passage's text besides its header: no head line (the header has it), no revision notes
    (`<개정 2024.1.1>`: dates nobody asks for), no lines that only say 삭제."""
    return _DELETED_LINE.sub("", without_revision_notes(_HEAD_LINE.sub("", text, count=1))).strip()


def without_revision_notes(text: str) -> str:
    """A heading or sentence of a statute without the notes of when it was amended."""
    return _REVISION_NOTE.sub("", text)
