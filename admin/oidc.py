"""Login through the bank's OpenID provider: code with PKCE and nonce, groups as roles, logging out from there.

OpenID Connect Core 1.0 and Back-Channel Logout 1.0, by Authlib and joserfc. Knows no page and no cookie.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from admin.errors import Declined
from admin.policies import ROLES, STRONG_ROLES
from admin.settings import ConsoleSettings
from llm_service.logs import get_logger
from llm_service.store import console
from llm_service.store.transactions import Transactions

TIMEOUT_SECONDS: Final = 4.0
"""For everything that one request asks of the provider together, however slowly it answers."""
STATE_LIVES: Final = timedelta(minutes=10)
LOGOUT_TOKEN_LIVES: Final = timedelta(minutes=10)
LEEWAY_SECONDS: Final = 30
METADATA_LIVES_SECONDS: Final = 3600.0
ALGORITHMS: Final = ["RS256", "PS256", "ES256", "EdDSA"]
LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
RETURN_PATH: Final = "/login/provider/return"
LOGGED_OUT_PATH: Final = "/logged-out"
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Vouched:
    """A person as the provider names them, with the roles of their groups."""

    subject: str
    login: str
    display_name: str
    roles: frozenset[str]
    provider: console.Provider
    where: str


class Provider:
    """The configured provider. Every call raises `Declined` with what a person should be told, within seconds."""

    def __init__(self, settings: ConsoleSettings, transactions: Transactions) -> None:
        self._settings = settings
        self._issuer = settings.oidc_issuer.rstrip("/")
        self._transactions = transactions
        self._metadata: dict[str, Any] = {}
        self._metadata_until = 0.0
        self._keys: KeySet | None = None
        unknown = set(settings.oidc_roles.values()) - set(ROLES)
        if unknown:
            raise ValueError(f"HAECHI_OIDC_ROLES names roles there are not: {', '.join(sorted(unknown))}")

    async def login_address(self, where: str) -> tuple[str, str]:
        """The provider's login page, and the state that the browser has to bring back."""
        state, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(3))
        async with self._client() as client:
            metadata = await self._known(client)
            extra = {"acr_values": self._settings.oidc_strong_acr} if self._settings.oidc_strong_acr else {}
            address, _ = client.create_authorization_url(
                metadata["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier, **extra
            )
        kept = {"nonce": nonce, "verifier": verifier, "where": where}
        await self._transactions.run(
            partial(console.put_once, kind="oidc_state", value=state, details=kept, lives=STATE_LIVES)
        )
        return str(address), state

    async def finish(self, state: str, code: str) -> Vouched:
        """The person behind a code. Raises `Declined` (login_state_lost, provider_refused, no_role, provider_down)."""
        kept = await self._transactions.run(partial(console.take_once, kind="oidc_state", value=state))
        if kept is None:
            raise Declined("login_state_lost", 400)
        async with self._client() as client:
            metadata = await self._known(client)
            token = await client.fetch_token(
                metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=kept["verifier"]
            )
            id_token = str(token.get("id_token", ""))
            claims, header = await self._claims(client, id_token)
        parameters = {
            "nonce": kept["nonce"],
            "client_id": self._settings.oidc_client_id,
            "access_token": token.get("access_token"),
        }
        options = {
            "iss": {"essential": True, "value": metadata["issuer"]},
            "aud": {"essential": True, "value": self._settings.oidc_client_id},
            "nonce": {"essential": True},
        }
        _check(CodeIDToken(claims, header, options=options, params=parameters))
        return self._vouched(claims, id_token, str(kept["where"]))

    async def logout(self, logout_token: str) -> None:
        """End what the provider says is over (Back-Channel Logout 1.0, section 2.6). Raises `Declined`."""
        async with self._client() as client:
            metadata = await self._known(client)
            claims, _ = await self._claims(client, logout_token)
        audience = claims.get("aud")
        is_for_us = self._settings.oidc_client_id in (audience if isinstance(audience, list) else [audience])
        is_logout = isinstance(claims.get("events"), Mapping) and LOGOUT_EVENT in claims["events"]
        is_fresh = abs(time.time() - float(claims.get("iat", 0))) <= LOGOUT_TOKEN_LIVES.total_seconds()
        says_who = "sub" in claims or "sid" in claims
        sound = claims.get("iss") == metadata["issuer"] and is_for_us and is_logout and is_fresh and says_who
        if not sound or "nonce" in claims or not claims.get("jti"):
            raise Declined("provider_refused", 400)
        once = partial(
            console.put_once, kind="logout_token", value=str(claims["jti"]), details={}, lives=LOGOUT_TOKEN_LIVES
        )
        if not await self._transactions.run(once):
            raise Declined("provider_refused", 400)
        subject = f"{claims['iss']}|{claims['sub']}" if "sub" in claims else None
        end = partial(console.end_sessions_at_provider, subject=subject, provider_session=claims.get("sid"))
        await self._transactions.run(end)

    async def logout_address(self, id_token: str) -> str | None:
        """Where to log out at the provider too, if it says where (RP-Initiated Logout 1.0)."""
        async with self._client() as client:
            metadata = await self._known(client)
        if not (address := metadata.get("end_session_endpoint")):
            return None
        parameters = {
            "id_token_hint": id_token,
            "post_logout_redirect_uri": self._settings.console_url.rstrip("/") + LOGGED_OUT_PATH,
        }
        return f"{address}?{urlencode(parameters)}"

    def _vouched(self, claims: Mapping[str, Any], id_token: str, where: str) -> Vouched:
        groups = claims.get(self._settings.oidc_groups_claim, [])
        named = [groups] if isinstance(groups, str) else list(groups)
        roles = frozenset(self._settings.oidc_roles[group] for group in named if group in self._settings.oidc_roles)
        if not roles:
            raise Declined("no_role", 403)
        strong = self._settings.oidc_strong_acr
        if strong and claims.get("acr") != strong and not roles.isdisjoint(STRONG_ROLES):
            raise Declined("login_too_weak", 403)
        subject = str(claims["sub"])
        login = str(claims.get("preferred_username") or claims.get("email") or subject)[:60]
        return Vouched(
            subject=f"{claims['iss']}|{subject}",
            login=login,
            display_name=str(claims.get("name") or login)[:128],
            roles=roles,
            provider=console.Provider(claims.get("sid"), id_token),
            where=where,
        )

    async def _claims(self, client: AsyncOAuth2Client, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The claims of a signed token; keys are fetched again once, where they were changed meanwhile."""
        keys = self._keys or await self._fetch_keys(client)
        try:
            decoded = jwt.decode(token, keys, algorithms=ALGORITHMS)
        except (JoseError, ValueError):
            decoded = jwt.decode(token, await self._fetch_keys(client), algorithms=ALGORITHMS)
        return dict(decoded.claims), dict(decoded.header)

    async def _fetch_keys(self, client: AsyncOAuth2Client) -> KeySet:
        metadata = await self._known(client)
        fetched: Any = await _json(client, metadata["jwks_uri"])
        self._keys = KeySet.import_key_set(fetched)
        return self._keys

    async def _known(self, client: AsyncOAuth2Client) -> dict[str, Any]:
        if time.monotonic() > self._metadata_until:
            found = await _json(client, f"{self._issuer}/.well-known/openid-configuration")
            if str(found.get("issuer", "")).rstrip("/") != self._issuer:
                raise Declined("provider_refused", 502)
            self._metadata, self._metadata_until = found, time.monotonic() + METADATA_LIVES_SECONDS
        return self._metadata

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[AsyncOAuth2Client]:
        client = AsyncOAuth2Client(
            client_id=self._settings.oidc_client_id,
            client_secret=self._settings.oidc_client_secret.get_secret_value(),
            scope="openid profile email",
            redirect_uri=self._settings.console_url.rstrip("/") + RETURN_PATH,
            code_challenge_method="S256",
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), client:
                yield client
        except (httpx2.HTTPError, TimeoutError) as error:
            LOG.warning("provider unreachable", kind=type(error).__name__)
            raise Declined("provider_down", 503) from None
        except (OAuthError, JoseError, ValueError, KeyError) as error:
            LOG.warning("provider refused", kind=type(error).__name__)
            raise Declined("provider_refused", 403) from None


def _check(claims: CodeIDToken) -> None:
    try:
        claims.validate(leeway=LEEWAY_SECONDS)
    except JoseError as error:
        LOG.warning("id token refused", kind=type(error).__name__)
        raise Declined("provider_refused", 403) from None


async def _json(client: AsyncOAuth2Client, url: str) -> dict[str, Any]:
    response = await client.request("GET", url, withhold_token=True)
    response.raise_for_status()
    return dict(response.json())
