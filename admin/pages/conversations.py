"""One turn of a conversation, masked, with the whole story of its answer; that it was read is an audit row."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.parts import Parts, parts_of
from admin.people import service_of
from admin.rendering import back, page

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
TURN_ID = r"^[0-9a-f]{32}$"


@router.get("/conversations", name="conversations")
async def conversations(
    request: Request, person: Acting, turn: Annotated[str, Query(pattern=r"^([0-9a-f]{32})?$")] = ""
) -> Response:
    """Where a turn is looked up by its id."""
    if turn:
        return back(f"/turns/{turn}")
    return page(request, "conversations.html", person)


@router.get("/turns/{turn_id}", name="turn")
async def turn(
    request: Request, parts: PartsHere, person: Acting, turn_id: Annotated[str, Path(pattern=TURN_ID)]
) -> HTMLResponse:
    """How an answer came about: asked, routed, searched, written, checked."""
    return page(request, "turn.html", person, turn=await service_of(parts, person).explanation(turn_id))
