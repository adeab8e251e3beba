"""Reversible pseudonyms: which placeholder a value has in its conversation, and the value back for its owner alone.

Values are kept with AES-256-GCM (NIST SP 800-38D) under keys that are not in the database, and found again by
HMAC-SHA-256 (RFC 2104). Knows neither HTTP nor who may ask; decision record 0007 says what is kept and why.
"""

import hmac
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.orm import Session

from llm_service.client import PLACEHOLDER_TYPES
from llm_service.errors import InvalidInput
from llm_service.logs import get_logger
from llm_service.masked import RawText
from llm_service.masking.masker import Entity, Masked, with_placeholders
from llm_service.masking.placeholders import PLACEHOLDER, normalised_value
from llm_service.masking.vault_keys import KeyRing, VaultKey
from llm_service.store import controls
from llm_service.store import vault as rows
from llm_service.store.conversations import has_just_begun
from llm_service.store.models import Conversation, VaultEntry, now
from llm_service.store.vault import EntryRecord

NONCE_BYTES: Final = 12
FORMAT: Final = "haechi vault 1"
SHARED_TYPES: Final = frozenset({"PERSON", "ADDRESS", "BIRTHDATE", "IP"})
"""Types whose value several people have: erasing by it would erase others, so no lasting hash of it is kept."""
FINDABLE_TYPES: Final = frozenset(PLACEHOLDER_TYPES) - SHARED_TYPES
"""Types whose value points at one person."""
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Detected:
    """A text and the values found in it, not yet named. In a reply of our own, known placeholders stay."""

    raw: RawText
    entities: tuple[Entity, ...]
    is_reply: bool = False


@dataclass(frozen=True)
class Restored:
    """Values by placeholder, and how many placeholders stay as they are, by reason."""

    values: Mapping[str, RawText]
    stayed: Mapping[str, int]

    @property
    def kinds(self) -> dict[str, int]:
        """How many values of each type were restored."""
        return dict(Counter(_type_of(placeholder) for placeholder in self.values))


@dataclass(frozen=True)
class Reencrypted:
    """One batch of a rotation: entries moved to the active key, entries that could not be, and where to go on."""

    moved: int
    damaged: int
    last_id: int | None


@dataclass
class _ConversationNames:
    """The numbering of one conversation as the vault holds it: values are looked up by keyed hash."""

    hashes: "_Hashes"
    conversation_id: str
    known: dict[str, str]
    last_numbers: dict[str, int]
    given: dict[str, str] = field(default_factory=dict)
    mentions: set[str] = field(default_factory=set)

    def name_of(self, type_: str, value: str) -> str:
        value_key = self.hashes.value_key(self.conversation_id, type_, value)
        if value_key not in self.known:
            self.last_numbers[type_] = self.last_numbers.get(type_, 0) + 1
            placeholder = f"<{type_}_{self.last_numbers[type_]}>"
            self.known[value_key] = placeholder
            self.given[placeholder] = value_key
            if type_ in FINDABLE_TYPES:
                self.mentions.add(self.hashes.mention_key(type_, value))
        return self.known[value_key]


class Vault:
    """Works inside its caller's transaction, so that a text and the values behind it are kept together or not at all.

    `kept` is how long values live after the last use of their conversation, unless an admin has set another time
    (`store.controls`). `index_key` finds values within a
    conversation; `mention_key` finds conversations by a value, None if that is not wanted.
    """

    def __init__(self, keys: KeyRing, index_key: bytes, mention_key: bytes | None, kept: timedelta) -> None:
        self._keys = keys
        self._hashes = _Hashes(index_key, mention_key)
        self._finds_by_value = mention_key is not None
        self._kept = kept

    def mask(self, session: Session, conversation: Conversation, detected: Detected) -> Masked:
        """The text with the conversation's placeholders in place of its values; new values are kept.

        The conversation must be locked. Extends the life of everything it holds. Raises `VaultUnavailable`.
        """
        key = self._keys.active
        if has_just_begun(session, conversation):
            if not detected.entities:
                # Nothing to name, and nothing was named before.
                return with_placeholders(detected.raw, (), _ConversationNames(self._hashes, conversation.id, {}, {}))
            session.flush()
        at = now()
        until = at + self._kept_now(session)
        rows.forget_expired(session, at, conversation.id)
        rows.extend(session, conversation.id, at, until)
        known = {entry.value_key: entry.placeholder for entry in rows.live_entries(session, conversation.id, at)}
        names = _ConversationNames(self._hashes, conversation.id, known, dict(conversation.last_numbers))
        own = _PlaceholdersUpTo(conversation.last_numbers) if detected.is_reply else ()
        masked = with_placeholders(detected.raw, detected.entities, names, own)
        if names.given:
            entries = [
                _entry(key, conversation, placeholder, value_key, masked.placeholders[placeholder])
                for placeholder, value_key in names.given.items()
            ]
            rows.add_entries(session, conversation.id, entries, until)
            rows.add_mentions(session, conversation.id, names.mentions if self._finds_by_value else ())
            conversation.last_numbers = names.last_numbers
        return masked

    def restore(self, session: Session, conversation: Conversation, placeholders: Collection[str]) -> Restored:
        """The values behind placeholders of this conversation; what is unknown, expired or unreadable stays.

        Being read is a use: the conversation's values live on. Raises `VaultUnavailable`.
        """
        at = now()
        found = {entry.placeholder: entry for entry in rows.live_entries(session, conversation.id, at)}
        values: dict[str, RawText] = {}
        stayed: Counter[str] = Counter()
        for placeholder in dict.fromkeys(placeholders):
            value = self._open(found[placeholder], conversation) if placeholder in found else "unknown"
            if isinstance(value, RawText):
                values[placeholder] = value
            else:
                stayed[value] += 1
        if values:
            rows.extend(session, conversation.id, at, at + self._kept_now(session))
        return Restored(values, stayed)

    def purge(self, session: Session) -> int:
        """Delete every expired value; returns how many there were."""
        return rows.forget_expired(session, now())

    def reload_keys(self) -> None:
        """Read the keys again. Raises `Misconfigured` and goes on with the old ones if they cannot be read."""
        self._keys.reload()

    @property
    def active_key_id(self) -> str:
        """The id of the key that new values are encrypted with. Raises `VaultUnavailable` when there is none."""
        return self._keys.active.id

    def reencrypt(self, session: Session, after: int, limit: int) -> Reencrypted:
        """Move up to `limit` entries with ids after `after` from retired keys to the active one; may be run again."""
        active = self._keys.active
        batch = rows.entries_of_keys(session, self._keys.retired, after, limit)
        moved = 0
        for entry, conversation in batch:
            value = self._open(entry, conversation)
            if isinstance(value, RawText):
                sealed = _entry(active, conversation, entry.placeholder, entry.value_key, value)
                entry.key_id, entry.nonce, entry.ciphertext = sealed.key_id, sealed.nonce, sealed.ciphertext
                moved += 1
        return Reencrypted(moved, len(batch) - moved, batch[-1][0].id if batch else None)

    def entries_by_key(self, session: Session) -> dict[str, int]:
        """How many entries are under each key this process has (0 for none), and under "unknown" all others."""
        counted = rows.entries_by_key(session)
        by_key = {key_id: counted.pop(key_id, 0) for key_id in self._keys.ids}
        return {**by_key, "unknown": sum(counted.values())}

    def check(self, session: Session) -> None:
        """Raises `VaultUnavailable` unless there is a key and the tables can be read."""
        _ = self._keys.active
        rows.entries_by_key(session)

    def mention_key(self, type_: str, value: RawText) -> str:
        """The hash by which conversations that mention a value are found.

        Raises `InvalidInput` for a type that is not kept so, and when such hashes are switched off.
        """
        if not self._finds_by_value:
            raise InvalidInput("find_by_value_off", "conversations are not found by value: HAECHI_FIND_BY_VALUE is off")
        if type_ not in FINDABLE_TYPES:
            raise InvalidInput("type_not_findable", f"conversations are found by {', '.join(sorted(FINDABLE_TYPES))}")
        return self._hashes.mention_key(type_, value.reveal())

    def _kept_now(self, session: Session) -> timedelta:
        seconds = controls.number(session, controls.VAULT_SECONDS)
        return self._kept if seconds is None else timedelta(seconds=seconds)

    def _open(self, entry: VaultEntry, conversation: Conversation) -> RawText | str:
        """The value of an entry, or the reason why its placeholder stays."""
        key = self._keys.named(entry.key_id)
        if key is None:
            return "unknown_key"
        bound = associated_data(conversation.id, conversation.user_key, entry.placeholder)
        try:
            return RawText(AESGCM(key.secret).decrypt(entry.nonce, entry.ciphertext, bound).decode())
        except InvalidTag:
            # Moved to another conversation, owner or placeholder, or altered: nobody gets it.
            LOG.warning("vault entry does not authenticate", conversation_id=conversation.id, entry=entry.id)
            return "damaged"


class _Hashes:
    """Keyed hashes of values; two keys, so that who may find conversations need not be who may read a conversation."""

    def __init__(self, index_key: bytes, mention_key: bytes | None) -> None:
        self._index_key = index_key
        self._mention_key = mention_key or b""

    def value_key(self, conversation_id: str, type_: str, value: str) -> str:
        return _hash(self._index_key, conversation_id, type_, normalised_value(type_, value))

    def mention_key(self, type_: str, value: str) -> str:
        return _hash(self._mention_key, type_, normalised_value(type_, value))


@dataclass(frozen=True)
class _PlaceholdersUpTo:
    """The placeholders a conversation has given so far, as a container."""

    last_numbers: Mapping[str, int]

    def __contains__(self, placeholder: object) -> bool:
        match = PLACEHOLDER.fullmatch(placeholder) if isinstance(placeholder, str) else None
        return match is not None and int(match["number"]) <= self.last_numbers.get(match["type"], 0)


def associated_data(conversation_id: str, owner_key: str, placeholder: str) -> bytes:
    """What a ciphertext is bound to; lengths stand before the parts, so that no two bindings are written alike."""
    return _length_prefixed(FORMAT, conversation_id, owner_key, placeholder)


def _entry(key: VaultKey, conversation: Conversation, placeholder: str, value_key: str, value: RawText) -> EntryRecord:
    nonce = os.urandom(NONCE_BYTES)
    bound = associated_data(conversation.id, conversation.user_key, placeholder)
    ciphertext = AESGCM(key.secret).encrypt(nonce, value.reveal().encode(), bound)
    return EntryRecord(placeholder, value_key, key.id, nonce, ciphertext)


def _hash(key: bytes, *parts: str) -> str:
    return hmac.new(key, _length_prefixed(*parts), sha256).hexdigest()


def _length_prefixed(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _type_of(placeholder: str) -> str:
    return placeholder.strip("<>").rpartition("_")[0]
