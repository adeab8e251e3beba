"""The way in to hand-offs for what is outside llm_service: the shapes that travel, and the calls.

People of channels are named by their conversation, agents of the console by themselves and their roles.
"""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from llm_service.client import (
    CONVERSATION_HEADER,
    PERSON_HEADER,
    ROLES_HEADER,
    ConversationKey,
    LlmServiceClient,
    StreamEvent,
)

HandoffState = Literal["none", "waiting", "taken", "answered", "closed", "abandoned"]
Reason = Literal["asked", "refused", "complaint"]


@dataclass(frozen=True)
class OfficeView:
    """Whether people of the bank are there; `opens_at` in UTC is when they will be back."""

    enabled: bool
    open: bool
    opens_at: str | None


@dataclass(frozen=True)
class HandoffStatus:
    """How it stands for the person who asked. `handoff_id` and `conversation_id` are empty where `state` is none."""

    state: HandoffState
    office: OfficeView
    handoff_id: str = ""
    conversation_id: str = ""
    is_new: bool = False
    ahead: int = 0
    asked_at: str | None = None
    due_at: str | None = None
    rating: int | None = None
    last_event_id: int = 0


@dataclass(frozen=True)
class SaidView:
    """One line of a conversation, masked. `author`: person, bot, agent, or state, whose `text` is its name."""

    author: str
    text: str
    at: str
    position: int = 0


@dataclass(frozen=True)
class HandoffView:
    """A hand-off as an agent sees it. `taken_by` is a keyed hash, `mine` says whether it is the asking agent's."""

    id: str
    conversation_id: str
    channel: str
    audience: str
    locale: str
    reason: str
    state: str
    asked_at: str
    due_at: str | None
    taken_by: str | None
    mine: bool
    first_reply_at: str | None
    ended_at: str | None
    ended_by: str | None
    rating: int | None
    last_position: int
    said: list[SaidView] = field(default_factory=list)


@dataclass(frozen=True)
class DeliveryView:
    """Words that a channel has to bring to its person. `kind` is message, or the new state."""

    id: str
    handoff_id: str
    kind: str
    locale: str
    text: str = field(repr=False)
    reply_to: str = field(repr=False)


class PersonHandoffs:
    """Calls for the person in a channel. Raises `ServiceError` as `LlmServiceClient` does."""

    def __init__(self, service: LlmServiceClient) -> None:
        self._service = service

    async def ask(self, conversation: ConversationKey, reason: Reason, reply_to: str = "") -> HandoffStatus:
        """Ask for a person of the bank; the open hand-off where there is one, state none outside the hours."""
        body = {"conversation": asdict(conversation), "reason": reason, "reply_to": reply_to}
        return _status(await self._service.call_as("POST", "/v1/handoffs", body, {}))

    async def status(self, conversation: ConversationKey) -> HandoffStatus:
        """How the conversation's last hand-off stands."""
        body = {"conversation": asdict(conversation)}
        return _status(await self._service.call_as("POST", "/v1/handoffs/status", body, {}))

    async def write(self, handoff_id: str, conversation_id: str, event_id: str, text: str) -> int:
        """Words for the agent, masked before they are kept; the number of their event."""
        body = {"event_id": event_id, "text": text}
        found = await self._call("messages", handoff_id, conversation_id, body)
        return int(found["position"])

    async def leave(self, handoff_id: str, conversation_id: str) -> HandoffStatus:
        """Give it up."""
        return _status(await self._call("leave", handoff_id, conversation_id, {}))

    async def rate(self, handoff_id: str, conversation_id: str, rating: int) -> HandoffStatus:
        """Rate a closed one, 1 to 5, once."""
        return _status(await self._call("rate", handoff_id, conversation_id, {"rating": rating}))

    def events(self, handoff_id: str, conversation_id: str, after: int = 0) -> AsyncGenerator[StreamEvent]:
        """What happens behind a number: state {"state", "at"}, message {"author", "message_id", "text", "at"}.

        Ends with closed or abandoned. Close what you get.
        """
        return self._service.events_at(f"/v1/handoffs/{handoff_id}/events", conversation_id, after)

    async def undelivered(self, channel: str) -> list[DeliveryView]:
        """Words this channel has to deliver, claimed for a minute; unacknowledged they come again."""
        found = await self._service.call_as("POST", "/v1/handoffs/deliveries", {"channel": channel}, {})
        return [DeliveryView(**one) for one in found["deliveries"]]

    async def delivered(self, event_id: str) -> None:
        """Acknowledge one."""
        await self._service.call_as("POST", f"/v1/handoffs/deliveries/{event_id}", {}, {})

    async def _call(self, what: str, handoff_id: str, conversation_id: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {CONVERSATION_HEADER: conversation_id}
        return await self._service.call_as("POST", f"/v1/handoffs/{handoff_id}/{what}", body, headers)


class AgentHandoffs:
    """Calls for one agent of the console. Raises `ServiceError` as `LlmServiceClient` does."""

    def __init__(self, service: LlmServiceClient, person: str, roles: Sequence[str]) -> None:
        self._service = service
        self._headers = {PERSON_HEADER: person, ROLES_HEADER: ",".join(roles)}

    async def queue(self, states: Sequence[str] = (), limit: int = 100) -> list[HandoffView]:
        """Hand-offs, the longest owed first; open ones where no state is named."""
        query = {"state": list(states), "limit": limit}
        found = await self._service.call_as("GET", "/v1/handoffs", None, self._headers, query)
        return [_view(one) for one in found["handoffs"]]

    async def office(self) -> OfficeView:
        """Whether the office is open."""
        return OfficeView(**await self._service.call_as("GET", "/v1/handoffs/office", None, self._headers))

    async def handoff(self, handoff_id: str) -> HandoffView:
        """One with its conversation. That somebody reads a conversation that is not theirs is an audit row."""
        return _view(await self._service.call_as("GET", f"/v1/handoffs/{handoff_id}", None, self._headers))

    async def take(self, handoff_id: str) -> HandoffView:
        """Make it this agent's. 409 handoff_taken where another was first."""
        return await self._post(handoff_id, "take", {})

    async def release(self, handoff_id: str) -> HandoffView:
        """Give it back to those who wait."""
        return await self._post(handoff_id, "release", {})

    async def reply(self, handoff_id: str, event_id: str, text: str) -> HandoffView:
        """Words for the person, masked like all; the same `event_id` again says nothing twice."""
        return await self._post(handoff_id, "reply", {"event_id": event_id, "text": text})

    async def close(self, handoff_id: str) -> HandoffView:
        """Be done; the person is with the bot again."""
        return await self._post(handoff_id, "close", {})

    async def _post(self, handoff_id: str, what: str, body: dict[str, Any]) -> HandoffView:
        return _view(await self._service.call_as("POST", f"/v1/handoffs/{handoff_id}/{what}", body, self._headers))


def _status(found: dict[str, Any]) -> HandoffStatus:
    return HandoffStatus(**{**found, "office": OfficeView(**found["office"])})


def _view(found: dict[str, Any]) -> HandoffView:
    return HandoffView(**{**found, "said": [SaidView(**one) for one in found["said"]]})
