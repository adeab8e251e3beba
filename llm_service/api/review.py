"""The review queue: read, leased item by item, proposed, approved by two, rejected, reopened; drafts come in here."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from llm_service.answering.review_desk import TypedProposal
from llm_service.api.acting import MayApprove, MayCompare, MayDraft, MayPropose, MayReadReview, MayReject, MayReopen
from llm_service.api.dependencies import ServiceParts
from llm_service.client import Locale
from llm_service.learning_client import MAXIMUM_DRAFTS, MAXIMUM_SKIPPED, NewDraft
from llm_service.masked import RawText
from llm_service.store.learning_models import REVIEW_STATES
from llm_service.store.review import OPEN_STATES, QueueFilter

router = APIRouter(prefix="/v1/review", tags=["review"])

MAXIMUM_ITEMS = 200
CODE_PATTERN = r"^[a-z][a-z0-9_]{0,31}$"
State = Literal["pending", "proposed", "first_approved", "approved", "rejected"]
Rubric = Literal["correct", "partial", "wrong", "unsupported", "dangerous"]
Kind = Literal[
    "correction",
    "curated",
    "glossary",
    "summary",
    "four_choice",
    "four_choice_writing",
    "rag",
    "refusal",
    "general",
]
Code = Annotated[str, Field(pattern=CODE_PATTERN)]
AdapterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
ItemId = Annotated[str, Field(min_length=1, max_length=32)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class QueueBody(_Body):
    """Which items; what is empty is not asked."""

    state: list[State] = []
    kind: list[Kind] = []
    audience: Literal["staff", "customer"] | None = None
    tag: Code | None = None
    rubric: Rubric | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    others: bool = False

    def as_filter(self, person: str, states: tuple[str, ...]) -> QueueFilter:
        """`states` are those that are meant where none is named."""
        return QueueFilter(
            states=tuple(self.state) or states,
            kinds=tuple(self.kind),
            not_by=person if self.others else None,
            audience=self.audience,
            tag=self.tag,
            rubric=self.rubric,
            since=self.since,
            until=self.until,
        )


class ItemsQuery(QueueBody):
    """A page of the queue."""

    limit: Annotated[int, Field(ge=1, le=MAXIMUM_ITEMS)] = 50
    after: ItemId | None = None


class PageQuery(ItemsQuery):
    """A page of the queue, and since when the person's own decisions are counted."""

    decided_since: AwareDatetime


class NextBody(_Body):
    """Among which items; those that come last, in their order, and the one that does not come at all."""

    wanted: QueueBody = QueueBody()
    skipped: Annotated[list[ItemId], Field(max_length=MAXIMUM_SKIPPED)] = []
    leaving: ItemId | None = None


class CompareBody(_Body):
    """By which versions; None is the base."""

    adapters: Annotated[list[AdapterName | None], Field(min_length=1, max_length=3)]


class ProposalBody(_Body):
    """What should have been asked and answered; masked before it is kept."""

    version: int
    question: str
    answer: str
    rubric: Rubric


class ApprovalBody(_Body):
    """Which version is approved; the rubric where nobody gave one."""

    version: int
    rubric: Rubric | None = None


class ReasonBody(_Body):
    """Which version is rejected or reopened, and why, as a code."""

    version: int
    reason: Annotated[str, Field(pattern=CODE_PATTERN)]


class DraftBody(_Body):
    """An example of a curated file or of a builder."""

    kind: Kind
    question: str
    answer: str
    group: Annotated[str, Field(pattern=r"^[^\x00-\x1f]{1,128}$")]
    licence: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+ -]{0,63}$")]
    tags: Annotated[list[Annotated[str, Field(pattern=CODE_PATTERN)]], Field(max_length=16)] = []
    locale: Locale = "ko"
    passages: Annotated[list[int], Field(max_length=20)] = []


class DraftsBody(_Body):
    """Drafts of one request."""

    drafts: Annotated[list[DraftBody], Field(min_length=1, max_length=MAXIMUM_DRAFTS)]


@router.get("/items")
async def items(parts: ServiceParts, person: MayReadReview, query: Annotated[ItemsQuery, Query()]) -> dict[str, Any]:
    """Items, the oldest first; open ones where no state is named."""
    wanted = query.as_filter(person.key, OPEN_STATES)
    return {"items": [asdict(item) for item in await parts.review.items(person.key, wanted, query.limit, query.after)]}


@router.get("/queue")
async def queue(parts: ServiceParts, person: MayReadReview, query: Annotated[PageQuery, Query()]) -> dict[str, Any]:
    """What a page of the queue shows: items without their answers, how many wait, how far this person came."""
    wanted = query.as_filter(person.key, OPEN_STATES)
    return asdict(await parts.review.page(person.key, wanted, query.limit, query.after, query.decided_since))


@router.get("/counts")
async def counts(
    parts: ServiceParts,
    person: MayReadReview,
    state: Annotated[list[State], Query(default_factory=list)],
    up_to: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """How many items are in each of these states, or of all; no count is above `up_to` + 1, which says "more"."""
    return {"states": await parts.review.counts(state or REVIEW_STATES, up_to)}


@router.get("/progress")
async def progress(parts: ServiceParts, person: MayReadReview, since: AwareDatetime) -> dict[str, Any]:
    """How many decisions this person took since a time, and how many examples wait for theirs, to a thousand."""
    return asdict(await parts.review.progress(person.key, since))


@router.post("/next")
async def next_item(body: NextBody, parts: ServiceParts, person: MayPropose) -> dict[str, Any]:
    """The next item for this person, theirs for fifteen minutes; nobody else gets it meanwhile."""
    wanted = body.wanted.as_filter(person.key, OPEN_STATES)
    found = await parts.review.next_item(person.key, wanted, body.skipped, body.leaving)
    return {"item": asdict(found) if found else None}


@router.get("/items/{item_id}")
async def item(item_id: str, parts: ServiceParts, person: MayReadReview) -> dict[str, Any]:
    """One item with its revisions. That it was read is an audit row."""
    return asdict(await parts.review.item(person.key, item_id))


@router.post("/items/{item_id}/compare")
async def compare(item_id: str, body: CompareBody, parts: ServiceParts, person: MayCompare) -> dict[str, Any]:
    """The question answered anew by each version, side by side; nothing of it is kept."""
    return {"answers": [asdict(one) for one in await parts.comparing.compare(person.key, item_id, body.adapters)]}


@router.post("/items/{item_id}/propose")
async def propose(item_id: str, body: ProposalBody, parts: ServiceParts, person: MayPropose) -> dict[str, Any]:
    """Put other words in the place of what is proposed."""
    typed = TypedProposal(RawText(body.question), RawText(body.answer), body.rubric)
    return asdict(await parts.review.propose(person.key, item_id, body.version, typed))


@router.post("/items/{item_id}/approve")
async def approve(item_id: str, body: ApprovalBody, parts: ServiceParts, person: MayApprove) -> dict[str, Any]:
    """Approve what is proposed: 403 for the proposer and for who approved already, 409 for an older version."""
    return asdict(await parts.review.approve(person.key, item_id, body.version, body.rubric))


@router.post("/items/{item_id}/reject")
async def reject(item_id: str, body: ReasonBody, parts: ServiceParts, person: MayReject) -> dict[str, Any]:
    """Keep an example out of training."""
    return asdict(await parts.review.reject(person.key, item_id, body.version, body.reason))


@router.post("/items/{item_id}/reopen")
async def reopen(item_id: str, body: ReasonBody, parts: ServiceParts, person: MayReopen) -> dict[str, Any]:
    """Take back an approval or a rejection."""
    return asdict(await parts.review.reopen(person.key, item_id, body.version, body.reason))


@router.post("/drafts")
async def add_drafts(body: DraftsBody, parts: ServiceParts, person: MayDraft) -> dict[str, Any]:
    """Put drafts into the queue, masked; they are approved by others like everything else."""
    drafts = [NewDraft(**draft.model_dump()) for draft in body.drafts]
    return {"ids": await parts.review.add_drafts(person.key, drafts)}
