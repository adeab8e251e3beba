"""People talking through Teams: calls for a colleague in the bank's channel, agents' words where they were asked for.

What is posted has passed the gate as a person's words; what must not leave is replaced by a sentence.
"""

import json
from dataclasses import astuple
from typing import Final

from bot.gateway.handoff_ports import AgentReply, DeliveryFailed, StaffRequest
from bot.gateway.outbound import Blocked, OutboundGate, OutboundText
from bot.gateway.teams import activities
from bot.gateway.teams.connector import Connector, NotSent, Place
from bot.gateway.teams.kept import KeptMessages
from llm_service.client import Locale

MAXIMUM_PLACE_CHARACTERS: Final = 512
"""What llm_service keeps of a place."""


def reply_place(place: Place) -> str:
    """A place, as a hand-off keeps it; nothing for one that is too long to be kept."""
    written = json.dumps(astuple(place), ensure_ascii=False, separators=(",", ":"))
    return written if len(written) <= MAXIMUM_PLACE_CHARACTERS else ""


class TeamsHandoff:
    """Both ports of `handoff_ports.py`. `staff_channel` is where colleagues are called; None calls nobody."""

    def __init__(
        self, connector: Connector, gate: OutboundGate, kept: KeptMessages, staff_channel: Place | None
    ) -> None:
        self._connector = connector
        self._gate = gate
        self._kept = kept
        self._staff_channel = staff_channel

    async def post(self, request: StaffRequest) -> None:
        """A call for a colleague, with the masked question. Raises `DeliveryFailed`."""
        if self._staff_channel is not None:
            call = self._gate.own("teams", "handoff_call", request.locale)
            await self._posted(self._staff_channel, call + await self._checked(request.question, request.locale))

    async def deliver(self, reply: AgentReply) -> None:
        """An agent's words, where the person asked. Raises `DeliveryFailed`."""
        try:
            place = Place(*json.loads(reply.reply_to))
        except (ValueError, TypeError):
            raise DeliveryFailed("no_place_to_reply") from None
        if await self._kept.is_first(f"reply-{reply.id}"):
            try:
                await self._posted(place, await self._checked(reply.text, reply.locale))
            except DeliveryFailed:
                await self._kept.forget(f"reply-{reply.id}")
                raise

    async def _checked(self, text: str, locale: Locale) -> OutboundText:
        try:
            return await self._gate.markdown(text, "person", locale)
        except Blocked as blocked:
            return self._gate.own("outbound", blocked.code, locale)

    async def _posted(self, place: Place, text: OutboundText) -> None:
        try:
            await self._connector.post(place, activities.said(text.clipped(activities.MAXIMUM_TEXT_CHARACTERS)))
        except NotSent as error:
            raise DeliveryFailed(error.code) from None
