"""How a person cites a passage; the wording is data (`data/citation_labels.yaml`). Knows nothing of how passages are
made."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import yaml

MAX_LABEL_CHARACTERS = 480
MAX_HEADING_CHARACTERS = 80
_WORDING_FILE = Path(__file__).parent / "data" / "citation_labels.yaml"


class Labels:
    """Labels of one document's passages: 「은행법」 제30조의2 제1항 (시행 2026-07-01); 「수수료표」 송금 > 창구, p.
    3."""

    def __init__(self, in_force_from: date | None) -> None:
        """`in_force_from` is said in a label only of documents that state it themselves, as laws do."""
        wording: dict[str, str] = yaml.safe_load(_WORDING_FILE.read_text(encoding="utf-8"))
        self._wording = wording
        self._in_force = wording["in_force"].format(date=in_force_from.isoformat()) if in_force_from else ""

    def article(self, title: str, article: str, clause: str | None) -> str:
        """A passage of a statute."""
        parts = (self._wording["title"].format(title=title), article, clause, self._in_force)
        return _cut(" ".join(filter(None, parts)), MAX_LABEL_CHARACTERS)

    def section(
        self,
        title: str,
        heading_path: Sequence[str],
        page: int | None = None,
        slide: int | None = None,
        sheet: str | None = None,
        rows: tuple[int, int] | None = None,
    ) -> str:
        """A passage of any other document: where its reader finds it."""
        place: list[str] = []
        if page is not None:
            place.append(self._wording["page"].format(page=page))
        if slide is not None:
            place.append(self._wording["slide"].format(slide=slide))
        if sheet is not None:
            place.append(self._wording["sheet"].format(sheet=_cut(sheet, MAX_HEADING_CHARACTERS)))
        if rows is not None:
            first, last = rows
            name = "row" if first == last else "rows"
            place.append(self._wording[name].format(first=first, last=last))
        headings = " > ".join(_cut(heading, MAX_HEADING_CHARACTERS) for heading in heading_path)
        named = " ".join(filter(None, (self._wording["title"].format(title=title), headings)))
        return ", ".join((_cut(named, MAX_LABEL_CHARACTERS - 100), *place))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
