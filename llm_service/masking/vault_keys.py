"""The vault's encryption keys: how they are written in a secret, which one is active, and reading them again.

Knows neither rows nor values. Keys never appear in an error, a log line or a repr.
"""

import base64
import binascii
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from llm_service.errors import Misconfigured, VaultUnavailable

KEY_BYTES: Final = 32
KEY_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,15}")
_SEPARATOR: Final = re.compile(r"[,\s]+")


@dataclass(frozen=True)
class VaultKey:
    """One AES-256 key and the id that rows name it by."""

    id: str
    secret: bytes = field(repr=False)


class KeyRing:
    """The keys of a process: the first one encrypts, all of them decrypt. `read` gives the secret as it is written."""

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self._keys = parse_vault_keys(read())

    def reload(self) -> None:
        """Read the secret again; raises `Misconfigured` and keeps the old keys if it cannot be read."""
        self._keys = parse_vault_keys(self._read())

    @property
    def active(self) -> VaultKey:
        """The key that new values are encrypted with. Raises `VaultUnavailable` when there is none."""
        if not self._keys:
            raise VaultUnavailable("the vault has no key; set HAECHI_VAULT_KEYS")
        return self._keys[0]

    @property
    def retired(self) -> tuple[str, ...]:
        """The ids of the keys that only decrypt."""
        return tuple(key.id for key in self._keys[1:])

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(key.id for key in self._keys)

    def named(self, key_id: str) -> VaultKey | None:
        """The key of an id, None for one that this process has not got."""
        return next((key for key in self._keys if key.id == key_id), None)


def parse_vault_keys(written: str) -> tuple[VaultKey, ...]:
    """Keys written as `id:base64` with commas or line ends between them, the active one first; none for "".

    Raises `Misconfigured` (vault_keys_invalid), which says which place is wrong and never what stands there.
    """
    entries = [entry for entry in _SEPARATOR.split(written) if entry]
    keys = tuple(_parse_key(entry, place) for place, entry in enumerate(entries, start=1))
    if len({key.id for key in keys}) != len(keys):
        raise Misconfigured("vault_keys_invalid", "two keys of HAECHI_VAULT_KEYS have one id")
    return keys


def write_vault_keys(keys: Sequence[VaultKey]) -> str:
    """Keys as `parse_vault_keys` reads them."""
    return "\n".join(f"{key.id}:{base64.b64encode(key.secret).decode()}" for key in keys)


def index_key_from(identity_key: str) -> bytes:
    """The key of the vault's lookup hashes, derived with HKDF (RFC 5869), so that rotation leaves them as they are."""
    return HKDF(SHA256(), length=KEY_BYTES, salt=None, info=b"haechi vault index 1").derive(identity_key.encode())


def new_vault_key(known_ids: Sequence[str] = ()) -> VaultKey:
    """A random key whose id, k1, k2 ..., follows the highest one known."""
    numbers = [int(key_id[1:]) for key_id in known_ids if re.fullmatch(r"k[0-9]{1,9}", key_id)]
    return VaultKey(f"k{max(numbers, default=0) + 1}", secrets.token_bytes(KEY_BYTES))


def _parse_key(entry: str, place: int) -> VaultKey:
    key_id, _, encoded = entry.partition(":")
    try:
        secret = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if not KEY_ID.fullmatch(key_id) or len(secret) != KEY_BYTES:
        raise Misconfigured(
            "vault_keys_invalid", f"key {place} of HAECHI_VAULT_KEYS is not id:base64 of {KEY_BYTES} bytes"
        )
    return VaultKey(key_id, secret)
