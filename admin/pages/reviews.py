"""The review queue and one example: read, proposed anew, approved by two, rejected, taken back; by keyboard or mouse.

Decisions are llm_service's, made as the person who is logged in; four eyes are held by its database.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting, own_path
from admin.differences import word_changes
from admin.logins import Person
from admin.pages.choices import KINDS, REASONS_TO_REJECT, RUBRIC, STATES
from admin.parts import Parts, parts_of
from admin.people import key_of, learning_of, names
from admin.rendering import back, page
from llm_service.store import console

router = APIRouter()

ITEMS_PER_PAGE: Final = 30
OPEN_STATES: Final = ("pending", "proposed", "first_approved")
REOPENED: Final = "reopened_in_console"
PAGE: Final = "reviews"
PartsHere = Annotated[Parts, Depends(parts_of)]
Version = Annotated[int, Form()]
# An item's id goes into the path of a call to llm_service.
ItemId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class Wanted:
    """Which items a list shows."""

    state: Annotated[list[str], Query(default_factory=list)]
    kind: Annotated[list[str], Query(default_factory=list)]
    after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None

    @property
    def states(self) -> list[str]:
        return [state for state in self.state if state in STATES]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in self.kind if kind in KINDS]

    @property
    def query(self) -> str:
        return urlencode({"state": self.states, "kind": self.kinds}, doseq=True)


@router.get("/reviews", name="reviews")
async def reviews(
    request: Request, parts: PartsHere, person: Acting, wanted: Annotated[Wanted, Depends()]
) -> HTMLResponse:
    """The queue, the oldest first, with how many wait for what."""
    learning = learning_of(parts, person)
    items = await learning.review_items(wanted.states, wanted.kinds, ITEMS_PER_PAGE + 1, wanted.after)
    return page(
        request,
        "reviews.html",
        person,
        items=items[:ITEMS_PER_PAGE],
        has_more=len(items) > ITEMS_PER_PAGE,
        counts=await learning.review_counts(),
        wanted=wanted,
        states=STATES,
        kinds=KINDS,
        views=await parts.transactions.read(partial(console.views, account_id=person.account_id, page=PAGE)),
        names=await names(parts),
        own_key=key_of(parts, person.account_id),
    )


@router.post("/reviews/next", name="next_review")
async def next_review(
    parts: PartsHere, person: Acting, after: Annotated[str, Form(pattern=r"^([0-9a-f]{32})?$")] = ""
) -> Response:
    """The next item nobody else holds, held for this person; the end of the queue where there is none."""
    return await _to_next(parts, person, after or None)


@router.get("/reviews/{item_id}", name="review")
async def review(
    request: Request,
    parts: PartsHere,
    person: Acting,
    item_id: ItemId,
    last: Annotated[str, Query(pattern=r"^([0-9a-f]{32})?$")] = "",
) -> HTMLResponse:
    """One example with everything about it; `last` is the one decided before, to go back to."""
    item = await learning_of(parts, person).review_item(item_id)
    own_key = key_of(parts, person.account_id)
    return page(
        request,
        "review.html",
        person,
        item=item,
        last=last,
        is_open=item.state in OPEN_STATES,
        is_own=own_key in (item.proposed_by, item.first_approver),
        question_changes=word_changes(item.question, item.proposed_question),
        answer_changes=word_changes(item.answer or "", item.proposed_answer or ""),
        rubric=RUBRIC,
        reasons=REASONS_TO_REJECT,
        names=await names(parts),
        own_key=own_key,
    )


@router.post("/reviews/{item_id}/propose", name="propose")
async def propose(
    parts: PartsHere,
    person: Acting,
    item_id: ItemId,
    version: Version,
    question: Annotated[str, Form()],
    answer: Annotated[str, Form()],
    rubric: Annotated[str, Form()],
) -> Response:
    """Other words in the place of what is proposed; two others approve them."""
    await learning_of(parts, person).propose(item_id, version, _lines(question), _lines(answer), rubric)
    return await _to_next(parts, person, None, "proposed", item_id)


@router.post("/reviews/{item_id}/approve", name="approve")
async def approve(
    parts: PartsHere, person: Acting, item_id: ItemId, version: Version, rubric: Annotated[str, Form()] = ""
) -> Response:
    """One of two approvals. `ServiceError` 409 where somebody decided a moment earlier."""
    done = await learning_of(parts, person).approve(item_id, version, rubric or None)
    return await _to_next(parts, person, None, done.state, item_id)


@router.post("/reviews/{item_id}/reject", name="reject")
async def reject(
    parts: PartsHere, person: Acting, item_id: ItemId, version: Version, reason: Annotated[str, Form()]
) -> Response:
    await learning_of(parts, person).reject(item_id, version, reason)
    return await _to_next(parts, person, None, "rejected", item_id)


@router.post("/reviews/{item_id}/skip", name="skip")
async def skip(parts: PartsHere, person: Acting, item_id: ItemId) -> Response:
    """Leave an item to others and take the next one behind it."""
    return await _to_next(parts, person, item_id, "skipped", item_id)


@router.post("/reviews/{item_id}/reopen", name="reopen")
async def reopen(parts: PartsHere, person: Acting, item_id: ItemId, version: Version) -> Response:
    """Take a decision back: the item needs two approvals again."""
    await learning_of(parts, person).reopen(item_id, version, REOPENED)
    return back(f"/reviews/{item_id}", "reopened")


@router.post("/views", name="save_view")
async def save_view(
    parts: PartsHere,
    person: Acting,
    name: Annotated[str, Form(min_length=1, max_length=64)],
    query: Annotated[str, Form(max_length=512, pattern=r"^[A-Za-z0-9_=&%.-]*$")],
) -> Response:
    """Keep a search of the queue under a name of one's own."""
    work = partial(console.save_view, account_id=person.account_id, page=PAGE, name=name.strip(), query=query)
    await parts.transactions.run(work)
    return back(own_path(f"/reviews?{query}"), "view_saved")


@router.post("/views/{view_id}/delete", name="delete_view")
async def delete_view(parts: PartsHere, person: Acting, view_id: str) -> Response:
    await parts.transactions.run(partial(console.delete_view, account_id=person.account_id, view_id=view_id))
    return back("/reviews", "view_deleted")


async def _to_next(
    parts: Parts, person: Person, after: str | None, notice: str | None = None, last: str | None = None
) -> Response:
    found = await learning_of(parts, person).next_review_item(after)
    query = f"?last={last}" if last else ""
    return back(f"/reviews/{found.id}{query}" if found else f"/reviews{query}", notice if found else "queue_done")


def _lines(text: str) -> str:
    """A form sends line ends as CR LF (WHATWG HTML, "constructing the entry list")."""
    return text.replace("\r\n", "\n").strip()
