"""Which adapter a conversation is answered with: the active one, or the canary for a keyed share of conversations.

Reads aliases and asks the fleet; knows no question and no person.
"""

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from llm_service.adapters.fleet import Fleet
from llm_service.logs import get_logger
from llm_service.store import adapter_rollout
from llm_service.store.adapter_rollout import Aliases
from llm_service.store.transactions import Transactions

CACHED_SECONDS: Final = 1.0
HASH_RANGE: Final = 2**64
LOG = get_logger(__name__)


@dataclass(frozen=True)
class _Seen:
    aliases: Aliases
    read_at: float


class AdapterRouter:
    """Asked once a turn. What aliases said is kept for a second at most: that is how long a flip takes to be seen."""

    def __init__(
        self, transactions: Transactions, fleet: Fleet, key: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._transactions = transactions
        self._fleet = fleet
        self._key = key
        self._clock = clock
        self._seen: _Seen | None = None

    async def adapter_for(self, conversation_id: str) -> str | None:
        """The version to answer with; None is the base model, and only where no version is active.

        A version that no replica carries is not given: the canary's conversations fall back to the active version, and
        a process that has not yet proved a new active version looks at once, then stays with the previous one.
        If no replica carries any of them, the active one is named, and asking for it fails loudly.
        """
        asked_at = self._clock()
        serving = await self._aliases()
        if serving.canary and self.is_canary(conversation_id, serving.canary, serving.share):
            if self._fleet.is_carried(serving.canary):
                return serving.canary
            LOG.warning("canary is carried by no replica", adapter=serving.canary)
        if serving.active is None or self._fleet.is_carried(serving.active):
            return serving.active
        await self._fleet.look(serving.names, known=(), not_before=asked_at - CACHED_SECONDS)
        if self._fleet.is_carried(serving.active) or serving.previous is None:
            return serving.active
        if self._fleet.is_carried(serving.previous):
            LOG.warning("active adapter is carried by no replica", adapter=serving.active, instead=serving.previous)
            return serving.previous
        return serving.active

    def is_canary(self, conversation_id: str, canary: str, share: float) -> bool:
        """Whether a conversation belongs to the canary's share: always the same answer for the same canary.

        A greater share keeps the conversations of a smaller one; another canary gets others.
        """
        digest = hmac.digest(self._key, f"canary\0{canary}\0{conversation_id}".encode(), sha256)
        return int.from_bytes(digest[:8]) < share * HASH_RANGE

    def forget(self) -> None:
        """Read the aliases anew at the next turn: this process has just changed them."""
        self._seen = None

    async def _aliases(self) -> Aliases:
        seen = self._seen
        if seen is None or self._clock() - seen.read_at >= CACHED_SECONDS:
            read_at = self._clock()
            seen = self._seen = _Seen(await self._transactions.read(adapter_rollout.aliases), read_at)
        return seen.aliases
