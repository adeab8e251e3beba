"""One message in Teams that grows while an answer is written, and ends as one message whatever happens to the stream.

Rules: Microsoft Learn, "Stream bot messages": one-to-one chats only, each piece holds all before it, one request a
second, two minutes a stream, and a Stop button. Says when and in which form, not what.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from microsoft_teams.api.activities.message import MessageActivityInput
from microsoft_teams.api.activities.typing import TypingActivityInput
from microsoft_teams.api.models.channel_data import ChannelData

from bot.gateway.outbound import OutboundText
from bot.gateway.teams.activities import said, typing
from bot.gateway.teams.connector import TRY_AGAIN, Connector, NotSent, Place, Sleep, StreamOver
from llm_service.logs import get_logger

PIECE_SECONDS: Final = 1.5
"""Pace of the pieces, kept by whoever writes the answer."""
LEAST_SECONDS: Final = 1.1
"""Between the end of one request and the next: what Teams asks for, and a little for clocks and networks."""
STREAM_SECONDS: Final = 110.0
"""How long pieces are sent; Teams ends a stream after 120."""
WORKING_AFTER_SECONDS: Final = 0.7
"""An answer that comes sooner is one message at once."""
SIGN_OF_LIFE_SECONDS: Final = 3.0
"""Without a piece for so long the latest text is sent, new or not: that is how the Stop button is noticed."""
_log = get_logger("gateway.teams.streamed_message")


class StreamedMessage:
    """Shows pieces while it may, and finishes once. `begun` is told the message's id as soon as there is one.

    `known_id`: a message that a lost worker began; nothing is streamed into it, the end is put in its place.
    """

    def __init__(
        self,
        connector: Connector,
        place: Place,
        working: OutboundText,
        begun: Callable[[str], Awaitable[None]],
        known_id: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._connector = connector
        self._place = place
        self._working = working
        self._begun = begun
        self._clock = clock
        self._sleep = sleep
        self._id = known_id
        self._streams = known_id is None and place.conversation_type == "personal"
        self._sequence = 0
        self._shown: OutboundText | None = None
        self._latest: OutboundText | None = None
        self._made_at = clock()
        self._began_at = self._said_at = 0.0
        self._quiet_until = 0.0
        self._sending = asyncio.Lock()

    async def attend(self) -> None:
        """Say that an answer is coming, and show signs of life until cancelled. Raises `StreamStopped`."""
        if not self._streams and self._id is None:
            await self._connector.post_once(self._place, typing())
        await self._sleep(WORKING_AFTER_SECONDS)
        while self._streams:
            if self._sequence == 0 or self._clock() - self._said_at >= SIGN_OF_LIFE_SECONDS:
                await (self.show(self._latest) if self._latest else self._piece(self._working, "informative"))
            await self._sleep(SIGN_OF_LIFE_SECONDS / 2)
        await asyncio.Event().wait()

    async def show(self, whole: OutboundText) -> None:
        """All of the answer so far, if Teams takes a piece now; else the next one holds it. Raises `StreamStopped`."""
        self._latest = whole
        if self._clock() - self._made_at >= WORKING_AFTER_SECONDS and self._continues(whole):
            await self._piece(whole, "streaming")

    async def finish(self, activity: MessageActivityInput) -> str | None:
        """The whole message, in the place of what has been shown. Returns its id. Raises `NotSent`, `StreamStopped`."""
        async with self._sending:
            if self._id is None:
                return await self._connector.post(self._place, activity)
            if self._streams and await self._closed_by(activity):
                return self._id
            await self._connector.put(self._place, self._id, activity)
            return self._id

    async def _closed_by(self, activity: MessageActivityInput) -> bool:
        """Whether the stream ended with this message; False where the message has to be put in place afterwards."""
        await self._pause()
        if self._clock() - self._began_at >= STREAM_SECONDS:
            return False
        # A stream ends with what it began with: another text takes its place after the end.
        continues = self._shown is None or (activity.text or "").startswith(self._shown.text)
        last = activity if continues else said(self._shown or self._working)
        try:
            await self._connector.post(self._place, _final(last, str(self._id)))
        except StreamOver:
            return False
        self._streams = False
        self._quiet_until = self._clock() + LEAST_SECONDS
        if not continues:
            await self._pause()
        return continues

    async def _piece(self, text: OutboundText, kind: Literal["informative", "streaming"]) -> None:
        async with self._sending:
            now = self._clock()
            if not self._streams or now < self._quiet_until or (self._id and now - self._began_at >= STREAM_SECONDS):
                return
            activity = TypingActivityInput(text=text.text).with_channel_data(ChannelData(stream_type=kind))
            if self._id is not None:
                activity = activity.with_id(self._id)
            try:
                found = await self._connector.post_once(self._place, activity.add_stream_update(self._sequence + 1))
            except NotSent as refused:
                # The next piece holds this one: nothing is lost by going on, and nothing won by insisting.
                self._quiet_until = self._clock() + max(LEAST_SECONDS, refused.retry_after_seconds)
                self._streams = refused.status in TRY_AGAIN
                _log.info("piece_not_taken", status=refused.status)
            except StreamOver:
                self._streams = False
            else:
                self._said_at = self._clock()
                self._quiet_until = self._said_at + LEAST_SECONDS
                self._shown = text if kind == "streaming" else self._shown
                await self._count(found, now)

    async def _count(self, found: str | None, began_at: float) -> None:
        self._sequence += 1
        if self._id is None and found is not None:
            self._id, self._began_at = found, began_at
            await self._begun(found)
        # A stream without an id cannot go on.
        self._streams = self._id is not None

    async def _pause(self) -> None:
        await self._sleep(max(0.0, self._quiet_until - self._clock()))

    def _continues(self, whole: OutboundText) -> bool:
        return self._shown is None or whole.text.startswith(self._shown.text)


def _final(activity: MessageActivityInput, stream_id: str) -> MessageActivityInput:
    final = activity.model_copy(deep=True)
    final.id = stream_id
    return final.add_stream_final()
