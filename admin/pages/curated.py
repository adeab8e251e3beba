"""Curated examples: what is approved, handed out as a file; what a file would bring, looked at before it is taken in.

Between preview and confirmation nothing is kept, here or elsewhere: the rows travel with the page.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Final

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from admin.access import Acting
from admin.errors import Declined
from admin.pages.choices import KINDS
from admin.parts import Parts, parts_of
from admin.people import learning_of, names
from admin.rendering import back, page
from llm_service.learning_client import ImportRow

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
ITEMS_PER_PAGE: Final = 30
IMPORTED_KINDS: Final = ("curated", "general")
EXPORT_NAME: Final = "haechi-examples.jsonl"
MAXIMUM_FILE_BYTES: Final = 524_288
MAXIMUM_ROWS: Final = 500
FILE_NAME: Final = r"^[^\x00-\x1f/\\]{1,96}$"
LICENCE: Final = r"^[A-Za-z0-9][A-Za-z0-9._+ -]{0,63}$"


class Row(BaseModel):
    """A row as the preview's page carries it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    number: Annotated[int, Field(ge=1, le=MAXIMUM_ROWS)]
    question: str
    answer: str
    category: str


ROWS: Final = TypeAdapter(Annotated[list[Row], Field(min_length=1, max_length=MAXIMUM_ROWS)])


@router.get("/curated", name="curated")
async def curated(
    request: Request,
    parts: PartsHere,
    person: Acting,
    kind: str = "",
    after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None,
) -> HTMLResponse:
    """Approved examples, the oldest first."""
    learning = learning_of(parts, person)
    kinds = [kind] if kind in KINDS else []
    items, counts, people = await asyncio.gather(
        learning.review_items(["approved"], kinds, ITEMS_PER_PAGE + 1, after),
        learning.review_counts(["approved"]),
        names(parts),
    )
    return page(
        request,
        "curated.html",
        person,
        items=items[:ITEMS_PER_PAGE],
        has_more=len(items) > ITEMS_PER_PAGE,
        approved=counts.get("approved", 0),
        kind=kind if kinds else "",
        kinds=KINDS,
        imported_kinds=IMPORTED_KINDS,
        maximum_rows=MAXIMUM_ROWS,
        maximum_kilobytes=MAXIMUM_FILE_BYTES // 1024,
        names=people,
    )


@router.get("/curated/export", name="export_examples")
async def export_examples(parts: PartsHere, person: Acting) -> Response:
    """Every approved pair as JSONL, streamed; llm_service writes the audit row before the first line."""
    pieces = learning_of(parts, person).approved_examples()
    # Asked for here, so that a refusal becomes a page and not a broken file.
    first = await anext(pieces, b"")
    headers = {"Content-Disposition": f'attachment; filename="{EXPORT_NAME}"'}
    return StreamingResponse(_from(first, pieces), media_type="application/x-ndjson", headers=headers)


@router.post("/curated/preview", name="preview_import")
async def preview_import(
    request: Request,
    parts: PartsHere,
    person: Acting,
    file: Annotated[UploadFile, File()],
    kind: Annotated[str, Form()],
    licence: Annotated[str, Form(pattern=LICENCE)],
) -> HTMLResponse:
    """What the file would bring, row by row. Nothing is kept."""
    content = await file.read()
    if kind not in IMPORTED_KINDS or not content:
        raise Declined("invalid_request", 422)
    if len(content) > MAXIMUM_FILE_BYTES:
        raise Declined("curated_too_large", 413)
    found = await learning_of(parts, person).preview_import(_name_of(file.filename), content)
    good = [row for row in found.rows if row.problem is None]
    carried = [{field: getattr(row, field) for field in Row.model_fields} for row in good]
    return page(
        request,
        "curated_preview.html",
        person,
        preview=found,
        good=good,
        carried=json.dumps(carried, ensure_ascii=False),
        kind=kind,
        licence=licence,
    )


@router.post("/curated/import", name="import_examples")
async def import_examples(
    parts: PartsHere,
    person: Acting,
    name: Annotated[str, Form(pattern=FILE_NAME)],
    kind: Annotated[str, Form()],
    licence: Annotated[str, Form(pattern=LICENCE)],
    rows: Annotated[str, Form(max_length=2 * MAXIMUM_FILE_BYTES)],
) -> Response:
    """Take the previewed rows into the queue; each is checked again, and two people approve it."""
    try:
        read = ROWS.validate_json(rows)
    except ValidationError:
        raise Declined("invalid_request", 422) from None
    if kind not in IMPORTED_KINDS:
        raise Declined("invalid_request", 422)
    sent = [ImportRow(**row.model_dump(), problem=None, types=[]) for row in read]
    await learning_of(parts, person).import_examples(name, kind, licence, sent)
    return back(f"/reviews?kind={kind}", "examples_imported")


async def _from(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    async with aclosing(pieces):
        yield first
        async for piece in pieces:
            yield piece


def _name_of(filename: str | None) -> str:
    """The last part of what the browser says, without what a name may not have."""
    last = (filename or "").replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable())[-96:] or "unnamed"
