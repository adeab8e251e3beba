"""Conversations looked up, opened and read turn by turn, masked; each search and each reading is an audit row.

What is searched for travels in the body of a form: an address stays in histories and in the logs of proxies.
"""

from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting
from admin.pages.choices import AUDIENCES, RATINGS, TURN_STATES
from admin.parts import Parts, parts_of
from admin.people import operations_of, service_of
from admin.rendering import back, beginning_of, page
from llm_service.operations_client import FoundTurns, Place, Rating, Sought

router = APIRouter()
PartsHere = Annotated[Parts, Depends(parts_of)]
ID: Final = r"^[0-9a-f]{32}$"
TURNS_PER_PAGE: Final = 30
Code = Annotated[str, Form(max_length=64, pattern=r"^[A-Za-z0-9_/.-]*$")]
Day = Annotated[str, Form(pattern=r"^(\d{4}-\d{2}-\d{2})?$")]


@dataclass(frozen=True)
class Asked:
    """What a person typed into the form of the search."""

    text: Annotated[str, Form(max_length=200)] = ""
    channel: Code = ""
    audience: Code = ""
    first_day: Day = ""
    last_day: Day = ""
    rating: Code = ""
    state: Code = ""
    intent: Code = ""
    engine: Code = ""
    adapter: Code = ""
    person: Annotated[str, Form(pattern=r"^([0-9a-f]{64})?$")] = ""

    def as_sought(self) -> Sought:
        """The days are Korean days, the last one included."""
        rating: Rating | None = next((one for one in RATINGS if one == self.rating), None)
        return Sought(
            text=self.text.strip(),
            channel=self.channel,
            audience=self.audience if self.audience in AUDIENCES else "",
            since=beginning_of(self.first_day),
            until=beginning_of(self.last_day, days_later=1),
            rating=rating,
            state=self.state if self.state in TURN_STATES else "",
            intent=self.intent,
            engine=self.engine,
            adapter=self.adapter,
            person=self.person,
        )


@router.get("/conversations", name="conversations")
async def conversations(
    request: Request, person: Acting, turn: Annotated[str, Query(pattern=r"^([0-9a-f]{32})?$")] = ""
) -> Response:
    """The form of the search; a turn whose id is known is opened at once."""
    if turn:
        return back(f"/turns/{turn}")
    return _search_page(request, person, Asked(), None)


@router.post("/conversations", name="search_conversations")
async def search_conversations(
    request: Request,
    parts: PartsHere,
    person: Acting,
    asked: Annotated[Asked, Depends()],
    after_at: Annotated[str, Form(max_length=40)] = "",
    after_id: Annotated[str, Form(pattern=r"^([0-9a-f]{32})?$")] = "",
) -> HTMLResponse:
    """One page of turns, the newest first."""
    after = Place(after_at, after_id) if after_at and after_id else None
    found = await operations_of(parts, person).search_conversations(asked.as_sought(), after, TURNS_PER_PAGE)
    return _search_page(request, person, asked, found)


@router.get("/conversations/{conversation_id}", name="conversation")
async def conversation(
    request: Request,
    parts: PartsHere,
    person: Acting,
    conversation_id: Annotated[str, Path(pattern=ID)],
    position: Annotated[int, Query(ge=1)] = 1,
) -> HTMLResponse:
    """A whole conversation, in parts where it is long."""
    found = await operations_of(parts, person).conversation(conversation_id, position)
    return page(request, "conversation.html", person, found=found, position=position)


@router.get("/turns/{turn_id}", name="turn")
async def turn(
    request: Request, parts: PartsHere, person: Acting, turn_id: Annotated[str, Path(pattern=ID)]
) -> HTMLResponse:
    """How an answer came about: asked, routed, searched, written, checked."""
    return page(request, "turn.html", person, turn=await service_of(parts, person).explanation(turn_id))


def _search_page(request: Request, person: Acting, asked: Asked, found: FoundTurns | None) -> HTMLResponse:
    return page(
        request,
        "conversations.html",
        person,
        asked=asked,
        found=found,
        audiences=AUDIENCES,
        ratings=RATINGS,
        states=TURN_STATES,
    )
