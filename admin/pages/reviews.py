"""The review queue and one example: read, proposed anew, approved by two, rejected, taken back; by keyboard or mouse.

Decisions are llm_service's, made as the person who is logged in; four eyes are held by its database.
"""

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Annotated, Final
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Depends, Form, Path, Query, Request
from fastapi.responses import HTMLResponse, Response

from admin.access import Acting, own_path
from admin.differences import word_changes
from admin.logins import Person
from admin.pages.choices import AUDIENCES, KINDS, REASONS_TO_REJECT, RUBRIC, STATES
from admin.parts import Parts, parts_of
from admin.people import adapters_of, key_of, learning_of, names, operations_of
from admin.rendering import KOREA, back, beginning_of, page
from llm_service.learning_client import QueueWanted
from llm_service.store import console

router = APIRouter()

ITEMS_PER_PAGE: Final = 30
OPEN_STATES: Final = ("pending", "proposed", "first_approved")
REOPENED: Final = "reopened_in_console"
PAGE: Final = "reviews"
QUERY: Final = r"^[A-Za-z0-9_=&%.-]*$"
ID: Final = r"^[0-9a-f]{32}$"
CODE: Final = r"^([a-z][a-z0-9_]{0,31})?$"
DAY: Final = r"^(\d{4}-\d{2}-\d{2})?$"
PartsHere = Annotated[Parts, Depends(parts_of)]
Code = Annotated[str, Query(pattern=CODE)]
Day = Annotated[str, Query(pattern=DAY)]
Queue = Annotated[str, Form(max_length=512, pattern=QUERY)]
Version = Annotated[int, Form()]
# An item's id goes into the path of a call to llm_service.
ItemId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]


@dataclass(frozen=True)
class Wanted:
    """Which items a list shows; what is not of the lists is not asked. The days are Korean, the last one included."""

    state: Annotated[list[str], Query(default_factory=list)]
    kind: Annotated[list[str], Query(default_factory=list)]
    audience: Code = ""
    tag: Code = ""
    rubric: Code = ""
    first_day: Day = ""
    last_day: Day = ""
    others: bool = False
    after: Annotated[str | None, Query(pattern=r"^[0-9a-f]{32}$")] = None

    @property
    def states(self) -> list[str]:
        return [state for state in self.state if state in STATES]

    @property
    def kinds(self) -> list[str]:
        return [kind for kind in self.kind if kind in KINDS]

    @property
    def query(self) -> str:
        """The search as an address carries it, without the place in the list."""
        told = vars(self) | {
            "state": self.states,
            "kind": self.kinds,
            "others": "true" if self.others else "",
            "after": "",
        }
        return urlencode({name: value for name, value in told.items() if value}, doseq=True)

    def as_queue(self) -> QueueWanted:
        return QueueWanted(
            state=self.states,
            kind=self.kinds,
            audience=self.audience if self.audience in AUDIENCES else "",
            tag=self.tag,
            rubric=self.rubric if self.rubric in RUBRIC else "",
            since=beginning_of(self.first_day),
            until=beginning_of(self.last_day, days_later=1),
            others=self.others,
        )


SECOND: Final = Wanted(["first_approved"], [], others=True)
"""What waits for the second approval of somebody who had no part in it yet."""


@router.get("/reviews", name="reviews")
async def reviews(
    request: Request, parts: PartsHere, person: Acting, wanted: Annotated[Wanted, Depends()]
) -> HTMLResponse:
    """The queue, the oldest first, with how many wait for what."""
    return await _queue_page(request, parts, person, wanted, "reviews")


@router.get("/approvals", name="approvals")
async def approvals(
    request: Request, parts: PartsHere, person: Acting, after: Annotated[str | None, Query(pattern=ID)] = None
) -> HTMLResponse:
    """What somebody else has approved once."""
    return await _queue_page(request, parts, person, replace(SECOND, after=after), "approvals")


async def _queue_page(request: Request, parts: Parts, person: Person, wanted: Wanted, section: str) -> HTMLResponse:
    learning = learning_of(parts, person)
    found, views, people = await asyncio.gather(
        learning.review_queue(_midnight(), ITEMS_PER_PAGE + 1, wanted.after, wanted.as_queue()),
        parts.transactions.read(partial(console.views, account_id=person.account_id, page=PAGE)),
        names(parts),
    )
    return page(
        request,
        "reviews.html",
        person,
        section=section,
        items=found.rows[:ITEMS_PER_PAGE],
        has_more=len(found.rows) > ITEMS_PER_PAGE,
        counts=found.counts,
        progress=found.progress,
        wanted=wanted,
        states=STATES,
        kinds=KINDS,
        rubric=RUBRIC,
        audiences=AUDIENCES,
        views=views,
        names=people,
        own_key=key_of(parts, person.account_id),
    )


@router.post("/reviews/next", name="next_review")
async def next_review(parts: PartsHere, person: Acting, queue: Queue = "") -> Response:
    """The next item nobody else holds, held for this person; the end of the queue where there is none."""
    return await _to_next(parts, person, queue)


@router.get("/reviews/{item_id}", name="review")
async def review(
    request: Request,
    parts: PartsHere,
    person: Acting,
    item_id: ItemId,
    last: Annotated[str, Query(pattern=r"^([0-9a-f]{32})?$")] = "",
    queue: Annotated[str, Query(max_length=512, pattern=QUERY)] = "",
) -> HTMLResponse:
    """One example with everything about it; `last` is the one decided before, to go back to, `queue` the search."""
    learning = learning_of(parts, person)
    item, progress, people = await asyncio.gather(
        learning.review_item(item_id), learning.review_progress(_midnight()), names(parts)
    )
    own_key = key_of(parts, person.account_id)
    return page(
        request,
        "review.html",
        person,
        item=item,
        last=last,
        queue=queue,
        progress=progress,
        is_open=item.state in OPEN_STATES,
        is_own=own_key in (item.proposed_by, item.first_approver),
        question_changes=word_changes(item.question, item.proposed_question),
        answer_changes=word_changes(item.answer or "", item.proposed_answer or ""),
        rubric=RUBRIC,
        reasons=REASONS_TO_REJECT,
        names=people,
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
    queue: Queue = "",
) -> Response:
    """Other words in the place of what is proposed; two others approve them."""
    await learning_of(parts, person).propose(item_id, version, _lines(question), _lines(answer), rubric)
    return await _to_next(parts, person, queue, "proposed", item_id)


@router.post("/reviews/{item_id}/approve", name="approve")
async def approve(
    parts: PartsHere,
    person: Acting,
    item_id: ItemId,
    version: Version,
    rubric: Annotated[str, Form()] = "",
    queue: Queue = "",
) -> Response:
    """One of two approvals. `ServiceError` 409 where somebody decided a moment earlier."""
    done = await learning_of(parts, person).approve(item_id, version, rubric or None)
    return await _to_next(parts, person, queue, done.state, item_id)


@router.post("/reviews/{item_id}/reject", name="reject")
async def reject(
    parts: PartsHere,
    person: Acting,
    item_id: ItemId,
    version: Version,
    reason: Annotated[str, Form()],
    queue: Queue = "",
) -> Response:
    """Keep an example out of training."""
    await learning_of(parts, person).reject(item_id, version, reason)
    return await _to_next(parts, person, queue, "rejected", item_id)


@router.post("/reviews/{item_id}/skip", name="skip")
async def skip(parts: PartsHere, person: Acting, item_id: ItemId, queue: Queue = "") -> Response:
    """Leave an item to others, or for the end of this login's work, and take the next one."""
    work = partial(console.skip, token_sha256=person.token_sha256, item_id=item_id)
    skipped = await parts.transactions.run(work)
    return await _to_next(parts, replace(person, skipped=tuple(skipped)), queue, "skipped", item_id, leaving=item_id)


@router.post("/reviews/{item_id}/compare", name="compare_review")
async def compare_review(request: Request, parts: PartsHere, person: Acting, item_id: ItemId) -> HTMLResponse:
    """The question answered anew by the base and by the versions that serve, side by side; nothing of it is kept."""
    serving = await adapters_of(parts, person).status()
    sides = [None, *dict.fromkeys(name for name in (serving.active, serving.canary) if name)]
    answers = await operations_of(parts, person).compare(item_id, sides)
    return page(request, "compared.html", person, item_id=item_id, answers=answers)


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
    query: Annotated[str, Form(max_length=512, pattern=QUERY)],
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
    parts: Parts,
    person: Person,
    queue: str,
    notice: str | None = None,
    last: str | None = None,
    leaving: str | None = None,
) -> Response:
    """The next item of the same search, whose rest goes with it from page to page; what was skipped comes last."""
    wanted = _wanted(queue).as_queue()
    found = await learning_of(parts, person).next_review_item(wanted, person.skipped, leaving)
    if found is None:
        return back(f"/reviews?{queue}" if queue else "/reviews", "queue_done")
    told = {name: value for name, value in (("last", last), ("queue", queue)) if value}
    return back(f"/reviews/{found.id}{'?' if told else ''}{urlencode(told)}", notice)


def _wanted(queue: str) -> Wanted:
    """The search that a form carries along."""
    found = parse_qs(queue)

    def one(name: str) -> str:
        return found.get(name, [""])[0]

    first_day, last_day = (value if re.fullmatch(DAY, value) else "" for value in (one("first_day"), one("last_day")))
    return Wanted(
        found.get("state", []),
        found.get("kind", []),
        one("audience"),
        one("tag") if re.fullmatch(CODE, one("tag")) else "",
        one("rubric"),
        first_day,
        last_day,
        others=one("others") == "true",
    )


def _midnight() -> str:
    """When today began on Korean clocks."""
    return datetime.now(KOREA).replace(hour=0, minute=0, second=0, microsecond=0).isoformat()


def _lines(text: str) -> str:
    """A form sends line ends as CR LF (WHATWG HTML, "constructing the entry list")."""
    return text.replace("\r\n", "\n").strip()
