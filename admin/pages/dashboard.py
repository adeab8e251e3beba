"""The first page: what waits for this person, and whether the parts work; and the page about oneself."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from admin.access import Acting
from admin.pages.choices import STATES
from admin.parts import Parts, parts_of
from admin.people import learning_of
from admin.policies import may
from admin.rendering import page
from llm_service.client import ServiceError

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]


@router.get("/", name="dashboard")
async def dashboard(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    counts: dict[str, int] = {}
    runs = []
    if may(person.roles, "reviews"):
        counts = await learning_of(parts, person).review_counts()
    if may(person.roles, "runs"):
        runs = (await learning_of(parts, person).training_runs())[:5]
    quarantined = 0
    if may(person.roles, "documents"):
        quarantined = sum(document["state"] == "quarantined" for document in await parts.llm_service.documents())
    return page(
        request,
        "dashboard.html",
        person,
        counts=counts,
        states=STATES,
        runs=runs,
        quarantined=quarantined,
        health=await _health(parts),
    )


@router.get("/profile", name="profile")
async def profile(request: Request, person: Acting) -> HTMLResponse:
    """Who one is here, one's roles, and the keyboard."""
    return page(request, "profile.html", person)


async def _health(parts: Parts) -> dict[str, str]:
    try:
        found = await parts.llm_service.ready()
    except ServiceError as error:
        return {"llm_service": error.code}
    return {str(name): str(state) for name, state in found.get("parts", {}).items()}
