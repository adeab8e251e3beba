"""Asking for a person of the bank from any channel: into the queue, told to the channel's staff, said in a sentence.

The records are llm_service's; how a channel posts and delivers stands behind `handoff_ports.py`. Knows no HTTP.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from bot.gateway.handoff_ports import DeliveryFailed, StaffHandoff, StaffRequest
from bot.gateway.texts import sentence
from bot.gateway.times import spoken_time
from llm_service.client import ConversationKey, Locale, ServiceError
from llm_service.handoff_client import HandoffStatus, PersonHandoffs, Reason
from llm_service.logs import get_logger

STATES_TOLD_ALIKE: Final = ("taken", "answered", "closed", "abandoned")
_log = get_logger("gateway.handoff")


class Handoffs:
    """Asks for people. `staff` posts the requests of a channel where the bank wants them, by the channel's name."""

    def __init__(self, people: PersonHandoffs, staff: Mapping[str, StaffHandoff]) -> None:
        self._people = people
        self._staff = staff

    async def ask(
        self, conversation: ConversationKey, reason: Reason, masked_question: str = "", reply_to: str = ""
    ) -> HandoffStatus:
        """Ask for a person; asked again, the open request is returned. Raises `ServiceError`."""
        status = await self._people.ask(conversation, reason, reply_to)
        staff = self._staff.get(conversation.channel)
        if status.is_new and staff is not None:
            request = StaffRequest(
                handoff_id=status.handoff_id,
                channel=conversation.channel,
                reason=reason,
                locale=conversation.locale,
                asked_at=status.asked_at or "",
                question=masked_question,
                reply_to=reply_to,
            )
            try:
                await staff.post(request)
            except DeliveryFailed as failed:
                # It stands in the console's queue all the same: an agent there sees it and the clock that runs.
                _log.error("staff_not_told", handoff_id=status.handoff_id, code=failed.code)
        return status

    async def ask_in_turn(
        self, conversation: ConversationKey, masked_question: str, reply_to: str
    ) -> HandoffStatus | None:
        """The same for a question that asks for a person; None where it cannot be asked for now."""
        try:
            return await self.ask(conversation, "asked", masked_question, reply_to)
        except ServiceError as error:
            _log.warning("handoff_not_asked", code=error.code)
            return None


def status_body(status: HandoffStatus, locale: Locale) -> dict[str, Any]:
    """A status as pages get it (docs/handoff.md): llm_service's own ids stay here."""
    office = {"enabled": status.office.enabled, "open": status.office.open, "opens_at": status.office.opens_at}
    return {
        "state": status.state,
        "ahead": status.ahead,
        "asked_at": status.asked_at,
        "due_at": status.due_at,
        "rating": status.rating,
        "last_event_id": status.last_event_id,
        "office": office,
        "text": status_text(status, locale),
    }


def status_text(status: HandoffStatus | None, locale: Locale) -> str:
    """The sentence for how a hand-off stands; the telephone where there is no live chat."""
    if status is None or (status.state == "none" and not status.office.enabled):
        return sentence("handoff", "disabled", locale)
    if status.state == "none" and status.office.opens_at is not None:
        when = spoken_time(datetime.fromisoformat(status.office.opens_at), locale)
        return sentence("handoff", "office_closed", locale).format(when=when)
    if status.state == "waiting" and status.ahead:
        return sentence("handoff", "waiting", locale).format(ahead=status.ahead)
    return state_text(status.state, locale)


def state_text(state: str, locale: Locale) -> str:
    """The sentence for a state by its name."""
    if state == "waiting":
        return sentence("handoff", "waiting_first", locale)
    return sentence("handoff", state, locale) if state in STATES_TOLD_ALIKE else sentence("handoff", "none", locale)


def told_in_messenger(state: str, locale: Locale) -> str:
    """The same where nothing can be rated."""
    return sentence("handoff", "closed_in_messenger", locale) if state == "closed" else state_text(state, locale)
