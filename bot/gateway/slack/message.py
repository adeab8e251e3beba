"""One answer as one message of Slack: streamed while Slack lets it, updated where the stream is gone, whole in the end.

The state of Slack's stream stands here and nowhere else: expiry, the person's stop, lost calls, pages of long answers.
Knows nothing of turns; what it is given has passed the gate.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from bot.gateway.outbound import OutboundText
from bot.gateway.slack.blocks import MARKDOWN_CHARACTERS, markdown
from llm_service.logs import get_logger

UPDATE_PACE_SECONDS: Final = 3.0
"""Between two chat.update while a stream is gone: Tier 3 is 50 a minute (docs.slack.dev, rate limits)."""
FALLBACK_CHARACTERS: Final = 300
STREAM_IS_GONE: Final = frozenset(
    {"message_not_in_streaming_state", "message_not_found", "streaming_state_conflict", "msg_too_long"}
)
STOPPED_BY_PERSON: Final = "stopped_by_user"
State = Literal["waiting", "streaming", "updating", "ended"]
_log = get_logger("gateway.slack.message")


class StoppedByPerson(Exception):
    """The person pressed Stop: nothing more of this answer is wanted."""


class NotDelivered(Exception):
    """Slack did not take a message; `code` is Slack's."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Place:
    """Where an answer goes: a thread of a channel, for the person who asked."""

    team: str
    channel: str
    thread: str
    user: str

    @property
    def is_direct(self) -> bool:
        return self.channel.startswith("D")


class StreamedMessage:
    """Shows a growing answer. `began` is told the message's ts as soon as there is one.

    `taken_over` is the message that another process had begun for the same question: it is updated, and no second one
    appears.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        place: Place,
        began: Callable[[str], Awaitable[None]],
        taken_over: str | None = None,
    ) -> None:
        self._client = client
        self._place = place
        self._began = began
        self._state: State = "updating" if taken_over else "waiting"
        self._ts = taken_over or ""
        self._inherited = bool(taken_over)
        self._page_begins = 0
        self._sent = 0
        self._updated_at = -UPDATE_PACE_SECONDS

    @property
    def has_begun(self) -> bool:
        return bool(self._ts)

    async def show(self, whole: OutboundText) -> None:
        """Bring the message up to `whole`, which grows. Raises `StoppedByPerson` and `NotDelivered`."""
        while self._sent < len(whole):
            if self._state == "updating":
                return await self._update_in_between(whole)
            room = MARKDOWN_CHARACTERS - (self._sent - self._page_begins)
            rest = whole.behind(self._sent)
            part = rest if len(rest) <= room else next(rest.pages(max(2, room)))
            if len(rest) > room and room < 2:
                await self._turn_page()
                continue
            await self._send(part)
            if len(rest) > len(part):
                await self._turn_page()
        return None

    async def restate(self) -> None:
        """What was shown is void: from now on the message is replaced instead of continued."""
        if self._state == "streaming":
            await self._close_stream([])
        self._state = "updating" if self._ts else "waiting"
        self._page_begins = self._sent = 0

    async def end(self, whole: OutboundText, below: Sequence[dict[str, Any]]) -> None:
        """The answer is `whole`, with `below` under it. Raises `NotDelivered`."""
        if self._state != "updating":
            await self.show(whole)
        if self._state == "streaming":
            await self._close_stream(below)
        if self._state == "updating":
            await self._replace(whole, below)
        elif self._state == "waiting":
            await self._post(whole, below)
        self._state = "ended"

    async def end_with(self, text: OutboundText, below: Sequence[dict[str, Any]] = ()) -> None:
        """Put `text` in place of all that was shown. Raises `NotDelivered`."""
        await self.restate()
        await self.end(text, below)

    async def break_off(self, reason: dict[str, Any]) -> None:
        """No more of the answer comes: what was shown stays, with the reason under it. Raises `NotDelivered`."""
        if self._state == "streaming":
            await self._close_stream([reason])
        if self._state != "ended":
            place = self._place
            content = {"blocks": [reason], "text": reason["text"][:FALLBACK_CHARACTERS]}
            await self._called(self._client.chat_postMessage(channel=place.channel, thread_ts=place.thread, **content))
        self._state = "ended"

    async def end_stopped(self, below: Sequence[dict[str, Any]]) -> None:
        """The person stopped it: Slack has ended the stream already, or does now."""
        if self._state == "streaming":
            await self._close_stream(below, stopped=True)
        self._state = "ended"

    async def _send(self, part: OutboundText) -> None:
        try:
            if self._state == "waiting":
                await self._start(part)
            else:
                await self._client.chat_appendStream(channel=self._place.channel, ts=self._ts, markdown_text=part.text)
            self._sent += len(part)
        except SlackApiError as error:
            self._fell_out(error)
        except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
            # Nobody knows whether Slack has it: from here on the message is replaced as a whole.
            self._lost(type(error).__name__)

    async def _start(self, part: OutboundText) -> None:
        place = self._place
        started = await self._client.chat_startStream(
            channel=place.channel,
            thread_ts=place.thread,
            markdown_text=part.text,
            # Required outside of direct messages, where somebody has to be the one who may stop it.
            recipient_user_id=None if place.is_direct else place.user,
            recipient_team_id=None if place.is_direct else place.team,
        )
        self._ts = str(started["ts"])
        self._state = "streaming"
        await self._began(self._ts)

    async def _close_stream(self, below: Sequence[dict[str, Any]], *, stopped: bool = False) -> None:
        try:
            await self._client.chat_stopStream(
                channel=self._place.channel, ts=self._ts, blocks=list(below) if below else None
            )
            self._state = "ended"
        except SlackApiError as error:
            if not stopped:
                self._fell_out(error, stopping=True)
            else:
                _log.info("slack_stream_over", code=error.response.get("error", ""))
        except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
            self._lost(type(error).__name__)

    async def _turn_page(self) -> None:
        await self._close_stream([])
        self._page_begins = self._sent
        self._state, self._ts = "waiting", ""

    async def _update_in_between(self, whole: OutboundText) -> None:
        now = asyncio.get_running_loop().time()
        if self._ts and now - self._updated_at >= UPDATE_PACE_SECONDS:
            self._updated_at = now
            await self._end_inherited()
            page = next(whole.behind(self._page_begins).pages(MARKDOWN_CHARACTERS))
            await self._called(self._client.chat_update(channel=self._place.channel, ts=self._ts, **_content([page])))

    async def _replace(self, whole: OutboundText, below: Sequence[dict[str, Any]]) -> None:
        if not self._ts:
            return await self._post(whole.behind(self._page_begins), below)
        await self._end_inherited()
        first, *others = whole.behind(self._page_begins).pages(MARKDOWN_CHARACTERS)
        content = _content([first], () if others else below)
        await self._called(self._client.chat_update(channel=self._place.channel, ts=self._ts, **content))
        return await self._post_pages(others, below)

    async def _end_inherited(self) -> None:
        """A stream that another process left open takes no update; whether it is still open, Slack alone knows."""
        if self._inherited:
            self._inherited = False
            await self._close_stream([], stopped=True)
            self._state = "updating"

    async def _post(self, whole: OutboundText, below: Sequence[dict[str, Any]]) -> None:
        await self._post_pages(list(whole.pages(MARKDOWN_CHARACTERS)), below)

    async def _post_pages(self, pages: Sequence[OutboundText], below: Sequence[dict[str, Any]]) -> None:
        for number, page in enumerate(pages, start=1):
            content = _content([page], below if number == len(pages) else ())
            posted = await self._called(
                self._client.chat_postMessage(channel=self._place.channel, thread_ts=self._place.thread, **content)
            )
            self._ts = str(posted["ts"])
            await self._began(self._ts)

    async def _called(self, call: Awaitable[Any]) -> Any:  # slack_sdk's response is a mapping of anything
        try:
            return await call
        except SlackApiError as error:
            raise NotDelivered(str(error.response.get("error", "unknown"))) from None
        except (TimeoutError, aiohttp.ClientError, SlackClientError) as error:
            raise NotDelivered(type(error).__name__) from None

    def _fell_out(self, error: SlackApiError, *, stopping: bool = False) -> None:
        code = str(error.response.get("error", "unknown"))
        if code == STOPPED_BY_PERSON:
            self._state = "ended"
            raise StoppedByPerson
        if code not in STREAM_IS_GONE and not stopping and self._state == "waiting":
            raise NotDelivered(code)
        self._lost(code)

    def _lost(self, reason: str) -> None:
        _log.warning("slack_stream_lost", reason=reason, shown_characters=self._sent - self._page_begins)
        self._state = "updating"


def _content(pages: Sequence[OutboundText], below: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Blocks with their text beside them, which Slack shows in notifications."""
    shown = pages[0].clipped(FALLBACK_CHARACTERS).text
    return {"blocks": [*(markdown(page) for page in pages), *below], "text": shown}
