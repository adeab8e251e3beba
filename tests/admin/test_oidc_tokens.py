"""A provider that answers wrongly, slowly or not at all: whatever it hands out, nobody is let in who should not be.

The provider here is a stand-in, which may do what the real one of `test_oidc.py` refuses to.
"""

import asyncio
import json
import socket
import time
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey
from pydantic import SecretStr
from sqlalchemy import select, update
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from admin.app import create_app
from admin.oidc import LOGOUT_EVENT, Provider
from llm_service.store.console_models import ConsoleOnce, ConsoleSession
from llm_service.store.models import now
from tests.admin.platform import Platform
from tests.bot.gateway.stand_ins import served

ON_SQLITE_ALONE = True
CLIENT_SECRET = "a client secret for tests, long enough"
ROLES = {"bank-reviewers": "reviewer"}
Claims = dict[str, Any]


@dataclass
class StandIn:
    """What the provider is and hands out: `changes` to the claims, `key` and `algorithm` that sign them."""

    url: str = ""
    own_key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "own"}))
    changes: Claims = field(default_factory=dict)
    key: Any = None
    algorithm: str = "RS256"
    nonce: str = ""

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.metadata),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    async def metadata(self, _request: Request) -> JSONResponse:
        paths = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return JSONResponse({"issuer": self.url, **{name: self.url + path for name, path in paths.items()}})

    async def keys(self, _request: Request) -> JSONResponse:
        return JSONResponse(KeySet([self.own_key]).as_dict(private=False))

    async def token(self, _request: Request) -> JSONResponse:
        at = int(time.time())
        claims: Claims = {
            "iss": self.url,
            "aud": "console",
            "sub": "kim",
            "groups": ["bank-reviewers"],
            "iat": at,
            "exp": at + 60,
            "nonce": self.nonce,
            **self.changes,
        }
        told = {name: value for name, value in claims.items() if value is not None}
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": self.signed(told)})

    def signed(self, claims: Claims) -> str:
        header = {"alg": self.algorithm, "kid": "own"}
        if self.algorithm == "none":
            return ".".join([*(urlsafe_b64encode(json.dumps(part).encode()).decode() for part in (header, claims)), ""])
        return jwt.encode(header, claims, self.key or self.own_key, algorithms=[self.algorithm])


@dataclass(frozen=True)
class Stage:
    """A console that logs in at the stand-in."""

    url: str
    stand_in: StandIn
    platform: Platform


@contextmanager
def console_at(platform: Platform, issuer: str) -> Iterator[str]:
    app = create_app(platform.settings)
    with served(app) as url:
        settings = platform.settings.model_copy(
            update={
                "console_url": url,
                "oidc_issuer": issuer,
                "oidc_client_id": "console",
                "oidc_client_secret": SecretStr(CLIENT_SECRET),
                "oidc_roles": ROLES,
            }
        )
        parts = app.state.parts
        app.state.parts = replace(parts, settings=settings, provider=Provider(settings, parts.transactions))
        yield url


@pytest.fixture
def stage(platform: Platform) -> Iterator[Stage]:
    stand_in = StandIn()
    with served(stand_in.app()) as issuer:
        stand_in.url = issuer
        with console_at(platform, issuer) as url:
            yield Stage(url, stand_in, platform)


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=30, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        yield client


def returned(client: httpx.Client, stage: Stage) -> httpx.Response:
    """Where a browser stands that the provider has sent back."""
    asked = parse_qs(urlsplit(client.get(f"{stage.url}/login/provider").headers["location"]).query)
    stage.stand_in.nonce = asked["nonce"][0]
    return client.get(f"{stage.url}/login/provider/return", params={"state": asked["state"][0], "code": "c"})


def is_logged_in(client: httpx.Client, stage: Stage) -> bool:
    return client.get(f"{stage.url}/profile").status_code == 200


def test_a_sound_token_opens_a_login(client: httpx.Client, stage: Stage) -> None:
    assert returned(client, stage).status_code == 303
    assert is_logged_in(client, stage)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"aud": None},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iat": None},
        {"iat": 4_000_000_000},
        {"sub": None},
        {"groups": ["canteen"]},
        {"groups": None},
        {"groups": []},
    ],
    ids=str,
)
def test_a_token_that_says_something_wrong_opens_nothing(client: httpx.Client, stage: Stage, changes: Claims) -> None:
    stage.stand_in.changes = changes
    assert returned(client, stage).status_code == 403
    assert not is_logged_in(client, stage)


@pytest.mark.parametrize(
    ("algorithm", "key"),
    [
        ("RS256", RSAKey.generate_key(2048, {"kid": "own"})),
        ("HS256", OctKey.import_key(CLIENT_SECRET)),
        ("none", None),
    ],
    ids=["another key of the same name", "the client's own secret", "nothing"],
)
def test_a_token_that_the_provider_did_not_sign_opens_nothing(
    client: httpx.Client, stage: Stage, algorithm: str, key: object
) -> None:
    stage.stand_in.algorithm, stage.stand_in.key = algorithm, key
    assert returned(client, stage).status_code == 403
    assert not is_logged_in(client, stage)


def test_a_login_that_took_longer_than_ten_minutes_begins_anew(client: httpx.Client, stage: Stage) -> None:
    asked = parse_qs(urlsplit(client.get(f"{stage.url}/login/provider").headers["location"]).query)
    stage.platform.work(lambda session: session.execute(update(ConsoleOnce).values(expires_at=now())))
    late = client.get(f"{stage.url}/login/provider/return", params={"state": asked["state"][0], "code": "c"})
    assert (late.status_code, "login_state_lost" in late.text) == (400, True)


def logout_token(stage: Stage, **changes: Any) -> str:
    told = {
        "iss": stage.stand_in.url,
        "aud": "console",
        "sub": "kim",
        "iat": int(time.time()),
        "jti": f"{time.monotonic_ns()}",
        "events": {LOGOUT_EVENT: {}},
        **changes,
    }
    return stage.stand_in.signed({name: value for name, value in told.items() if value is not None})


def say_logged_out(client: httpx.Client, stage: Stage, token: str) -> int:
    return client.post(f"{stage.url}/login/provider/logout", data={"logout_token": token}).status_code


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://elsewhere.example"},
        {"aud": "another-client"},
        {"aud": None},
        {"iat": 1_700_000_000},
        {"events": {}},
        {"events": None},
        {"jti": None},
        {"sub": None},
        {"nonce": "n"},
    ],
    ids=str,
)
def test_a_logout_token_with_something_wrong_ends_nothing(client: httpx.Client, stage: Stage, changes: Claims) -> None:
    returned(client, stage)
    assert say_logged_out(client, stage, logout_token(stage, **changes)) == 400
    assert is_logged_in(client, stage)


def test_a_logout_token_works_once(client: httpx.Client, stage: Stage) -> None:
    returned(client, stage)
    token = logout_token(stage)
    assert say_logged_out(client, stage, token) == 200
    assert not is_logged_in(client, stage)
    returned(client, stage)
    assert say_logged_out(client, stage, token) == 400
    assert is_logged_in(client, stage)


def test_a_login_by_the_provider_ends_like_every_other(client: httpx.Client, stage: Stage) -> None:
    returned(client, stage)
    newest = select(ConsoleSession).where(_of_kim).order_by(ConsoleSession.created_at.desc()).limit(1)
    row = stage.platform.work(lambda session: session.scalars(newest).one())
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(8 * 3600, abs=2)
    stage.platform.work(lambda session: session.execute(update(ConsoleSession).where(_of_kim).values(expires_at=now())))
    assert not is_logged_in(client, stage)


_of_kim = ConsoleSession.id_token.is_not(None) & (ConsoleSession.expires_at > now())


async def _dripping(_request: Request) -> Response:
    async def drops() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.5)

    return StreamingResponse(drops(), media_type="application/json")


def test_a_provider_that_answers_drop_by_drop_is_said_to_be_down_within_seconds(
    platform: Platform, client: httpx.Client
) -> None:
    slow = Starlette(routes=[Route("/.well-known/openid-configuration", _dripping)])
    with served(slow) as issuer, console_at(platform, issuer) as url:
        refused = client.get(f"{url}/login/provider")
    assert (refused.status_code, "provider_down" in refused.text) == (503, True)
    assert refused.elapsed.total_seconds() < 5


def test_a_provider_that_takes_calls_and_says_nothing_is_said_to_be_down_within_seconds(
    platform: Platform, client: httpx.Client
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        console_at(platform, f"http://127.0.0.1:{silent.getsockname()[1]}") as url,
    ):
        refused = client.get(f"{url}/login/provider")
    assert (refused.status_code, "provider_down" in refused.text) == (503, True)
    assert refused.elapsed.total_seconds() < 5
