"""Verifies an export of the audit without the platform it came from: JSONL or CSV, of the console or of the command.

That the newest rows of a file are missing shows only beside a position and hash that were kept elsewhere.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TextIO

from llm_service.errors import InvalidInput
from llm_service.store import audit
from llm_service.store.models import AuditEvent

FORMULA_SIGNS: Final = ("'=", "'+", "'-", "'@", "'\t", "'\r")
"""How a cell begins that a spreadsheet would have taken for a formula."""


@dataclass(frozen=True)
class Exported:
    """What came of an export, and whether the row that was kept elsewhere is in it."""

    verification: audit.Verification
    has_kept_row: bool


def verify_file(path: Path, kept: tuple[int, str] | None = None) -> Exported:
    """Compute the hashes of an export again. Raises `InvalidInput` (audit_export_unreadable)."""
    with path.open(encoding="utf-8", newline="") as file:
        try:
            events = list(_events(file))
        except (ValueError, KeyError, TypeError):
            raise InvalidInput("audit_export_unreadable", "the file is no export of the audit") from None
    if not events:
        raise InvalidInput("audit_export_unreadable", "the file has no rows")
    first = events[0].position
    before = audit.GENESIS_SHA256 if first == 1 else None
    rows = {(event.position, event.sha256) for event in events}
    return Exported(audit.followed(events, first - 1, before), kept is None or kept in rows)


def _events(file: TextIO) -> Iterator[AuditEvent]:
    is_jsonl = file.read(1) == "{"
    file.seek(0)
    if is_jsonl:
        for line in file:
            yield _event(json.loads(line))
        return
    for cells in csv.DictReader(file):
        row = {name: value[1:] if value.startswith(FORMULA_SIGNS) else value for name, value in cells.items()}
        yield _event(row | {"details": json.loads(row["details"])})


def _event(row: Mapping[str, Any]) -> AuditEvent:
    return AuditEvent(
        position=int(row["position"]),
        at=datetime.fromisoformat(row["at"]),
        actor=row["actor"],
        action=row["action"],
        subject_kind=row["subject_kind"],
        subject_id=row["subject_id"],
        details=row["details"],
        sha256=row["sha256"],
    )
