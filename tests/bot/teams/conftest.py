"""The Teams door before a real Redis, with Microsoft's keys and connector played on loopback."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import redis

from bot.teams_door.app import create_app
from bot.teams_door.inbox import SEEN, STREAM, KeyPair, new_keys
from bot.teams_door.settings import TeamsDoorSettings
from tests.bot.gateway.stand_ins import served
from tests.bot.teams.microsoft import APP_ID, TENANT, KeyServer, Signer

KEYS_PATH = "/keys"


@pytest.fixture(scope="session")
def signer() -> Signer:
    return Signer()


@pytest.fixture(scope="session")
def inbox_keys() -> KeyPair:
    return new_keys()


@dataclass
class Door:
    """A running door: post to it, and look at what it left in Redis."""

    http: httpx.Client
    signer: Signer
    keys: KeyServer
    redis: "redis.Redis[bytes]"
    settings: TeamsDoorSettings

    def post(self, activity: Any, token: str | None = None, **headers: str) -> httpx.Response:
        token = self.signer.token() if token is None else token
        return self.http.post(
            "/api/messages", json=activity, headers={"Authorization": f"Bearer {token}".strip(), **headers}
        )

    @property
    def left(self) -> int:
        return int(self.redis.xlen(STREAM))


@pytest.fixture(scope="module")
def door_parts(redis_server: str, signer: Signer, inbox_keys: KeyPair) -> Iterator[Door]:
    keys = KeyServer(signer.key_set())
    with served(keys.app()) as keys_url, redis.Redis.from_url(redis_server) as client:
        settings = door_settings(redis_server, inbox_keys, keys_url)
        with (
            served(create_app(settings)) as url,
            httpx.Client(base_url=url, trust_env=False, timeout=20) as http,
        ):
            yield Door(http, signer, keys, client, settings)


@pytest.fixture
def door(door_parts: Door) -> Door:
    door_parts.redis.delete(STREAM, *door_parts.redis.keys(SEEN + "*"))
    return door_parts


def door_settings(redis_url: str, keys: KeyPair, keys_url: str, **changes: Any) -> TeamsDoorSettings:
    given: dict[str, Any] = {
        "teams_enabled": True,
        "teams_app_id": APP_ID,
        "teams_tenants": TENANT,
        "teams_keys_url": keys_url + KEYS_PATH,
        "teams_redis_url": redis_url,
        "teams_inbox_public_key": keys.public,
    }
    return TeamsDoorSettings(**{**given, **changes})
