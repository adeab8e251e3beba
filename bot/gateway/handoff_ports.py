"""What a channel offers so that people can talk through it: a place for staff who ask, a way back for agents' words.

Slack and Teams implement both; web pages need neither, they read events. Knows no channel.
"""

from dataclasses import dataclass, field
from typing import Protocol

from llm_service.client import Locale


class DeliveryFailed(Exception):
    """A channel could not post now; it is asked again. `code` is the channel's stable name of the failure, no text."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class StaffRequest:
    """Somebody in a channel who wants a colleague. `question` is masked; `reply_to` is the channel's own place."""

    handoff_id: str
    channel: str
    reason: str
    locale: Locale
    asked_at: str
    question: str = field(repr=False)
    reply_to: str = field(repr=False)


@dataclass(frozen=True)
class AgentReply:
    """Words for somebody in a channel: an agent's (`kind` message) or ours about the state (taken, closed, abandoned).

    `id` is the same each time the same words are handed over; `text` is masked and ready to be shown.
    """

    id: str
    handoff_id: str
    channel: str
    kind: str
    locale: Locale
    text: str = field(repr=False)
    reply_to: str = field(repr=False)


class StaffHandoff(Protocol):
    """Posts requests for a colleague where the bank wants them."""

    async def post(self, request: StaffRequest) -> None:
        """Post one request; the same `handoff_id` may come again after a failure. Raises `DeliveryFailed`."""
        ...


class ReplyDelivery(Protocol):
    """Brings an agent's words to the place in the channel that `reply_to` names."""

    async def deliver(self, reply: AgentReply) -> None:
        """Deliver at least once, in order within a hand-off. Raises `DeliveryFailed` to be asked again."""
        ...
