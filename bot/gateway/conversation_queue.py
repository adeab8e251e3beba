"""One question at a time per conversation, so that Rasa's tracker and the order of turns stay true.

Rasa's own lock loses turns under parallel messages. Locks live in this process: one gateway replica, or a router that
sends a conversation to the same replica. Knows nothing of what is done in turn.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bot.gateway.errors import Declined

RETRY_AFTER_SECONDS = 2


@dataclass
class _Lane:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    inside: int = 0


class ConversationQueue:
    """First come, first served per conversation. At most `maximum_waiting` wait behind the one whose turn it is."""

    def __init__(self, maximum_waiting: int) -> None:
        self._maximum_waiting = maximum_waiting
        self._lanes: dict[str, _Lane] = {}

    @asynccontextmanager
    async def turn_of(self, conversation: str) -> AsyncIterator[None]:
        """Wait for this conversation's turn. Raises `Declined` 429 when too many wait already."""
        lane = self._lanes.setdefault(conversation, _Lane())
        if lane.inside > self._maximum_waiting:
            raise Declined("conversation_busy", 429, RETRY_AFTER_SECONDS)
        lane.inside += 1
        try:
            async with lane.lock:
                yield
        finally:
            lane.inside -= 1
            if not lane.inside:
                del self._lanes[conversation]
