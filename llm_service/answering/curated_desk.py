"""Approved pairs on their way out, curated files on their way in: looked at first, kept only when somebody confirms.

A row with personal data is an error of that row: nothing is masked on the quiet, and nothing of it is shown. What is
taken in is a draft like any other, which two people approve.
"""

import hashlib
import json
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.answering.curated_file import LONGEST_CHARACTERS, SHORTEST_CHARACTERS, read_rows, slug
from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.text_rules import require_readable
from llm_service.errors import InvalidInput
from llm_service.learning_client import ImportPreview, ImportReport, ImportRow
from llm_service.masked import MaskedText, RawText
from llm_service.masking.placeholders import PLACEHOLDER
from llm_service.store import audit, examples, review
from llm_service.store.learning_models import ReviewItem
from llm_service.store.review import Draft
from llm_service.store.transactions import Transactions

MAXIMUM_ROWS: Final = 500
PAGE_ROWS: Final = 200
Place = tuple[datetime, str]
"""Where a page of approved pairs ends: when the last was approved, and its id."""


@dataclass(frozen=True)
class _Checked:
    """A row that may be kept, masked as it was, or why not."""

    question: MaskedText | None = None
    answer: MaskedText | None = None
    problem: str | None = None
    types: tuple[str, ...] = ()


class CuratedDesk:
    """Previews, takes in and hands out. `person` is a keyed hash."""

    def __init__(self, transactions: Transactions, masking: MaskingDesk) -> None:
        self._transactions = transactions
        self._masking = masking

    async def preview(self, name: str, content: bytes) -> ImportPreview:
        """What a file would bring, row by row; nothing is kept.

        Raises `InvalidInput` (curated_file_unreadable), `TooLarge` (curated_too_many) and `MaskingUnavailable`.
        """
        shown = []
        for row in read_rows(name, content, MAXIMUM_ROWS):
            if row.problem is not None:
                shown.append(ImportRow(row.number, "", "", "", row.problem, []))
                continue
            checked = await self._checked(row.question, row.answer)
            is_good = checked.problem is None
            shown.append(
                ImportRow(
                    row.number,
                    row.question if is_good else "",
                    row.answer if is_good else "",
                    slug(row.category),
                    checked.problem,
                    list(checked.types),
                )
            )
        return ImportPreview(name, hashlib.sha256(content).hexdigest(), shown)

    async def take_in(self, person: str, name: str, kind: str, licence: str, rows: Sequence[ImportRow]) -> ImportReport:
        """Put previewed rows into the queue, all of them or none; each is looked at again.

        Raises `InvalidInput` (import_row_refused) where one may not be kept, and `MaskingUnavailable`.
        """
        drafts = []
        for row in rows:
            checked = await self._checked(row.question, row.answer)
            if checked.question is None or checked.answer is None:
                raise InvalidInput("import_row_refused", f"row {row.number} may not be kept: {checked.problem}")
            tags = (f"category_{row.category}",) if row.category else ()
            group = f"{name}:{row.number}"
            drafts.append(Draft(kind, checked.question, checked.answer, person, group, licence, tags))
        return await self._transactions.run(partial(_take_in, person=person, drafts=drafts))

    async def exported(self, person: str) -> AsyncGenerator[str]:
        """Every approved pair as a line of JSON in the form of chats; one audit row before the first line."""
        await self._transactions.run(partial(_note_export, person=person))
        page = await self._transactions.read(partial(_page, after=None))
        while page:
            for _, line in page:
                yield line
            page = await self._transactions.read(partial(_page, after=page[-1][0]))

    async def _checked(self, question: str, answer: str) -> _Checked:
        masked = []
        types: set[str] = set()
        for text in (question, answer):
            if not SHORTEST_CHARACTERS <= len(text) <= LONGEST_CHARACTERS:
                return _Checked(problem="too_long" if len(text) > LONGEST_CHARACTERS else "too_short")
            try:
                require_readable(RawText(text))
            except InvalidInput as error:
                return _Checked(problem=error.code)
            kept = frozenset(match[0] for match in PLACEHOLDER.finditer(text))
            found = (await self._masking.mask_edit(RawText(text), kept)).masked
            types.update(found.counts)
            masked.append(found.text)
        if types:
            return _Checked(problem="personal_data", types=tuple(sorted(types)))
        return _Checked(masked[0], masked[1])


def _take_in(session: Session, person: str, drafts: Sequence[Draft]) -> ImportReport:
    ids = [review.add_draft(session, draft) for draft in drafts]
    report = ImportReport(added=sum(one is not None for one in ids), known=sum(one is None for one in ids))
    details = {"rows": len(drafts), "added": report.added, "known": report.known}
    audit.record(session, person, "examples.imported", "examples", "curated", details)
    return report


def _note_export(session: Session, person: str) -> None:
    details = {"examples": examples.approved_count(session)}
    audit.record(session, person, "examples.exported", "examples", "approved", details)


def _page(session: Session, after: Place | None) -> list[tuple[Place, str]]:
    """Lines with their places; each is told from the columns that the order goes by."""
    lines = []
    for item in examples.approved_page(session, after, PAGE_ROWS):
        assert item.second_approved_at is not None, "a constraint of the table"
        lines.append(((item.second_approved_at, item.id), _line(item)))
    return lines


def _line(item: ReviewItem) -> str:
    told = {
        "id": item.id,
        "messages": [
            {"role": "user", "content": item.proposed_question},
            {"role": "assistant", "content": item.proposed_answer},
        ],
        "kind": item.kind,
        "tags": item.tags,
        "licence": item.licence,
        "locale": item.locale,
        "sources": [source.get("label", "") for source in item.sources],
        "approved_at": item.second_approved_at.isoformat() if item.second_approved_at else None,
    }
    return json.dumps(told, ensure_ascii=False) + "\n"
