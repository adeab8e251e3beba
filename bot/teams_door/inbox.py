"""The way from the DMZ into the bank: a Redis stream of sealed messages, each taken in once.

The door seals with a public key (HPKE, RFC 9180) and can open nothing, not even what it has just written; a Redis that
is read, copied or backed up gives away no word. Knows of Teams only the ids that make a message the same message.
"""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import redis.asyncio as redis
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from redis.exceptions import RedisError, ResponseError

from bot.teams_door.errors import InboxUnavailable, Unsealable
from bot.teams_door.message import TeamsMessage

STREAM: Final = "haechi:teams:inbox"
SEEN: Final = "haechi:teams:seen:"
GROUP: Final = "workers"
SEEN_SECONDS: Final = 3600
REDIS_TIMEOUT_SECONDS: Final = 2.0
WAIT_MILLISECONDS: Final = 1000
ABANDONED_MILLISECONDS: Final = 60_000
SUITE: Final = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
PURPOSE: Final = b"haechi teams inbox 1"
KEY_ID_CHARACTERS: Final = 8

Taken = Literal["new", "seen", "full"]

# One step in Redis: a message is either marked as seen and in the stream, or neither.
PUT_SCRIPT: Final = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 'seen' end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[1]) then return 'full' end
redis.call('SET', KEYS[2], '', 'EX', ARGV[2])
redis.call('XADD', KEYS[1], '*', 'key', ARGV[3], 'sealed', ARGV[4])
return 'new'
"""


@dataclass(frozen=True)
class KeyPair:
    """Both halves as text: the public one for the door, the private one for the worker."""

    public: str
    private: str


@dataclass(frozen=True)
class Entry:
    """A message taken out, and how often it was handed out before: not 0 where a worker left it behind."""

    id: str
    message: TeamsMessage
    handed_out_before: int


class InboxDoor:
    """The side in the DMZ: puts messages in, for the owner of the private key."""

    def __init__(self, url: str, public_key: str, maximum_messages: int) -> None:
        """Raises `ValueError` for what is no public key."""
        self._redis: Any = redis.from_url(
            url, socket_timeout=REDIS_TIMEOUT_SECONDS, socket_connect_timeout=REDIS_TIMEOUT_SECONDS
        )
        self._put = self._redis.register_script(PUT_SCRIPT)
        self._key = X25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(public_key))
        self._key_id = _key_id(self._key)
        self._maximum_messages = maximum_messages

    async def put(self, message: TeamsMessage) -> Taken:
        """Leave a message; the same activity again is `seen` for an hour. Raises `InboxUnavailable`."""
        sealed = SUITE.encrypt(message.to_bytes(), self._key, info=PURPOSE)
        keys = [STREAM, SEEN + _name_of(message)]
        try:
            taken = await self._put(keys, [self._maximum_messages, SEEN_SECONDS, self._key_id, sealed])
        except RedisError as error:
            raise InboxUnavailable(type(error).__name__) from None
        found: Taken = taken.decode()
        return found

    async def is_reachable(self) -> bool:
        try:
            return bool(await self._redis.ping())
        except RedisError:
            return False

    async def close(self) -> None:
        await self._redis.aclose()


class InboxWorker:
    """The side in the bank: takes messages out, one worker each, and a left one again after a minute of silence."""

    def __init__(
        self,
        url: str,
        private_keys: str,
        name: str,
        abandoned_milliseconds: int = ABANDONED_MILLISECONDS,
        wait_milliseconds: int = WAIT_MILLISECONDS,
    ) -> None:
        """`private_keys`: the current one first, then those of a rotation. Raises `ValueError` for anything else."""
        self._redis: Any = redis.from_url(url, socket_timeout=REDIS_TIMEOUT_SECONDS + wait_milliseconds / 1000)
        keys = [
            X25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(key.strip()))
            for key in private_keys.split(",")
            if key.strip()
        ]
        self._keys = {_key_id(key.public_key()): key for key in keys}
        self._name = name
        self._abandoned_milliseconds = abandoned_milliseconds
        self._wait_milliseconds = wait_milliseconds

    async def prepare(self) -> None:
        """Make the stream's group of workers if it is not there. Raises `RedisError`."""
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def take(self) -> tuple[str, bytes, str, int] | None:
        """The next entry, sealed: what another worker left first; None after a moment without any."""
        _, left, *_ = await self._redis.xautoclaim(
            STREAM, GROUP, self._name, min_idle_time=self._abandoned_milliseconds, count=1
        )
        if left:
            pending = await self._redis.xpending_range(STREAM, GROUP, left[0][0], left[0][0], 1)
            return _sealed(left[0], pending[0]["times_delivered"] - 1 if pending else 1)
        found = await self._redis.xreadgroup(GROUP, self._name, {STREAM: ">"}, count=1, block=self._wait_milliseconds)
        return _sealed(found[0][1][0], 0) if found else None

    def open(self, taken: tuple[str, bytes, str, int]) -> Entry:
        """Raises `Unsealable`: sealed for another key, altered, or not a message."""
        entry_id, sealed, key_id, handed_out_before = taken
        if key_id not in self._keys:
            raise Unsealable("a message of the Teams inbox was sealed for a key that this worker does not have")
        try:
            content = SUITE.decrypt(sealed, self._keys[key_id], info=PURPOSE)
        except (InvalidTag, ValueError):
            raise Unsealable("a message of the Teams inbox was altered after it was sealed") from None
        return Entry(entry_id, TeamsMessage.from_bytes(content), handed_out_before)

    async def done(self, entry_id: str) -> None:
        """Take an entry off the stream for good: nothing of it stays."""
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.xack(STREAM, GROUP, entry_id)
            pipeline.xdel(STREAM, entry_id)
            await pipeline.execute()

    async def still_busy(self, entry_id: str) -> None:
        """Tell the other workers that this entry is not left behind."""
        await self._redis.xclaim(STREAM, GROUP, self._name, 0, [entry_id], justid=True)

    async def close(self) -> None:
        await self._redis.aclose()


def new_keys() -> KeyPair:
    """A fresh pair for one inbox."""
    private = X25519PrivateKey.generate()
    return KeyPair(
        base64.urlsafe_b64encode(private.public_key().public_bytes_raw()).decode(),
        base64.urlsafe_b64encode(private.private_bytes_raw()).decode(),
    )


def _key_id(key: X25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:KEY_ID_CHARACTERS]


def _name_of(message: TeamsMessage) -> str:
    # Activity ids are unique within a conversation only.
    return hashlib.sha256(f"{message.conversation_id}\n{message.activity_id}".encode()).hexdigest()


def _sealed(entry: Sequence[Any], handed_out_before: int) -> tuple[str, bytes, str, int]:
    entry_id, fields = entry
    return entry_id.decode(), fields[b"sealed"], fields[b"key"].decode(), handed_out_before
