"""Search and masking on their own, for the command line and for measuring; nothing of them is kept."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from llm_service.answering.text_rules import require_readable
from llm_service.api.dependencies import Groups, ServiceParts
from llm_service.client import Audience
from llm_service.masked import RawText

router = APIRouter(prefix="/v1", tags=["search"])

MAXIMUM_RESULTS = 50


class SearchRequest(BaseModel):
    """A question, how many passages are wanted, for whom, as of which day."""

    question: str
    audience: Audience
    k: Annotated[int, Field(ge=1, le=MAXIMUM_RESULTS)] = 5
    as_of: date | None = None
    groups: Groups = ()


class MaskRequest(BaseModel):
    """A text to be masked."""

    text: str


@router.post("/search")
async def search(request: SearchRequest, parts: ServiceParts) -> dict[str, Any]:
    """Passages for a question, which is masked first."""
    found = await parts.search.search(
        RawText(request.question), request.audience, request.k, request.as_of, request.groups
    )
    return asdict(found)


@router.post("/mask")
async def mask(request: MaskRequest, parts: ServiceParts) -> dict[str, Any]:
    """The text with personal data replaced by placeholders."""
    raw = RawText(request.text)
    require_readable(raw)
    timed = await parts.masking.mask(raw)
    return {"masked": timed.masked.text, "entity_counts": dict(timed.masked.counts)}
