"""The Bot Framework's signing keys (JWKS, RFC 7517): fetched ahead of need and without ever holding up a known key.

Knows nothing of tokens. A storm of invented key ids asks Microsoft once a minute, not once a token.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import jwt

from llm_service.logs import get_logger

FETCH_TIMEOUT_SECONDS: Final = 5.0
REFRESH_SECONDS: Final = 3600.0
SECONDS_BETWEEN_FETCHES: Final = 60.0
SECONDS_BETWEEN_FIRST_TRIES: Final = 5.0
ALGORITHM: Final = "RS256"
_log = get_logger("teams_door.signing_keys")


class KeysUnavailable(Exception):
    """No signing key has been fetched yet, so that no token can be judged."""


@dataclass(frozen=True)
class SigningKey:
    """A public key; `channels` it is endorsed for, None where the set does not say."""

    key: Any
    channels: frozenset[str] | None


class SigningKeys:
    """Keys by id. `warm` at start, `keep_fresh` beside the server; `key` waits only for an id nobody has seen."""

    def __init__(self, url: str, http: httpx.AsyncClient, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._keys: Mapping[str, SigningKey] = {}
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    @property
    def are_known(self) -> bool:
        return bool(self._keys)

    async def key(self, key_id: str) -> SigningKey | None:
        """The key of that id, None if Microsoft publishes none. Raises `KeysUnavailable`."""
        if key_id not in self._keys:
            await self._fetch_again_if_due(key_id)
        if not self._keys:
            raise KeysUnavailable
        return self._keys.get(key_id)

    async def warm(self) -> None:
        """Fetch the keys now; a failure is logged, and the keys stay as they are."""
        self._tried_at = self._clock()
        try:
            async with asyncio.timeout(FETCH_TIMEOUT_SECONDS):
                response = await self._http.get(self._url)
            response.raise_for_status()
            self._keys = _keys_of(response.json())
        except (httpx.HTTPError, TimeoutError, ValueError, TypeError, jwt.PyJWTError) as error:
            _log.warning("signing_keys_not_fetched", kind=type(error).__name__, known=len(self._keys))
        else:
            _log.info("signing_keys_fetched", count=len(self._keys))

    async def keep_fresh(self) -> None:
        """Fetch again every hour, and every few seconds while there are none; runs until it is cancelled."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS if self._keys else SECONDS_BETWEEN_FIRST_TRIES)
            await self.warm()

    async def _fetch_again_if_due(self, key_id: str) -> None:
        pause = SECONDS_BETWEEN_FETCHES if self._keys else SECONDS_BETWEEN_FIRST_TRIES
        async with self._lock:
            if key_id not in self._keys and self._clock() - self._tried_at >= pause:
                await self.warm()


def _keys_of(document: Any) -> dict[str, SigningKey]:
    """RSA keys for signatures; raises `ValueError` for a set without any, so that an empty set never replaces one."""
    listed = document.get("keys") if isinstance(document, dict) else None
    found = {
        published["kid"]: SigningKey(
            jwt.PyJWK(published, algorithm=ALGORITHM).key,
            frozenset(published["endorsements"]) if "endorsements" in published else None,
        )
        for published in (listed if isinstance(listed, list) else [])
        if isinstance(published, dict)
        and published.get("kty") == "RSA"
        and published.get("use", "sig") == "sig"
        and isinstance(published.get("kid"), str)
    }
    if not found:
        raise ValueError("the key set holds no RSA key")
    return found
