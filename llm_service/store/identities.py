"""Keyed hashes that stand for people and threads in the records, so that no row says who asked.

HMAC-SHA-256 (RFC 2104): without the key nobody can test a guessed user id against the records.
"""

import hmac
import json
from collections.abc import Collection
from hashlib import sha256
from typing import Final

MINIMUM_KEY_BYTES: Final = 32


class Identities:
    """Makes the `user_key` and `thread_key` of a conversation: 64 hexadecimal digits each."""

    def __init__(self, key: bytes) -> None:
        if len(key) < MINIMUM_KEY_BYTES:
            raise ValueError(f"an identity key has {MINIMUM_KEY_BYTES} bytes or more")
        self._key = key

    def user_key(self, channel: str, user: str) -> str:
        """The same person of the same channel has the same key."""
        return self._hash("user", channel, user)

    def thread_key(self, channel: str, thread: str, user: str, audience: str, groups: Collection[str] = ()) -> str:
        """One conversation: a thread as seen by one person in one role with the same groups.

        Two people in one Slack thread have two conversations, and so has a person who asks first as a customer and then
        as staff, or leaves a group: neither placeholders nor history may cross.
        """
        return self._hash("thread", channel, thread, user, audience, *sorted(set(groups)))

    def _hash(self, *parts: str) -> str:
        # JSON keeps the borders: ("a", "bc") and ("ab", "c") must not meet.
        return hmac.new(self._key, json.dumps(parts).encode(), sha256).hexdigest()
