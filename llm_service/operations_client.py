"""The way in to running the platform for what is outside llm_service: controls, counts, and looking conversations up.

Every call acts for a person with roles, who are named beside the service token.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from llm_service.client import PERSON_HEADER, ROLES_HEADER, LlmServiceClient, Source

Rating = Literal["up", "down", "none"]
COMPARISON_TIMEOUT_SECONDS: Final = 150.0


@dataclass(frozen=True)
class ControlView:
    """One thing an admin may set. `value` holds now; `environment` is what holds where nothing is set.

    `version` is handed back with a change; 0 was never set. `lowest` and `highest` are None for the switch of answers.
    """

    name: str
    value: bool | int
    environment: bool | int
    is_set: bool
    version: int
    lowest: int | None
    highest: int | None
    reason: str | None = None
    note: str | None = None
    changed_by: str | None = None
    changed_at: str | None = None


@dataclass(frozen=True)
class ControlsView:
    """Every control, and what only the environment says (`fixed`, by the variable's name)."""

    controls: dict[str, ControlView]
    fixed: dict[str, bool | int | float | str]
    seconds_kept: float

    @property
    def answers(self) -> ControlView:
        return self.controls["answers"]


@dataclass(frozen=True)
class Counts:
    """What was counted of a channel, or from a time on. Cut: sentences the check took out; masked: values."""

    name: str
    turns: int = 0
    answered: int = 0
    refused: int = 0
    replied: int = 0
    failed: int = 0
    cut_sentences: int = 0
    turns_with_cuts: int = 0
    masked_values: int = 0
    turns_with_masked: int = 0
    thumbs_up: int = 0
    thumbs_down: int = 0

    @property
    def down_share(self) -> float | None:
        """The share of the verdicts that are thumbs down; None without any."""
        verdicts = self.thumbs_up + self.thumbs_down
        return self.thumbs_down / verdicts if verdicts else None

    @property
    def refused_share(self) -> float | None:
        """The share of the turns meant for documents that were refused; None without any."""
        asked = self.answered + self.refused
        return self.refused / asked if asked else None


@dataclass(frozen=True)
class StatisticsView:
    """The counts of a period: in all, by channel, and step by step (`name` is the step's beginning, UTC).

    `oldest_waiting` is when the oldest example that waits for a decision came in.
    """

    since: str
    until: str
    step_hours: int
    total: Counts
    channels: list[Counts]
    points: list[Counts]
    oldest_waiting: str | None


@dataclass(frozen=True)
class Place:
    """Where a page of a search ended: the next one begins behind it."""

    at: str
    id: str


@dataclass(frozen=True)
class Sought:
    """Which turns. `text` is found in question or answer as it stands there, masked; empty fields ask nothing.

    `since` and `until` are times in ISO 8601, `until` exclusive; `person` is the keyed hash in the records.
    """

    text: str = ""
    channel: str = ""
    audience: str = ""
    since: str | None = None
    until: str | None = None
    rating: Rating | None = None
    state: str = ""
    intent: str = ""
    engine: str = ""
    adapter: str = ""
    person: str = ""


@dataclass(frozen=True)
class FoundTurn:
    """A turn as a search shows it, masked; `ratings` are the verdicts on it."""

    id: str
    conversation_id: str
    at: str
    channel: str
    audience: str
    person: str
    question: str
    answer: str | None
    state: str
    intent: str | None
    engine: str | None
    adapter: str | None
    ratings: list[str]


@dataclass(frozen=True)
class FoundTurns:
    """One page, the newest first. `next` is None when nothing more can follow.

    A page looks at so many turns and no more: `looked_back_to` says how far it came where it was not to the end.
    """

    turns: list[FoundTurn]
    next: Place | None
    looked_back_to: str | None


@dataclass(frozen=True)
class ConversationView:
    """A conversation, masked, with a part of its turns in their order; `next_position` goes on where it is not None."""

    id: str
    channel: str
    audience: str
    groups: list[str]
    locale: str
    person: str
    created_at: str
    turns: list[FoundTurn]
    next_position: int | None


@dataclass(frozen=True)
class ComparedAnswer:
    """What one of several answers was: of `adapter`, or of the base where it is None. `error_code` where it failed."""

    adapter: str | None
    answer: str | None
    refused: bool
    engine: str
    sources: list[Source] = field(default_factory=list)
    cut_sentences: int = 0
    milliseconds: float = 0.0
    error_code: str | None = None


class OperationsClient:
    """Calls for one person. Raises `ServiceError` as `LlmServiceClient` does."""

    def __init__(self, service: LlmServiceClient, person: str, roles: Sequence[str]) -> None:
        self._service = service
        self._headers = {PERSON_HEADER: person, ROLES_HEADER: ",".join(roles)}

    async def controls(self) -> ControlsView:
        """What is set, and what the environment says."""
        return _controls(await self._call("GET", "/v1/controls"))

    async def switch_answers(
        self, *, is_on: bool, reason: str, note: str = "", version: int | None = None
    ) -> ControlsView:
        """Give answers from documents, or nobody any. `reason` is a code; `note` is masked."""
        body = {"reason": reason, "note": note, "version": version}
        return _controls(await self._call("POST", f"/v1/controls/answers/{'on' if is_on else 'off'}", body))

    async def set_control(self, name: str, value: int | None, reason: str, note: str, version: int) -> ControlsView:
        """Set a number; None gives it back to the environment."""
        body = {"value": value, "reason": reason, "note": note, "version": version}
        return _controls(await self._call("POST", f"/v1/controls/{name}", body))

    async def statistics(self, hours: int, channel: str = "") -> StatisticsView:
        """The counts of the newest hours; `channel` narrows the steps, not the list of channels."""
        found = await self._call("GET", "/v1/statistics", query={"hours": hours, "channel": channel})
        told = {name: [Counts(**one) for one in found[name]] for name in ("channels", "points")}
        return StatisticsView(**{**found, **told, "total": Counts(**found["total"])})

    async def search_conversations(self, sought: Sought, after: Place | None, limit: int) -> FoundTurns:
        """One page of turns; that it was read is an audit row."""
        body = {"sought": asdict(sought), "after": asdict(after) if after else None, "limit": limit}
        found = await self._call("POST", "/v1/conversations/search", body)
        turns = [FoundTurn(**one) for one in found["turns"]]
        return FoundTurns(turns, Place(**found["next"]) if found["next"] else None, found["looked_back_to"])

    async def conversation(self, conversation_id: str, from_position: int = 1) -> ConversationView:
        """A conversation from one of its turns on; that it was read is an audit row."""
        query = {"from_position": from_position}
        found = await self._call("GET", f"/v1/conversations/{conversation_id}", query=query)
        return ConversationView(**{**found, "turns": [FoundTurn(**one) for one in found["turns"]]})

    async def compare(self, item_id: str, adapters: Sequence[str | None]) -> list[ComparedAnswer]:
        """The question of an example answered anew, by each of the versions; None is the base."""
        found = await self._call(
            "POST",
            f"/v1/review/items/{item_id}/compare",
            {"adapters": list(adapters)},
            timeout_seconds=COMPARISON_TIMEOUT_SECONDS,
        )
        return [
            ComparedAnswer(**{**one, "sources": [Source(**source) for source in one["sources"]]})
            for one in found["answers"]
        ]

    async def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        query: dict[str, Any] | None = None,
        timeout_seconds: float | None = None,
    ) -> dict[str, Any]:
        return await self._service.call_as(method, path, body, self._headers, query, timeout_seconds)


def _controls(told: dict[str, Any]) -> ControlsView:
    controls = {name: ControlView(**one) for name, one in told["controls"].items()}
    return ControlsView(controls, told["fixed"], told["seconds_kept"])
