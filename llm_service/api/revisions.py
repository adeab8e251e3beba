"""What a new edition of a document changed, and the approved answers that rest on it, asked again."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from llm_service.api.acting import MayRetest
from llm_service.api.dependencies import ServiceParts

router = APIRouter(prefix="/v1/documents", tags=["documents"])


@router.get("/{document_id}/changes")
async def changes(document_id: int, parts: ServiceParts) -> dict[str, Any]:
    """Clauses added, removed and changed against the edition before, word by word; none for a first edition."""
    return asdict(await parts.revisions.changes(document_id))


@router.post("/{document_id}/retest")
async def retest(document_id: int, parts: ServiceParts, person: MayRetest) -> dict[str, Any]:
    """Approved answers that cite a changed clause, asked again: still right, changed or gone. All text is masked."""
    return asdict(await parts.revisions.retest(document_id, person.key))
