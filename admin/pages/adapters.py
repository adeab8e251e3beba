"""Adapters: who serves, on which replicas, how the watch sees it; proposed, approved, promoted, shared, rolled back."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.errors import Declined
from admin.pages.datasets import NAME
from admin.parts import Parts, parts_of
from admin.people import adapters_of, key_of, names
from admin.rendering import back, page
from llm_service.adapter_client import Target

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
Name = Annotated[str, Path(pattern=NAME)]
Percent = Annotated[int, Form(ge=1, le=100)]
TARGETS: Final[tuple[Target, ...]] = ("active", "canary")
PURPOSES: Final = ("better_answers", "rules_changed", "corrections", "trial", "restored")
REASONS_TO_ROLL_BACK: Final = ("wrong_answers", "complaints", "too_slow", "precaution")


@router.get("/adapters", name="adapters")
async def adapters(request: Request, parts: PartsHere, person: Acting) -> HTMLResponse:
    calls = adapters_of(parts, person)
    return page(
        request,
        "adapters.html",
        person,
        adapters=await calls.adapters(),
        serving=await calls.status(),
        reasons=REASONS_TO_ROLL_BACK,
        names=await names(parts),
    )


@router.get("/adapters/{name}", name="adapter")
async def adapter(request: Request, parts: PartsHere, person: Acting, name: Name) -> HTMLResponse:
    """One version: what made it, how it was judged, who proposed and approved it."""
    calls = adapters_of(parts, person)
    return page(
        request,
        "adapter.html",
        person,
        details=await calls.adapter(name),
        serving=await calls.status(),
        purposes=PURPOSES,
        names=await names(parts),
        own_key=key_of(parts, person.account_id),
    )


@router.post("/adapters/canary-share", name="set_canary_share")
async def set_canary_share(parts: PartsHere, person: Acting, share: Percent) -> Response:
    """Another share of the conversations for the canary, in percent."""
    await adapters_of(parts, person).set_share(share / 100)
    return back("/adapters", "share_set")


@router.post("/adapters/rollback", name="roll_back_adapter")
async def roll_back_adapter(
    parts: PartsHere, person: Acting, target: Annotated[str, Form()], reason: Annotated[str, Form()]
) -> Response:
    """The previous version is active again, or the canary is out, when this returns."""
    if reason not in REASONS_TO_ROLL_BACK:
        raise Declined("invalid_request", 422)
    await adapters_of(parts, person).roll_back(_target(target), reason)
    return back("/adapters", "rolled_back")


@router.post("/adapters/{name}/propose", name="propose_adapter")
async def propose_adapter(parts: PartsHere, person: Acting, name: Name) -> Response:
    await adapters_of(parts, person).propose(name)
    return back(f"/adapters/{name}", "adapter_proposed")


@router.post("/adapters/{name}/approve", name="approve_adapter")
async def approve_adapter(
    parts: PartsHere, person: Acting, name: Name, proposal_id: Annotated[str, Form(pattern=r"^[0-9a-f]{32}$")]
) -> Response:
    """Agree to somebody else's proposal; llm_service and its database refuse one's own work."""
    await adapters_of(parts, person).approve(name, proposal_id)
    return back(f"/adapters/{name}", "adapter_approved")


@router.post("/adapters/{name}/promote", name="promote_adapter")
async def promote_adapter(
    parts: PartsHere,
    person: Acting,
    name: Name,
    target: Annotated[str, Form()],
    purpose: Annotated[str, Form()],
    share: Percent = 5,
) -> Response:
    """Begin to bring an approved version into service, for a reason; the list of adapters tells how far it is."""
    chosen = _target(target)
    if purpose not in PURPOSES:
        raise Declined("invalid_request", 422)
    await adapters_of(parts, person).promote(name, chosen, share / 100 if chosen == "canary" else None, purpose)
    return back("/adapters", "promotion_started")


def _target(value: str) -> Target:
    for target in TARGETS:
        if value == target:
            return target
    raise Declined("invalid_request", 422)
