"""Whether a request comes from the Bot Framework: its bearer token, checked against the rules Microsoft publishes.

Rules: Microsoft Learn, "Authentication with the Bot Connector API", section "Connector to bot". Stricter than
Microsoft's own library in two places: no Entra token is taken for a connector token, and a signing key that says which
channels it is for has to name Teams. Knows nothing of tenants and of what is asked.
"""

from typing import Any, Final

import jwt

from bot.teams_door.errors import Refused
from bot.teams_door.signing_keys import ALGORITHM, KeysUnavailable, SigningKeys

LEEWAY_SECONDS: Final = 300
CHANNEL: Final = "msteams"
KEYS_RETRY_SECONDS: Final = 5
SCHEME: Final = "bearer "


class TokenCheck:
    """Checks the tokens of one bot, whose Microsoft App ID is `app_id`."""

    def __init__(self, keys: SigningKeys, app_id: str, issuer: str) -> None:
        self._keys = keys
        self._app_id = app_id
        self._issuer = issuer

    async def claims_of(self, authorization: str) -> dict[str, Any]:
        """The claims of an Authorization header. Raises `Refused` 401; 503 while no signing key is known."""
        if not authorization.lower().startswith(SCHEME):
            raise Refused("token_missing", 401)
        token = authorization[len(SCHEME) :].strip()
        key = await self._signing_key(token)
        try:
            return dict(
                jwt.decode(
                    token,
                    key,
                    algorithms=[ALGORITHM],
                    audience=self._app_id,
                    issuer=self._issuer,
                    leeway=LEEWAY_SECONDS,
                    options={"require": ["exp", "iss", "aud"], "strict_aud": True},
                )
            )
        except jwt.InvalidTokenError:
            raise Refused("token_refused", 401) from None

    async def _signing_key(self, token: str) -> Any:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise Refused("token_unreadable", 401) from None
        key_id = header.get("kid")
        # The header is the sender's word: only what Microsoft signs with goes on to the signature.
        if header.get("alg") != ALGORITHM or not isinstance(key_id, str):
            raise Refused("token_refused", 401)
        try:
            key = await self._keys.key(key_id)
        except KeysUnavailable:
            raise Refused("keys_unavailable", 503, KEYS_RETRY_SECONDS) from None
        if key is None or (key.channels is not None and CHANNEL not in key.channels):
            raise Refused("token_refused", 401)
        return key.key


def check_service_url(claims: dict[str, Any], service_url: str) -> None:
    """Pass if the token was issued for the service that the activity names. Raises `Refused` 401."""
    claimed = claims.get("serviceurl")
    if not isinstance(claimed, str) or claimed.rstrip("/") != service_url.rstrip("/"):
        raise Refused("service_url_not_claimed", 401)
