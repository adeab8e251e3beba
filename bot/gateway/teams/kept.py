"""What the worker remembers of Teams, in Redis and for a while: which message answers which turn. Ids only, no word."""

import hashlib
from typing import Any, Final

import redis.asyncio as redis

from bot.gateway.sessions import OwnedTurn

PREFIX: Final = "haechi:teams:"
BEGUN_SECONDS: Final = 3600
DAY_SECONDS: Final = 86_400
REDIS_TIMEOUT_SECONDS: Final = 2.0


class KeptMessages:
    """By conversation and message id, both hashed. Every call raises `RedisError` while Redis is away."""

    def __init__(self, url: str, feedback_days: int) -> None:
        self._redis: Any = redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._feedback_seconds = feedback_days * DAY_SECONDS

    async def keep_begun(self, conversation_id: str, activity_id: str, message_id: str) -> None:
        """Message `message_id` will be the answer to this activity."""
        await self._redis.set(_key("begun", conversation_id, activity_id), message_id, ex=BEGUN_SECONDS)

    async def begun(self, conversation_id: str, activity_id: str) -> str | None:
        """The message that a lost worker began for this activity."""
        found = await self._redis.get(_key("begun", conversation_id, activity_id))
        return found.decode() if found else None

    async def keep_answer(self, conversation_id: str, message_id: str, turn: OwnedTurn) -> None:
        """This message shows the answer of this turn."""
        value = f"{turn.turn_id} {turn.conversation_id}"
        await self._redis.set(_key("answer", conversation_id, message_id), value, ex=self._feedback_seconds)

    async def turn_of(self, conversation_id: str, message_id: str) -> OwnedTurn | None:
        """The turn whose answer this message shows; None if it is too long ago, or no answer."""
        found = await self._redis.get(_key("answer", conversation_id, message_id))
        return OwnedTurn(*found.decode().split()) if found else None

    async def is_first(self, event: str) -> bool:
        """Whether this event is met for the first time, within an hour; from now on it is not."""
        return bool(await self._redis.set(f"{PREFIX}met:{event}", "", nx=True, ex=BEGUN_SECONDS))

    async def forget(self, event: str) -> None:
        """The event may come again."""
        await self._redis.delete(f"{PREFIX}met:{event}")

    async def close(self) -> None:
        await self._redis.aclose()


def event_id_of(conversation_id: str, activity_id: str) -> str:
    """The name by which llm_service knows an activity: the same activity is the same event."""
    return f"teams-{_digest(conversation_id, activity_id)}"


def _key(kind: str, conversation_id: str, message_id: str) -> str:
    return f"{PREFIX}{kind}:{_digest(conversation_id, message_id)}"


def _digest(conversation_id: str, message_id: str) -> str:
    return hashlib.sha256(f"{conversation_id}\n{message_id}".encode()).hexdigest()
