"""The way in to review, datasets and training for what is outside llm_service: the shapes that travel, and the calls.

Every call acts for a person with roles, who are named beside the service token.
"""

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from llm_service.client import PERSON_HEADER, ROLES_HEADER, UPLOAD_TIMEOUT_SECONDS, LlmServiceClient

COUNTED_UP_TO: Final = 1_000
"""How far a page of the queue counts what waits; a count above it says that there are more."""
MAXIMUM_SKIPPED: Final = 100
MAXIMUM_DRAFTS: Final = 20
DRAFTS_BYTES: Final = 32_768
"""How much goes into one request, so that its body stays under the service's limit; one draft always fits."""


@dataclass(frozen=True)
class ReviewRevision:
    """What was proposed at a version of an item, and by whom."""

    version: int
    proposed_by: str
    question: str
    answer: str
    at: str


@dataclass(frozen=True)
class ReviewEvent:
    """One decision about an item, as the audit has it: `details` say state, version, rubric, reason."""

    at: str
    actor: str
    action: str
    details: dict[str, Any]


@dataclass(frozen=True)
class QueueWanted:
    """Which items of the queue; what is empty is not asked. `since` and `until` are times in ISO 8601.

    `others` leaves out what the asking person proposed or has approved already.
    """

    state: Sequence[str] = ()
    kind: Sequence[str] = ()
    audience: str = ""
    tag: str = ""
    rubric: str = ""
    since: str | None = None
    until: str | None = None
    others: bool = False

    def as_query(self) -> dict[str, Any]:
        """The fields that ask something."""
        told = asdict(self) | {"state": list(self.state), "kind": list(self.kind)}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class ReviewProgress:
    """How many decisions a person took since a time, and how many examples wait for theirs."""

    decided: int
    waiting: int


@dataclass(frozen=True)
class QueueRow:
    """What a list shows of an example, masked. `is_held` says that somebody is deciding it."""

    id: str
    kind: str
    state: str
    question: str
    proposed_by: str
    is_held: bool
    created_at: str


@dataclass(frozen=True)
class QueuePage:
    """A page of the queue, with how many wait in each state and for this person, counted up to `COUNTED_UP_TO`."""

    rows: list[QueueRow]
    counts: dict[str, int]
    progress: ReviewProgress


@dataclass(frozen=True)
class ReviewItemView:
    """An example under review, masked. People are keyed hashes; `version` is handed back with every decision."""

    id: str
    kind: str
    state: str
    version: int
    question: str
    answer: str | None
    proposed_question: str
    proposed_answer: str | None
    proposed_by: str
    rubric: str | None
    first_approver: str | None
    second_approver: str | None
    rejected_by: str | None
    rejection_reason: str | None
    leased_until: str | None
    tags: list[str]
    sources: list[dict[str, Any]]
    licence: str
    locale: str
    created_at: str
    revisions: list[ReviewRevision] = field(default_factory=list)
    history: list[ReviewEvent] = field(default_factory=list)
    conversation_id: str | None = None


@dataclass(frozen=True)
class NewDraft:
    """An example for the queue. `group` keeps kin on one side of the split; `licence` says whose text it is.

    `passages` are the ids of those it is asked with, best first, as search finds them.
    """

    kind: str
    question: str
    answer: str
    group: str
    licence: str
    tags: list[str] = field(default_factory=list)
    locale: str = "ko"
    passages: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class DatasetView:
    """A dataset version: its hash, what it was built with, its statistics. `error_code` where it failed."""

    id: str
    name: str
    state: str
    parent: str | None
    content_sha256: str | None
    settings: dict[str, Any]
    statistics: dict[str, Any]
    error_code: str | None
    created_at: str
    frozen_at: str | None


@dataclass(frozen=True)
class TrainingRunView:
    """A run as it stands. `progress` is 0 to 1; `outcome` says what it left behind; `error` what to do about it."""

    id: str
    dataset: str
    recipe: str
    base: str
    state: str
    stage: str
    progress: float
    step: int
    total_steps: int | None
    cancel_requested: bool
    requested_by: str
    error_code: str | None
    error: str | None
    outcome: dict[str, Any]
    created_at: str
    started_at: str | None
    ended_at: str | None


@dataclass(frozen=True)
class LossPointView:
    """One point of a run's curve; None is not measured at this step."""

    step: int
    loss: float | None
    heldout_loss: float | None
    learning_rate: float | None


@dataclass(frozen=True)
class TrainingLog:
    """The newest lines of a run, and how many there have been in all."""

    lines: list[str]
    total: int


@dataclass(frozen=True)
class ImportRow:
    """One row of a curated file; `problem` is a code, `types` are those of the personal data that was found.

    A row with a problem comes without its text.
    """

    number: int
    question: str
    answer: str
    category: str
    problem: str | None
    types: list[str]


@dataclass(frozen=True)
class ImportPreview:
    """What a curated file would bring; nothing of it is kept yet."""

    name: str
    sha256: str
    rows: list[ImportRow]


@dataclass(frozen=True)
class ImportReport:
    """What came of an import: drafts added to the queue, and those that were there already."""

    added: int
    known: int


class LearningClient:
    """Calls for one person. Raises `ServiceError` as `LlmServiceClient` does."""

    def __init__(self, service: LlmServiceClient, person: str, roles: Sequence[str]) -> None:
        self._service = service
        self._headers = {PERSON_HEADER: person, ROLES_HEADER: ",".join(roles)}

    async def review_items(
        self,
        states: Sequence[str] = (),
        kinds: Sequence[str] = (),
        limit: int = 50,
        after: str | None = None,
        wanted: QueueWanted | None = None,
    ) -> list[ReviewItemView]:
        """Items of the queue, the oldest first; open ones where no state is named. `wanted` says more."""
        asked = (wanted or QueueWanted(states, kinds)).as_query()
        query = {**asked, "limit": limit, **({"after": after} if after else {})}
        found = await self._call("GET", "/v1/review/items", query=query)
        return [_item(one) for one in found["items"]]

    async def review_queue(
        self, decided_since: str, limit: int = 50, after: str | None = None, wanted: QueueWanted | None = None
    ) -> QueuePage:
        """A page of the queue, the oldest first, with the counts of it; `decided_since` is a time in ISO 8601."""
        query = {**(wanted or QueueWanted()).as_query(), "limit": limit, "decided_since": decided_since}
        found = await self._call("GET", "/v1/review/queue", query={**query, **({"after": after} if after else {})})
        rows = [QueueRow(**row) for row in found["rows"]]
        return QueuePage(rows, dict(found["counts"]), ReviewProgress(**found["progress"]))

    async def review_counts(self, states: Sequence[str] = (), up_to: int | None = None) -> dict[str, int]:
        """How many items are in each of these states, or of all. No count is above `up_to` + 1, which says "more"."""
        query = {"state": list(states), **({} if up_to is None else {"up_to": up_to})}
        return dict((await self._call("GET", "/v1/review/counts", query=query))["states"])

    async def review_progress(self, since: str) -> ReviewProgress:
        """What this person has decided since a time (ISO 8601), and what waits for them, up to `COUNTED_UP_TO`."""
        return ReviewProgress(**await self._call("GET", "/v1/review/progress", query={"since": since}))

    async def next_review_item(
        self, wanted: QueueWanted | None = None, skipped: Sequence[str] = (), leaving: str | None = None
    ) -> ReviewItemView | None:
        """The next item this person may decide, held for them.

        `skipped` come last, in their order, `MAXIMUM_SKIPPED` at most; `leaving` does not come at all.
        """
        body = {"wanted": (wanted or QueueWanted()).as_query(), "skipped": list(skipped), "leaving": leaving}
        found = await self._call("POST", "/v1/review/next", body)
        return _item(found["item"]) if found["item"] else None

    async def review_item(self, item_id: str) -> ReviewItemView:
        """One item with everything that was ever proposed for it."""
        return _item(await self._call("GET", f"/v1/review/items/{item_id}"))

    async def propose(self, item_id: str, version: int, question: str, answer: str, rubric: str) -> ReviewItemView:
        """Propose other words; they are masked first."""
        body = {"version": version, "question": question, "answer": answer, "rubric": rubric}
        return _item(await self._call("POST", f"/v1/review/items/{item_id}/propose", body))

    async def approve(self, item_id: str, version: int, rubric: str | None = None) -> ReviewItemView:
        """Approve what is proposed, the first time or the second."""
        return _item(
            await self._call("POST", f"/v1/review/items/{item_id}/approve", {"version": version, "rubric": rubric})
        )

    async def reject(self, item_id: str, version: int, reason: str) -> ReviewItemView:
        """Keep an example out of training."""
        return _item(
            await self._call("POST", f"/v1/review/items/{item_id}/reject", {"version": version, "reason": reason})
        )

    async def reopen(self, item_id: str, version: int, reason: str) -> ReviewItemView:
        """Take back an approval or a rejection."""
        return _item(
            await self._call("POST", f"/v1/review/items/{item_id}/reopen", {"version": version, "reason": reason})
        )

    async def add_drafts(self, drafts: Sequence[NewDraft], passages: int = 0) -> list[str | None]:
        """Put drafts into the queue; the id of each, None where it was there already.

        With `passages`, each is to be asked with so many, those that search finds for staff, as an answer would be.
        """
        if passages:
            drafts = [await self._with_passages(draft, passages) for draft in drafts]
        added: list[str | None] = []
        for batch in _batches([asdict(draft) for draft in drafts]):
            added += (await self._call("POST", "/v1/review/drafts", {"drafts": batch}))["ids"]
        return added

    async def preview_import(self, name: str, content: bytes) -> ImportPreview:
        """Look at a curated file (.json, .jsonl, .csv) without keeping anything of it."""
        found = await self._service.send_file_as("/v1/examples/preview", name, content, self._headers)
        return ImportPreview(**{**found, "rows": [ImportRow(**row) for row in found["rows"]]})

    async def import_examples(self, name: str, kind: str, licence: str, rows: Sequence[ImportRow]) -> ImportReport:
        """Take previewed rows into the queue, all or none; `ServiceError` 422 (import_row_refused)."""
        kept = ("number", "question", "answer", "category")
        body = {
            "name": name,
            "kind": kind,
            "licence": licence,
            "rows": [{field: getattr(row, field) for field in kept} for row in rows],
        }
        found = await self._service.call_as(
            "POST", "/v1/examples/import", body, self._headers, timeout_seconds=UPLOAD_TIMEOUT_SECONDS
        )
        return ImportReport(**found)

    def approved_examples(self) -> AsyncGenerator[bytes]:
        """Every approved pair as lines of JSON, piece by piece; whoever stops reading closes it."""
        return self._service.stream_as("/v1/examples/approved", self._headers)

    async def _with_passages(self, draft: NewDraft, count: int) -> NewDraft:
        found = await self._service.search(draft.question, "staff", count)
        return replace(draft, passages=[hit.id for hit in found.results])

    async def request_dataset(self, settings: dict[str, Any]) -> DatasetView:
        """Ask for the next dataset version."""
        return DatasetView(**await self._call("POST", "/v1/datasets", {"settings": settings}))

    async def datasets(self) -> list[DatasetView]:
        """Every version, the newest first."""
        return [DatasetView(**one) for one in (await self._call("GET", "/v1/datasets"))["datasets"]]

    async def dataset(self, name: str) -> DatasetView:
        return DatasetView(**await self._call("GET", f"/v1/datasets/{name}"))

    async def dataset_difference(self, name: str, against: str) -> dict[str, list[dict[str, str]]]:
        """Rows added, removed, changed and moved to the other split, each with its question, masked."""
        return await self._call("GET", f"/v1/datasets/{name}/difference/{against}")

    async def request_training(self, dataset: str, recipe: str, base: str) -> TrainingRunView:
        """Ask for a training; a worker takes it."""
        body = {"dataset": dataset, "recipe": recipe, "base": base}
        return TrainingRunView(**await self._call("POST", "/v1/training/runs", body))

    async def training_runs(self) -> list[TrainingRunView]:
        """Runs, the newest first."""
        return [TrainingRunView(**one) for one in (await self._call("GET", "/v1/training/runs"))["runs"]]

    async def training_run(self, run_id: str) -> TrainingRunView:
        return TrainingRunView(**await self._call("GET", f"/v1/training/runs/{run_id}"))

    async def training_points(self, run_id: str, after_step: int = -1) -> list[LossPointView]:
        """The curve of a run behind a step."""
        query = {"after_step": after_step}
        found = await self._call("GET", f"/v1/training/runs/{run_id}/points", query=query)
        return [LossPointView(**one) for one in found["points"]]

    async def training_log(self, run_id: str) -> TrainingLog:
        return TrainingLog(**await self._call("GET", f"/v1/training/runs/{run_id}/log"))

    async def cancel_training(self, run_id: str) -> TrainingRunView:
        return TrainingRunView(**await self._call("POST", f"/v1/training/runs/{run_id}/cancel", {}))

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, query: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        return await self._service.call_as(method, path, body, self._headers, query)


def _batches(drafts: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for draft in drafts:
        length = len(json.dumps(draft, ensure_ascii=False).encode())
        if batch and (len(batch) == MAXIMUM_DRAFTS or size + length > DRAFTS_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(draft)
        size += length
    if batch:
        yield batch


def _item(told: dict[str, Any]) -> ReviewItemView:
    return ReviewItemView(
        **{
            **told,
            "revisions": [ReviewRevision(**one) for one in told["revisions"]],
            "history": [ReviewEvent(**one) for one in told["history"]],
        }
    )
