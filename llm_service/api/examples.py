"""Examples in files: approved pairs handed out line by line, curated files looked at and, when confirmed, taken in."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, File, UploadFile, status
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from llm_service.answering.curated_desk import MAXIMUM_ROWS
from llm_service.answering.curated_file import LONGEST_CHARACTERS
from llm_service.api.acting import MayDraft, MayExportExamples
from llm_service.api.dependencies import ServiceParts
from llm_service.api.review import Kind
from llm_service.learning_client import ImportRow

router = APIRouter(prefix="/v1/examples", tags=["examples"])

Text = Annotated[str, Field(min_length=1, max_length=LONGEST_CHARACTERS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class RowBody(_Body):
    """One row as the preview showed it."""

    number: Annotated[int, Field(ge=1, le=MAXIMUM_ROWS)]
    question: Text
    answer: Text
    category: Annotated[str, Field(pattern=r"^[a-z0-9_]{0,20}$")] = ""


class ImportBody(_Body):
    """Rows to take in; `name` is the file's, and keeps each row in a group of its own."""

    name: Annotated[str, Field(pattern=r"^[^\x00-\x1f/\\]{1,96}$")]
    kind: Kind
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+ -]{0,63}$")]
    rows: Annotated[list[RowBody], Field(min_length=1, max_length=MAXIMUM_ROWS)]


@router.get("/approved")
async def approved(parts: ServiceParts, person: MayExportExamples) -> StreamingResponse:
    """Every approved pair, a line of JSON each; that they were handed out is an audit row."""
    return StreamingResponse(parts.curated.exported(person.key), media_type="application/x-ndjson")


@router.post("/preview")
async def preview(parts: ServiceParts, person: MayDraft, file: Annotated[UploadFile, File()]) -> dict[str, Any]:
    """What a curated file would bring, row by row, with what is wrong; nothing is kept."""
    return asdict(await parts.curated.preview(file.filename or "", await file.read()))


@router.post("/import", status_code=status.HTTP_201_CREATED)
async def take_in(body: ImportBody, parts: ServiceParts, person: MayDraft) -> dict[str, Any]:
    """Put rows into the review queue, all or none; each is checked again."""
    rows = [ImportRow(**row.model_dump(), problem=None, types=[]) for row in body.rows]
    return asdict(await parts.curated.take_in(person.key, body.name, body.kind, body.licence, rows))
