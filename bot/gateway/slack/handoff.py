"""People talking through Slack: calls for a colleague in the bank's channel, agents' words in the asker's thread.

What is posted has passed the gate as a person's words; what must not leave is replaced by a sentence.
"""

from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.gateway.handoff_ports import AgentReply, DeliveryFailed, StaffRequest
from bot.gateway.inbox import ChannelInbox
from bot.gateway.outbound import Blocked, OutboundGate, OutboundText
from bot.gateway.slack.blocks import MARKDOWN_CHARACTERS, markdown
from llm_service.client import Locale

SEPARATOR: Final = "/"


def reply_place(channel: str, thread: str) -> str:
    """The place of a thread, as a hand-off keeps it."""
    return f"{channel}{SEPARATOR}{thread}"


class SlackHandoff:
    """Both ports of `handoff_ports.py`. `staff_channel` is where colleagues are called; empty calls nobody."""

    def __init__(self, client: AsyncWebClient, gate: OutboundGate, inbox: ChannelInbox, staff_channel: str) -> None:
        self._client = client
        self._gate = gate
        self._inbox = inbox
        self._staff_channel = staff_channel

    async def post(self, request: StaffRequest) -> None:
        """A call for a colleague, with the masked question. Raises `DeliveryFailed`."""
        if self._staff_channel:
            call = self._gate.own("slack", "handoff_call", request.locale)
            question = await self._checked(request.question, request.locale)
            await self._posted(self._staff_channel, "", call + question)

    async def deliver(self, reply: AgentReply) -> None:
        """An agent's words, in the thread of whoever asked. Raises `DeliveryFailed`."""
        channel, _, thread = reply.reply_to.partition(SEPARATOR)
        if not channel:
            raise DeliveryFailed("no_place_to_reply")
        if await self._inbox.remembered(f"reply-{reply.id}") is None:
            await self._posted(channel, thread, await self._checked(reply.text, reply.locale))
            await self._inbox.remember(f"reply-{reply.id}", "posted")

    async def _checked(self, text: str, locale: Locale) -> OutboundText:
        try:
            return await self._gate.markdown(text, "person", locale)
        except Blocked as blocked:
            return self._gate.own("outbound", blocked.code, locale)

    async def _posted(self, channel: str, thread: str, text: OutboundText) -> None:
        page = text.clipped(MARKDOWN_CHARACTERS)
        place: dict[str, Any] = {"thread_ts": thread} if thread else {}
        try:
            await self._client.chat_postMessage(
                channel=channel, text=page.clipped(300).text, blocks=[markdown(page)], **place
            )
        except SlackApiError as error:
            raise DeliveryFailed(str(error.response.get("error", "unknown"))) from None
        except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
            raise DeliveryFailed(type(error).__name__) from None
