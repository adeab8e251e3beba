"""What a loaded document is: title, kind, series, since when it is in force. Knows neither passages nor the store."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from llm_service.retrieval.loaders.content import LoadedDocument
from llm_service.retrieval.manifest import Declaration
from llm_service.retrieval.statutes import is_statute

KOREAN_TIME = timezone(timedelta(hours=9))
MAX_TITLE_CHARACTERS = 300
LOOKED_AT_BLOCKS = 15
LAW_KIND = "law"
QUESTIONS_KIND = "faq"
OTHER_KIND = "document"

_KINDS_FILE = Path(__file__).parent / "data" / "document_kinds.yaml"
_DATE_PROPERTIES = ("시행일자", "시행일", "적용일", "in_force_from", "effective_date")
_WRITTEN_DATE = re.compile(r"(\d{4})\s*[-./년]\s*(\d{1,2})\s*[-./월]\s*(\d{1,2})")
_IN_FORCE_LINE = re.compile(rf"시행일자?\s*[:：]?\s*{_WRITTEN_DATE.pattern}")
# Only values of these forms are kept: a front matter is written by anyone, and details are not masked.
_DETAILS = {
    "법령ID": ("law_id", re.compile(r"\d{4,8}")),
    "법령MST": ("law_edition_id", re.compile(r"\d{1,9}")),
    "법령구분": ("law_level", re.compile(r"[가-힣]{1,12}")),
    "공포일자": ("promulgated", re.compile(r"\d{4}-\d{2}-\d{2}")),
    "공포번호": ("promulgation_number", re.compile(r"\d{1,6}")),
    "출처": ("origin", re.compile(r"https://www\.law\.go\.kr/[가-힣/]{1,200}")),
}


@dataclass(frozen=True)
class Identity:
    """`date_is_stated` is False when nothing says since when the document applies and the day of ingestion stands
    in."""

    title: str
    kind: str
    series: str
    in_force_from: date
    date_is_stated: bool
    details: Mapping[str, Any]


def identify(path: str, document: LoadedDocument, declared: Declaration, today: date) -> Identity:
    """What people declared comes first, then what the document says, then its file name and today."""
    title = declared.title or document.title or PurePosixPath(path).stem.replace("_", " ")
    title = " ".join(title.split())[:MAX_TITLE_CHARACTERS]
    law = is_statute(document)
    stated = declared.in_force_from or _stated_date(document)
    details = {
        name: document.properties[field]
        for field, (name, form) in _DETAILS.items()
        if law and form.fullmatch(document.properties.get(field, ""))
    }
    return Identity(
        title=title,
        kind=LAW_KIND if law else _kind(document, title, path),
        series=_law_series(details, title) if law else f"path:{path}",
        in_force_from=stated or today,
        date_is_stated=stated is not None,
        details=details,
    )


def korean_today() -> date:
    """The day it is in Korea, where the law is in force by Korean days."""
    return datetime.now(KOREAN_TIME).date()


def _law_series(details: Mapping[str, str], title: str) -> str:
    if "law_id" in details:
        return f"law:{details['law_id']}"
    named = f"{title}|{details.get('law_level', '')}"
    return f"law:{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def _kind(document: LoadedDocument, title: str, path: str) -> str:
    if document.format == "qa":
        return QUESTIONS_KIND
    named = f"{title} {path}".lower()
    return next(
        (kind for kind, words in _kind_words().items() if any(word.lower() in named for word in words)), OTHER_KIND
    )


@cache
def _kind_words() -> dict[str, list[str]]:
    words: dict[str, list[str]] = yaml.safe_load(_KINDS_FILE.read_text(encoding="utf-8"))
    return words


def _stated_date(document: LoadedDocument) -> date | None:
    for name in _DATE_PROPERTIES:
        if name in document.properties:
            return _date_of(_WRITTEN_DATE.search(document.properties[name]))
    for block in document.blocks[:LOOKED_AT_BLOCKS]:
        if found := _date_of(_IN_FORCE_LINE.search(block.text)):
            return found
    return None


def _date_of(match: re.Match[str] | None) -> date | None:
    if match is None:
        return None
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        return None
