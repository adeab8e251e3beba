"""The one way in to llm_service for everything outside it: typed calls and the shapes that travel.

Imports nothing of ours but the connections, so that the gateway and the command line depend on the wire and not on the
service.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Final, Literal

import httpx

from llm_service.connections import StreamingTransport

Audience = Literal["staff", "customer"]
Locale = Literal["ko", "en"]
Verdict = Literal["up", "down"]
RetestState = Literal["still_right", "changed", "gone"]
EventName = Literal["sources", "notice", "token", "done", "error"]

PLACEHOLDER_TYPES: Final = (
    "PERSON",
    "KR_RRN",
    "KR_FRN",
    "KR_PASSPORT",
    "KR_DRIVER_LICENSE",
    "KR_BRN",
    "CREDIT_CARD",
    "KR_BANK_ACCOUNT",
    "PHONE",
    "EMAIL",
    "ADDRESS",
    "BIRTHDATE",
    "IP",
    "VEHICLE_PLATE",
    "CUSTOMER_ID",
)
"""The types in the placeholders `<TYPE_n>` of masked texts: the one list, for masking, the vault and restoring."""

GROUP_PATTERN: Final = r"^[a-z][a-z0-9_-]{0,31}$"
"""What the name of a group looks like, of a person as of a document; so `*` is nobody's."""
MAXIMUM_GROUPS: Final = 64

CONVERSATION_HEADER: Final = "X-Haechi-Conversation"
PERSON_HEADER: Final = "X-Haechi-Person"
ROLES_HEADER: Final = "X-Haechi-Roles"
"""Who acts, with which roles (separated by commas): said by the console, which has signed them in."""
CONNECT_TIMEOUT_SECONDS: Final = 2.0
CALL_TIMEOUT_SECONDS: Final = 10.0
UPLOAD_TIMEOUT_SECONDS: Final = 120.0
RETEST_TIMEOUT_SECONDS: Final = 900.0
STREAM_SILENCE_SECONDS: Final = 60.0


class ServiceError(Exception):
    """llm_service refused or failed: `code` is stable, `status` is HTTP's (503 when nothing answered)."""

    def __init__(self, code: str, status: int, message: str, message_ko: str = "") -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.status = status
        self.message = message
        self.message_ko = message_ko


@dataclass(frozen=True)
class ConversationKey:
    """Which thread of which person in which channel; `thread` and `user` are hashed before they are kept.

    `audience` and `groups` are what the person may see: other rights are another conversation.
    """

    channel: str
    thread: str
    user: str
    audience: Audience
    locale: Locale = "ko"
    groups: tuple[str, ...] = ()


@dataclass(frozen=True)
class AcceptedTurn:
    """A question as it was stored. `replayed` says that the event id was known already: the same turn is returned.

    In state handed_off it is no turn: a person of the bank has the conversation, and the text went to them.
    """

    turn_id: str
    conversation_id: str
    masked_text: str
    entity_counts: dict[str, int]
    replayed: bool
    state: str
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """Who decided what a question is: `by` is rasa or fallback, `reason` says why the fallback was taken."""

    intent: str
    confidence: float
    by: str
    reason: str = ""
    milliseconds: float = 0.0


@dataclass(frozen=True)
class Source:
    """A passage an answer rests on. `number` is the [n] of the answer; `label` is how a person cites it."""

    number: int
    passage_id: int | None
    label: str
    document: str
    title: str
    article: str | None
    page: int | None
    heading_path: list[str]
    text: str
    score: float
    in_force_from: str | None


@dataclass(frozen=True)
class StreamEvent:
    """One server-sent event of an answer. `id` grows by one from 1 and can be handed back as Last-Event-ID.

    An `error` that repeats the last id (0 at the start) ends the stream and not the answer: its reader may come back.

    data: sources {"sources": [Source]}, notice {"code", "text"}, token {"text"},
    done {"turn_id", "state", "refused", "engine", "timings" (milliseconds by stage)}, error {"code", "message"}.
    """

    id: int
    event: EventName
    data: dict[str, Any]


@dataclass(frozen=True)
class TurnView:
    """A turn as it is kept: masked question, masked answer, sources, state."""

    turn_id: str
    conversation_id: str
    state: str
    question: str
    answer: str | None
    refused: bool
    engine: str | None
    intent: str | None
    sources: list[Source]
    timings: dict[str, float]


@dataclass(frozen=True)
class Explanation:
    """The whole story of one turn, masked: asked, routed, searched, written, checked. Times are milliseconds.

    route: {"intent", "confidence", "by", "reason"}; filters: {"audience", "groups", "as_of"}; candidates, best first:
    [{"passage_id", "label", "score", "signals"}]; verdicts, one a sentence: [{"sentence", "passed", "failures",
    "unsupported", "entailment", "cited", "rewritten"}]. `prompt_sha256` is None where the engine renders no prompt.
    fallbacks: optional parts of retrieval that were set but did not answer, as "part:reason".
    """

    turn_id: str
    conversation_id: str
    channel: str
    state: str
    question: str
    asked_at: str
    route: dict[str, Any]
    query_terms: list[str]
    filters: dict[str, Any]
    candidates: list[dict[str, Any]]
    confidence: float | None
    refusal_threshold: float | None
    features: dict[str, float]
    refusal_reason: str | None
    engine: str | None
    adapter: str | None
    prompt_sha256: str | None
    verdicts: list[dict[str, Any]]
    answer: str | None
    sources: list[Source]
    error_code: str | None
    timings: dict[str, float]
    retrieval_timings: dict[str, float]
    fallbacks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FlaggedPassage:
    """A passage of a quarantined document that gives orders: where it stands, what it says (masked), which families."""

    position: int
    label: str
    text: str
    families: list[str]


@dataclass(frozen=True)
class SearchHit:
    """One passage found: `document` is relative to the ingested folder, `article` is 제4조의2 where there is one."""

    id: int
    document: str
    article: str | None
    page: int | None
    label: str
    text: str
    score: float


@dataclass(frozen=True)
class SearchResult:
    results: list[SearchHit]
    refused: bool
    timings: dict[str, float]


@dataclass(frozen=True)
class DocumentReport:
    """What became of one uploaded file: ready, unchanged or failed with the reason."""

    path: str
    state: Literal["ready", "unchanged", "failed", "quarantined"]
    reason: str | None
    document_id: int | None
    passages: int
    entity_counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WordChange:
    """Neighbouring words of a clause that stayed, went or came: `kind` is same, removed or added."""

    kind: str
    text: str


@dataclass(frozen=True)
class ChangedClause:
    """A clause that an edition added, removed or changed (`kind`); `mark` is the 항 (②), empty for a whole article."""

    place: str
    mark: str
    kind: str
    before: str
    after: str
    words: list[WordChange]


@dataclass(frozen=True)
class DocumentChanges:
    """What an edition changed of the one before it in its series; `previous_id` is None for a first edition."""

    document_id: int
    title: str
    in_force_from: str
    previous_id: int | None
    previous_in_force_from: str | None
    clauses: list[ChangedClause]


@dataclass(frozen=True)
class RetestedAnswer:
    """An approved answer held against a new edition, all masked. `failures` are the verifier's kinds."""

    feedback_id: str
    turn_id: str
    state: RetestState
    question: str
    approved_answer: str
    new_answer: str
    clauses: list[str]
    failures: list[str]


@dataclass(frozen=True)
class RetestReport:
    """The approved answers that cite a changed clause, asked again as of the edition's first day."""

    document_id: int
    as_of: str
    counts: dict[RetestState, int]
    answers: list[RetestedAnswer]


@dataclass(frozen=True)
class Purged:
    """How many rows were deleted because their time was over."""

    vault_entries: int
    turns: int
    feedback: int
    conversations: int
    review_items: int
    audit_events: int


@dataclass(frozen=True)
class Rotated:
    """How far a key rotation has come; `entries` counts by key id, under "unknown" those whose key is nowhere."""

    active: str
    moved: int
    damaged: int
    entries: dict[str, int]
    finished: bool


@dataclass(frozen=True)
class Erased:
    """What was deleted of a person, or would be, in rows; the data sets and adapters made from it by name."""

    conversations: int
    turns: int
    sources: int
    feedback: int
    vault_entries: int
    mentions: int
    datasets: list[str]
    adapters: list[str]


@dataclass(frozen=True)
class AuditEvent:
    """Who did what when. `at` is UTC in ISO 8601; `actor` is a service or a person's keyed hash; never text.

    `sha256` chains the row to the one at `position` - 1.
    """

    id: int
    at: str
    actor: str
    action: str
    subject_kind: str
    subject_id: str
    details: dict[str, Any]
    position: int
    sha256: str


@dataclass(frozen=True)
class AuditVerification:
    """Whether the chain of audit rows holds; `fault` says what was done to it first, at `position`.

    `last_sha256`, kept elsewhere, proves later that the rows up to `last_position` are still the same.
    """

    rows: int
    first_position: int
    last_position: int
    last_sha256: str
    fault: str | None
    position: int | None


class LlmServiceClient:
    """Calls llm_service over HTTP with the service token. Every call raises `ServiceError` and nothing else."""

    def __init__(self, base_url: str, token: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        timeout = httpx.Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
        self._base_url = base_url.rstrip("/")
        self._authorization = {"Authorization": f"Bearer {token}"}
        self._transport = transport or StreamingTransport()
        # For forms and the like; what every turn calls goes to the transport itself, which costs half.
        self._http = httpx.AsyncClient(
            base_url=base_url, timeout=timeout, transport=self._transport, trust_env=False, headers=self._authorization
        )
        self._acting: dict[str, str] = {}

    async def close(self) -> None:
        await self._http.aclose()

    def acting_as(self, person: str, roles: Sequence[str]) -> "LlmServiceClient":
        """The same service over the same connections, told with every call who acts: their name stands in the audit."""
        named = copy(self)
        named._acting = {PERSON_HEADER: person, ROLES_HEADER: ",".join(roles)}
        return named

    async def create_turn(self, event_id: str, conversation: ConversationKey, text: str) -> AcceptedTurn:
        """Mask and store a question. The same `event_id` in the same conversation returns the same turn."""
        body = {"event_id": event_id, "conversation": asdict(conversation), "text": text}
        return AcceptedTurn(**await self._call("POST", "/v1/turns", body))

    async def start_answer(self, turn_id: str, conversation_id: str, route: Route, as_of: date | None = None) -> None:
        """Begin answering from documents; asked again, the running or finished answer stays the only one."""
        body = {"route": asdict(route), "as_of": as_of.isoformat() if as_of else None}
        await self._call("POST", f"/v1/turns/{turn_id}/answer", body, conversation_id)

    async def store_reply(self, turn_id: str, conversation_id: str, route: Route, text: str) -> None:
        """Keep a deterministic reply (greeting, form, card loss ...) as the turn's answer, masked like a question."""
        await self._call("POST", f"/v1/turns/{turn_id}/reply", {"route": asdict(route), "text": text}, conversation_id)

    async def stop_answer(self, turn_id: str, conversation_id: str) -> None:
        """Stop a running answer; a finished one stays as it is."""
        await self._call("POST", f"/v1/turns/{turn_id}/stop", {}, conversation_id)

    async def turn(self, turn_id: str, conversation_id: str) -> TurnView:
        found = await self._call("GET", f"/v1/turns/{turn_id}", None, conversation_id)
        return TurnView(**{**found, "sources": [Source(**source) for source in found["sources"]]})

    async def explanation(self, turn_id: str, conversation_id: str | None = None) -> Explanation:
        """How an answer came about. Without its conversation it is an operator's reading, and is audited."""
        found = await self._call("GET", f"/v1/turns/{turn_id}/explanation", None, conversation_id)
        return Explanation(**{**found, "sources": [Source(**source) for source in found["sources"]]})

    def events(self, turn_id: str, conversation_id: str, after: int = 0) -> AsyncGenerator[StreamEvent]:
        """The events of an answer after the given id, until `done` or `error`; reading again generates nothing.

        Whoever stops reading before the end closes it (`contextlib.aclosing`): it holds a connection.
        """
        return self.events_at(f"/v1/turns/{turn_id}/events", conversation_id, after)

    async def events_at(self, path: str, conversation_id: str, after: int) -> AsyncGenerator[StreamEvent]:
        """The events of any stream of the service, for `llm_service.handoff_client`; closed as `events` is."""
        headers = {CONVERSATION_HEADER: conversation_id, "Last-Event-ID": str(after)}
        request = self._request("GET", path, headers, None, read_seconds=STREAM_SILENCE_SECONDS)
        async with _as_service_errors():
            response = await self._transport.handle_async_request(request)
            assert isinstance(response.stream, AsyncIterable)
            try:
                if response.status_code != httpx.codes.OK:
                    await response.aread()
                    raise _error_of(response)
                held = b""
                async for piece in response.stream:
                    *blocks, held = (held + piece).split(b"\n\n")
                    for block in blocks:
                        if (event := parse_event(block.decode().split("\n"))) is not None:
                            yield event
            finally:
                await response.aclose()

    async def give_feedback(
        self,
        turn_id: str,
        conversation_id: str,
        event_id: str,
        verdict: Verdict,
        reason: str | None = None,
        correction: str | None = None,
    ) -> str:
        """Store a verdict (idempotent on `event_id`) and return the feedback's id."""
        body = {
            "turn_id": turn_id,
            "event_id": event_id,
            "verdict": verdict,
            "reason": reason,
            "correction": correction,
        }
        return str((await self._call("POST", "/v1/feedback", body, conversation_id))["feedback_id"])

    async def judge_last_answer(self, conversation_id: str, event_id: str, verdict: Verdict) -> str:
        """Store a verdict on the conversation's last answer from documents and return the feedback's id.

        `ServiceError` answer_not_found (404): there is none; turn_not_finished (409): it is still being written.
        """
        body = {"event_id": event_id, "verdict": verdict}
        return str((await self._call("POST", "/v1/feedback", body, conversation_id))["feedback_id"])

    async def search(
        self,
        question: str,
        audience: Audience,
        k: int = 5,
        as_of: date | None = None,
        groups: Sequence[str] = (),
    ) -> SearchResult:
        """Passages for a question, which is masked first. `refused`: the passages do not carry an answer."""
        body: dict[str, Any] = {"question": question, "k": k, "audience": audience, "groups": list(groups)}
        body["as_of"] = as_of.isoformat() if as_of else None
        found = await self._call("POST", "/v1/search", body)
        return SearchResult([SearchHit(**hit) for hit in found["results"]], found["refused"], found["timings"])

    async def mask(self, text: str) -> dict[str, Any]:
        """{"masked": str, "entity_counts": {type: n}}."""
        return await self._call("POST", "/v1/mask", {"text": text})

    async def upload_document(
        self,
        path: str,
        content: bytes,
        audience: Sequence[Audience],
        title: str | None = None,
        in_force_from: date | None = None,
        groups: Sequence[str] = (),
        mask_names: bool = False,
    ) -> DocumentReport:
        """Ingest one file under a path relative to its folder; unchanged content is not ingested again.

        `groups`: whose members may see it, of its audience; everybody of the audience where there are none.
        `mask_names`: person names are masked too, not only numbers, addresses and the like.
        """
        declared = {
            "title": title,
            "in_force_from": in_force_from.isoformat() if in_force_from else None,
            "groups": ",".join(groups),
            "mask_names": "true" if mask_names else None,
        }
        form = {
            "path": path,
            "audience": ",".join(audience),
            **{name: value for name, value in declared.items() if value},
        }
        async with _as_service_errors():
            response = await self._http.post(
                "/v1/documents",
                data=form,
                files={"file": ("upload", content)},
                headers=self._acting,
                timeout=UPLOAD_TIMEOUT_SECONDS,
            )
        return DocumentReport(**_json_of(response))

    async def documents(self) -> list[dict[str, Any]]:
        return list((await self._call("GET", "/v1/documents", None))["documents"])

    async def flagged_passages(self, document_id: int) -> list[FlaggedPassage]:
        """What a reviewer of a quarantined document needs to see; empty if it was quarantined for another reason."""
        found = await self._call("GET", f"/v1/documents/{document_id}/flagged", None)
        return [FlaggedPassage(**passage) for passage in found["passages"]]

    async def release_document(self, document_id: int, reason: str) -> None:
        """Let a quarantined document into the answers; `reason` is a code, which is audited."""
        await self._call("POST", f"/v1/documents/{document_id}/release", {"reason": reason})

    async def withdraw_document(self, document_id: int, reason: str = "operator") -> None:
        """Take one edition out of every answer; the edition before it is in force again. `reason` is a code."""
        async with _as_service_errors():
            response = await self._http.delete(
                f"/v1/documents/{document_id}", headers=self._acting, params={"reason": reason}
            )
        if not response.is_success:
            raise _error_of(response)

    async def document_changes(self, document_id: int) -> DocumentChanges:
        """The clauses that an edition added, removed or changed."""
        found = await self._call("GET", f"/v1/documents/{document_id}/changes", None)
        clauses = [
            ChangedClause(**{**clause, "words": [WordChange(**word) for word in clause["words"]]})
            for clause in found["clauses"]
        ]
        return DocumentChanges(**{**found, "clauses": clauses})

    async def retest_document(self, document_id: int) -> RetestReport:
        """Ask approved questions again whose answers cite a clause that this edition changed."""
        async with _as_service_errors():
            response = await self._http.post(
                f"/v1/documents/{document_id}/retest", json={}, headers=self._acting, timeout=RETEST_TIMEOUT_SECONDS
            )
        found = _json_of(response)
        return RetestReport(**{**found, "answers": [RetestedAnswer(**answer) for answer in found["answers"]]})

    async def restore(self, conversation_id: str, owner: str, placeholders: Sequence[str]) -> dict[str, str]:
        """The values behind placeholders of a person's own web conversation; those without one are left out.

        `owner` is the person's id as the channel knows it. Whoever asks for another's conversation gets nothing.
        """
        body = {"owner": owner, "placeholders": list(placeholders)}
        return dict((await self._call("POST", f"/v1/conversations/{conversation_id}/restore", body))["values"])

    async def purge(self) -> Purged:
        """Delete what has outlived its time now, and not only when it is next due."""
        return Purged(**await self._call("POST", "/v1/retention/purge", {}))

    async def rotate_vault_keys(self) -> Rotated:
        """Have the vault's keys read again and go on re-encrypting; call again until it is finished."""
        return Rotated(**await self._call("POST", "/v1/vault/rotate", {}))

    async def erase_channel_user(self, channel: str, user: str, reason: str, *, dry_run: bool) -> Erased:
        """Delete every conversation of a person of a channel; a dry run only counts."""
        body = {"person": {"channel": channel, "user": user}, "reason": reason, "dry_run": dry_run}
        return Erased(**await self._call("POST", "/v1/erasures", body))

    async def erase_mentioned_value(self, type_: str, value: str, reason: str, *, dry_run: bool) -> Erased:
        """Delete every conversation that mentions a value, such as a telephone number; a dry run only counts."""
        body = {"person": {"type": type_, "value": value}, "reason": reason, "dry_run": dry_run}
        return Erased(**await self._call("POST", "/v1/erasures", body))

    async def audit_events(
        self, action: str | None = None, before_id: int | None = None, limit: int = 100, actors: Sequence[str] = ()
    ) -> list[AuditEvent]:
        """Audit rows, the newest first; `before_id` continues after the last one of an earlier call.

        `actors` are the names of one person, two at most: an account has its id and the keyed hash of it.
        """
        body = {"action": action, "before_id": before_id, "limit": limit, "actors": list(actors)}
        return [AuditEvent(**event) for event in (await self._call("POST", "/v1/audit/search", body))["events"]]

    async def verify_audit(self) -> AuditVerification:
        """Compute the chain of audit rows again and compare."""
        async with _as_service_errors():
            response = await self._http.post("/v1/audit/verify", json={}, timeout=RETEST_TIMEOUT_SECONDS)
        return AuditVerification(**_json_of(response))

    async def export_audit(self, after_position: int = -1, limit: int = 1000) -> list[AuditEvent]:
        """Audit rows in the order of the chain, behind a position; an empty list is the end."""
        body = {"after_position": after_position, "limit": limit}
        return [AuditEvent(**event) for event in (await self._call("POST", "/v1/audit/export", body))["events"]]

    async def ready(self) -> dict[str, Any]:
        """What `/health/ready` says, also while it says no (status 503): {"ready": bool, "parts": {name: state}}."""
        async with _as_service_errors():
            response = await self._http.get("/health/ready")
        return dict(response.json())

    async def call_as(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any]:
        """One call with headers of the caller's, which say who acts: for `llm_service.learning_client` and its like."""
        timeout = httpx.Timeout(timeout_seconds or CALL_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS)
        async with _as_service_errors():
            response = await self._http.request(
                method, path, json=body, headers=dict(headers), params=query, timeout=timeout
            )
        return _json_of(response)

    async def send_file_as(self, path: str, name: str, content: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
        """One file under its name, with headers that say who acts."""
        async with _as_service_errors():
            response = await self._http.post(
                path, files={"file": (name, content)}, headers=dict(headers), timeout=UPLOAD_TIMEOUT_SECONDS
            )
        return _json_of(response)

    async def stream_as(self, path: str, headers: Mapping[str, str]) -> AsyncGenerator[bytes]:
        """A long answer piece by piece, with headers that say who acts. Whoever stops reading closes it."""
        async with (
            _as_service_errors(),
            self._http.stream("GET", path, headers=dict(headers), timeout=UPLOAD_TIMEOUT_SECONDS) as response,
        ):
            if response.status_code != httpx.codes.OK:
                await response.aread()
                _json_of(response)
            async for piece in response.aiter_bytes():
                yield piece

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None, conversation_id: str | None = None
    ) -> dict[str, Any]:
        headers = {CONVERSATION_HEADER: conversation_id} if conversation_id else {}
        async with _as_service_errors():
            response = await self._transport.handle_async_request(self._request(method, path, headers, body))
            await response.aread()
        return _json_of(response)

    def _request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: dict[str, Any] | None,
        read_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> httpx.Request:
        timeouts = {"connect": CONNECT_TIMEOUT_SECONDS, "read": read_seconds, "write": CALL_TIMEOUT_SECONDS}
        return httpx.Request(
            method,
            f"{self._base_url}{path}",
            headers={**self._authorization, **self._acting, **headers},
            json=body,
            extensions={"timeout": {**timeouts, "pool": None}},
        )


def parse_event(lines: list[str]) -> StreamEvent | None:
    """One event from its lines; None for comments and blocks without data (WHATWG HTML, "Server-sent events")."""
    fields = dict(_fields_of(lines))
    if "data" not in fields:
        return None
    return StreamEvent(int(fields["id"]), fields["event"], json.loads(fields["data"]))  # type: ignore[arg-type]


def _fields_of(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, colon, value = line.partition(":")
        if name and colon:
            yield name, value.removeprefix(" ")


@asynccontextmanager
async def _as_service_errors() -> AsyncIterator[None]:
    # The cause is cut off: httpx's own messages carry URLs.
    try:
        yield
    except httpx.TimeoutException:
        raise ServiceError("llm_service_timeout", 504, "llm_service did not answer in time") from None
    except httpx.HTTPError:
        raise ServiceError(
            "llm_service_unreachable", 503, "llm_service cannot be reached; see `haechi doctor`"
        ) from None


def _json_of(response: httpx.Response) -> dict[str, Any]:
    if response.is_success:
        return dict(response.json())
    raise _error_of(response)


def _error_of(response: httpx.Response) -> ServiceError:
    try:
        error = response.json()["error"]
        return ServiceError(error["code"], response.status_code, error["message"], error.get("message_ko", ""))
    except (ValueError, KeyError, TypeError):
        return ServiceError(
            "unreadable_reply", response.status_code, "llm_service answered something that is not its protocol"
        )
