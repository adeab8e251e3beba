"""The audit: who did what when, filtered; the chain verified; the rows handed out with it as JSONL or CSV."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, Response, StreamingResponse

from admin.access import Acting
from admin.logins import Person
from admin.parts import Parts, parts_of
from admin.people import by_every_name, key_of
from admin.rendering import page
from llm_service.client import AuditEvent, AuditVerification
from llm_service.store import console

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
ROWS_PER_PAGE: Final = 50
Action = Annotated[str, Query(pattern=r"^$|^[a-z_]{1,32}\.[a-z_]{1,31}$")]
Account = Annotated[str, Query(pattern=r"^([0-9a-f]{32})?$")]
COLUMNS: Final = ("position", "at", "actor", "action", "subject_kind", "subject_id", "details", "sha256")
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r")


@router.get("/audit", name="audit")
async def audit(
    request: Request,
    parts: PartsHere,
    person: Acting,
    action: Action = "",
    account: Account = "",
    before: int | None = None,
) -> HTMLResponse:
    """The newest rows first; htmx asks for the rows that follow, which are the same page's."""
    actors = [account, key_of(parts, account)] if account else []
    events, people = await asyncio.gather(
        parts.llm_service.audit_events(action or None, before, ROWS_PER_PAGE + 1, actors),
        parts.transactions.read(console.names_of),
    )
    return _audit_page(request, parts, person, people, events, action=action, account=account)


@router.post("/audit/verify", name="verify_audit")
async def verify_audit(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    """Compute the chain again and say whether it holds."""
    verification = await parts.llm_service.verify_audit()
    events, people = await asyncio.gather(
        parts.llm_service.audit_events(None, None, ROWS_PER_PAGE + 1), parts.transactions.read(console.names_of)
    )
    return _audit_page(request, parts, person, people, events, verification=verification)


@router.get("/audit/export", name="export_audit")
async def export_audit(parts: PartsHere, person: Acting, format: Literal["jsonl", "csv"] = "jsonl") -> Response:
    """Every row in the order of the chain, with its hash; the export itself is a row of the audit."""
    media_type = "application/x-ndjson" if format == "jsonl" else "text/csv; charset=utf-8"
    line_of = _json_line if format == "jsonl" else _csv_line
    headers = {"Content-Disposition": f'attachment; filename="haechi-audit.{format}"'}
    noted = partial(
        console.note,
        actor=key_of(parts, person.account_id),
        action="audit.exported",
        kind="audit",
        subject="chain",
        details={"format": format},
    )
    await parts.transactions.run(noted)
    first = "" if format == "jsonl" else _csv_row(COLUMNS)
    return StreamingResponse(_lines(parts, line_of, first), media_type=media_type, headers=headers)


def _audit_page(
    request: Request,
    parts: Parts,
    person: Person,
    people: Mapping[str, str],
    events: Sequence[AuditEvent],
    *,
    action: str = "",
    account: str = "",
    verification: AuditVerification | None = None,
) -> HTMLResponse:
    return page(
        request,
        "audit.html",
        person,
        events=events[:ROWS_PER_PAGE],
        has_more=len(events) > ROWS_PER_PAGE,
        action=action,
        account=account,
        people=sorted(people.items(), key=lambda named: named[1]),
        names=by_every_name(parts, people),
        verification=verification,
    )


async def _lines(parts: Parts, line_of: Callable[[AuditEvent], str], first: str) -> AsyncIterator[str]:
    yield first
    after = -1
    while rows := await parts.llm_service.export_audit(after):
        for row in rows:
            yield line_of(row)
        after = rows[-1].position


def _json_line(event: AuditEvent) -> str:
    return json.dumps(asdict(event), ensure_ascii=False, sort_keys=True) + "\n"


def _csv_line(event: AuditEvent) -> str:
    told = asdict(event) | {"details": json.dumps(event.details, ensure_ascii=False, sort_keys=True)}
    return _csv_row([_inert(str(told[column])) for column in COLUMNS])


def _csv_row(values: Sequence[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(values)
    return written.getvalue()


def _inert(value: str) -> str:
    """A spreadsheet would take some beginnings for a formula (OWASP, "CSV Injection")."""
    return f"'{value}" if value.startswith(FORMULA_SIGNS) else value
