"""Documents: listed with their editions, uploaded, looked at, released from quarantine, withdrawn; each by its role."""

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse, Response

from admin.access import Acting
from admin.errors import Declined
from admin.parts import Parts, parts_of
from admin.people import service_of
from admin.rendering import KOREA, back, locale_of, page
from admin.texts import sentence
from llm_service.client import GROUP_PATTERN, MAXIMUM_GROUPS, Audience, Locale
from llm_service.retrieval.reasons import explain

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
AUDIENCES: Final[tuple[Audience, ...]] = ("staff", "customer")
FROM_SCRIPT: Final = "X-Upload"
RELEASE_REASONS: Final = ("reviewed", "training_material", "false_alarm")
WITHDRAW_REASONS: Final = ("wrong", "outdated", "personal_data", "not_permitted", "uploaded_by_mistake")
DOCUMENT_STATES: Final = ("ready", "quarantined", "failed", "withdrawn")


@dataclass(frozen=True)
class Declared:
    """What an upload says about the file."""

    path: Annotated[str, Form(min_length=1, max_length=512)]
    audience: Annotated[list[str], Form()]
    title: Annotated[str, Form(max_length=512)] = ""
    in_force_from: Annotated[str, Form(pattern=r"^(\d{4}-\d{2}-\d{2})?$")] = ""
    groups: Annotated[str, Form(max_length=512)] = ""
    mask_names: Annotated[bool, Form()] = False


@router.get("/documents", name="documents")
async def documents(request: Request, parts: PartsHere, person: Acting, state: str = "", q: str = "") -> HTMLResponse:
    """Every edition; `q` is part of a path or title."""
    found = await parts.llm_service.documents()
    shown = [one for one in found if state in ("", one["state"]) and _names(one, q)]
    return page(
        request,
        "documents.html",
        person,
        documents=shown,
        total=len(found),
        state=state,
        states=DOCUMENT_STATES,
        q=q,
        audiences=AUDIENCES,
        told=told_reason,
    )


@router.post("/documents", name="upload_document")
async def upload_document(
    request: Request,
    parts: PartsHere,
    person: Acting,
    file: Annotated[UploadFile, File()],
    declared: Annotated[Declared, Depends()],
) -> Response:
    """Hand one file to llm_service and say what became of it."""
    audience = [one for one in AUDIENCES if one in declared.audience]
    if not audience:
        raise Declined("audience_missing", 422)
    report = await service_of(parts, person).upload_document(
        declared.path.strip(),
        await file.read(),
        audience,
        declared.title.strip() or None,
        date.fromisoformat(declared.in_force_from) if declared.in_force_from else None,
        _groups(declared.groups),
        declared.mask_names,
    )
    if request.headers.get(FROM_SCRIPT):
        locale = locale_of(request)
        said = sentence(f"upload_{report.state}", locale, passages=report.passages)
        message = f"{said} {told_reason(report.reason, locale)}".strip()
        return JSONResponse({"message": message, "is_good": report.state in ("ready", "unchanged")})
    reason = told_reason(report.reason, locale_of(request))
    return page(request, "uploaded.html", person, report=report, reason=reason)


@router.get("/documents/{document_id}", name="document")
async def document(request: Request, parts: PartsHere, person: Acting, document_id: int) -> HTMLResponse:
    """One edition beside the others of its series: what it changed, and the passages for which it waits."""
    everything = await parts.llm_service.documents()
    found = next((one for one in everything if one["document_id"] == document_id), None)
    if found is None:
        raise Declined("document_not_found", 404)
    flagged = []
    if found["state"] == "quarantined":
        flagged = await parts.llm_service.flagged_passages(document_id)
    changes = await parts.llm_service.document_changes(document_id) if found["state"] != "failed" else None
    return page(
        request,
        "document.html",
        person,
        document=found,
        flagged=flagged,
        changes=changes,
        reasons=RELEASE_REASONS,
        reason=told_reason(found["reason"], locale_of(request)),
        editions=[one for one in everything if one["series"] == found["series"]],
        withdraw_reasons=WITHDRAW_REASONS,
        today=datetime.now(KOREA).date().isoformat(),
    )


@router.post("/documents/{document_id}/release", name="release_document")
async def release_document(
    parts: PartsHere, person: Acting, document_id: int, reason: Annotated[str, Form()]
) -> Response:
    """Let a quarantined document into the answers."""
    if reason not in RELEASE_REASONS:
        raise Declined("invalid_request", 422)
    await service_of(parts, person).release_document(document_id, reason)
    return back(f"/documents/{document_id}", "document_released")


@router.post("/documents/{document_id}/withdraw", name="withdraw_document")
async def withdraw_document(
    parts: PartsHere, person: Acting, document_id: int, reason: Annotated[str, Form()]
) -> Response:
    """Take an edition out of the answers: when this returns, search finds none of its passages."""
    if reason not in WITHDRAW_REASONS:
        raise Declined("invalid_request", 422)
    await service_of(parts, person).withdraw_document(document_id, reason)
    return back(f"/documents/{document_id}", "document_withdrawn")


def told_reason(reason: str | None, locale: Locale) -> str:
    """Why a document is where it is, in words: reasons are kept as `code: sentence`, or as a code alone."""
    code, _, said = (reason or "").partition(":")
    try:
        return explain(code, locale).partition(": ")[2]
    except KeyError:
        return said.strip() or code


def _names(document: dict[str, Any], part: str) -> bool:
    wanted = part.strip().casefold()
    return wanted in document["path"].casefold() or wanted in document["title"].casefold()


def _groups(typed: str) -> list[str]:
    groups = [group for group in re.split(r"[\s,]+", typed.strip()) if group]
    if len(groups) > MAXIMUM_GROUPS or not all(re.fullmatch(GROUP_PATTERN, group) for group in groups):
        raise Declined("groups_invalid", 422)
    return groups
