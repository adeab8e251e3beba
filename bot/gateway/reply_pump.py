"""Brings agents' words to a channel that is written to: fetched from llm_service, delivered, acknowledged, in order.

Stands beside the loop of Slack or Teams. Two replicas may run one each: what one has claimed the other does not get.
"""

import asyncio
from typing import Final, cast

from bot.gateway.handoff import told_in_messenger
from bot.gateway.handoff_ports import AgentReply, DeliveryFailed, ReplyDelivery
from llm_service.client import Locale, ServiceError
from llm_service.handoff_client import DeliveryView, PersonHandoffs
from llm_service.logs import get_logger

PAUSE_SECONDS: Final = 1.0
PAUSE_AFTER_FAILURE_SECONDS: Final = 5.0
_log = get_logger("gateway.reply_pump")


class ReplyPump:
    """Pumps the words for one channel, at least once each; `AgentReply.id` tells a channel what it has had before."""

    def __init__(self, people: PersonHandoffs, channel: str, delivery: ReplyDelivery) -> None:
        self._people = people
        self._channel = channel
        self._delivery = delivery

    async def run(self) -> None:
        """Pump for ever; cancel it to stop. While llm_service is away, later."""
        while True:
            try:
                delivered = await self.once()
                pause = 0.0 if delivered else PAUSE_SECONDS
            except ServiceError as error:
                _log.warning("replies_not_fetched", channel=self._channel, code=error.code)
                pause = PAUSE_AFTER_FAILURE_SECONDS
            await asyncio.sleep(pause)

    async def once(self) -> int:
        """Deliver what there is now and return how much that was. Raises `ServiceError`."""
        delivered, stuck = 0, set[str]()
        for word in await self._people.undelivered(self._channel):
            if word.handoff_id in stuck:
                continue
            try:
                await self._delivery.deliver(self._reply(word))
            except DeliveryFailed as failed:
                # What comes behind it in the same conversation must not overtake it; it is claimed again in a minute.
                stuck.add(word.handoff_id)
                _log.warning("reply_not_delivered", channel=self._channel, handoff_id=word.handoff_id, code=failed.code)
                continue
            await self._people.delivered(word.id)
            delivered += 1
        return delivered

    def _reply(self, word: DeliveryView) -> AgentReply:
        locale = cast(Locale, word.locale)
        text = word.text if word.kind == "message" else told_in_messenger(word.kind, locale)
        return AgentReply(word.id, word.handoff_id, self._channel, word.kind, locale, text, word.reply_to)
