"""What the Teams door lets in, what it refuses, and that it waits for nothing (T1 and the door's half of T2)."""

import asyncio
import base64
import json
import threading
import time
import warnings
from typing import Any

import httpx
import jwt
import pytest
from microsoft_teams.common.experimental import ExperimentalWarning
from pydantic import ValidationError

from bot.teams_door.app import MAXIMUM_BODY_BYTES, create_app
from bot.teams_door.inbox import STREAM, KeyPair, new_keys
from bot.teams_door.settings import TeamsDoorSettings
from bot.teams_door.signing_keys import SECONDS_BETWEEN_FETCHES, SigningKeys
from tests.bot.gateway.stand_ins import served
from tests.bot.teams.conftest import Door, door_settings
from tests.bot.teams.microsoft import APP_ID, KEY_ID, SERVICE_URL, KeyServer, Signer, payload

FOREIGN_TENANT = "00000000-dead-4bee-8f00-000000000000"


def unsigned(signer: Signer) -> str:
    """The good claims under "alg": "none", which no library writes by itself."""
    claims = signer.token().split(".")[1]
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT", "kid": KEY_ID}).encode()).decode()
    return f"{header.rstrip('=')}.{claims}."


class OneKey:
    """A key source that knows one id, in the place of one that asks Microsoft."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def get_signing_key_from_jwt(self, token: str) -> Any:
        if jwt.get_unverified_header(token).get("kid") != KEY_ID:
            raise jwt.PyJWKClientError("no such key")
        return self


def microsofts_validator(app_id: str) -> Any:
    with warnings.catch_warnings():
        # The package warns of a preview of its own as soon as it is imported.
        warnings.simplefilter("ignore", ExperimentalWarning)
        from microsoft_teams.apps.auth.token_validator import InboundActivityTokenValidator  # noqa: PLC0415
    return InboundActivityTokenValidator(app_id)


STRICTER = {"our audience among others", "no expiry"}


def now(seconds: int) -> int:
    return int(time.time()) + seconds


BAD_TOKENS: dict[str, Any] = {
    "no token": lambda _: "",
    "garbage": lambda _: "not.a.token",
    "signed by somebody else": lambda signer: signer.token(key=signer.other_key),
    "an unknown key id": lambda signer: signer.token(key_id="nobody's"),
    "no key id": lambda signer: signer.token(key_id=None),
    "HS256 with a made-up secret": lambda signer: signer.token(algorithm="HS256", key="x" * 32),
    "alg none": unsigned,
    "another bot's audience": lambda signer: signer.token(aud="00000000-0000-4000-8000-000000000000"),
    "our audience among others": lambda signer: signer.token(aud=[APP_ID, "another"]),
    "no audience": lambda signer: signer.token(aud=None),
    "another issuer": lambda signer: signer.token(iss="https://sts.windows.net/tenant/"),
    "no issuer": lambda signer: signer.token(iss=None),
    "expired 400 s ago": lambda signer: signer.token(exp=now(-400)),
    "no expiry": lambda signer: signer.token(exp=None),
    "not valid for another 400 s": lambda signer: signer.token(nbf=now(400)),
    "a serviceurl other than the body's": lambda signer: signer.token(serviceurl="https://smba.trafficmanager.net/us/"),
    "no serviceurl": lambda signer: signer.token(serviceurl=None),
}


@pytest.mark.parametrize("kind", BAD_TOKENS)
def test_t1_a_request_without_a_good_token_is_refused_and_leaves_nothing(door: Door, kind: str) -> None:
    response = door.post(payload("personal_message"), BAD_TOKENS[kind](door.signer))
    assert (response.status_code, response.headers["www-authenticate"], door.left) == (401, "Bearer", 0)


def test_t1_a_request_without_an_authorization_header_is_refused(door: Door) -> None:
    response = door.http.post("/api/messages", json=payload("personal_message"))
    assert (response.status_code, door.left) == (401, 0)


def test_t1_a_token_that_expired_within_the_tolerance_is_taken(door: Door) -> None:
    assert door.post(payload("personal_message"), door.signer.token(exp=now(-240))).status_code == 200


def test_t1_a_key_that_is_not_for_teams_signs_nothing(redis_server: str, signer: Signer, inbox_keys: KeyPair) -> None:
    keys = KeyServer(signer.key_set(endorsements=["webchat"]))
    with served(keys.app()) as keys_url, served(create_app(door_settings(redis_server, inbox_keys, keys_url))) as url:
        response = httpx.post(
            f"{url}/api/messages",
            json=payload("personal_message"),
            headers={"Authorization": f"Bearer {signer.token()}"},
            trust_env=False,
        )
    assert response.status_code == 401


def _with_tenants(channel_data: str | None, conversation: str | None) -> dict[str, Any]:
    activity = payload("personal_message")
    activity["channelData"] = {"tenant": {"id": channel_data}} if channel_data else {}
    if conversation is None:
        del activity["conversation"]["tenantId"]
    else:
        activity["conversation"]["tenantId"] = conversation
    return activity


OURS = payload("personal_message")["conversation"]["tenantId"]


@pytest.mark.parametrize(
    ("channel_data", "conversation", "status"),
    [
        (FOREIGN_TENANT, FOREIGN_TENANT, 403),
        (FOREIGN_TENANT, OURS, 403),
        (OURS, FOREIGN_TENANT, 403),
        (None, OURS, 403),
        (OURS, None, 400),
        (OURS.upper(), OURS, 200),
    ],
)
def test_t1_both_places_that_name_a_tenant_have_to_name_ours(
    door: Door, channel_data: str | None, conversation: str | None, status: int
) -> None:
    assert door.post(_with_tenants(channel_data, conversation)).status_code == status
    assert door.left == (1 if status == 200 else 0)


@pytest.mark.parametrize(("tenant", "status"), [(OURS, 200), (FOREIGN_TENANT, 403)])
def test_t1_an_invoke_that_names_one_tenant_only_has_to_name_ours(door: Door, tenant: str, status: int) -> None:
    activity = payload("feedback_form_sent", channelData={})
    activity["conversation"]["tenantId"] = tenant
    assert door.post(activity).status_code == status


@pytest.mark.parametrize(
    "service_url",
    [
        "https://evil.trafficmanager.net/kr/",
        "https://smba.trafficmanager.net.evil.example/kr/",
        "https://smba.trafficmanager.net@evil.example/kr/",
        "https://evil.example/smba.trafficmanager.net/",
        "https://smba.trafficmanager.net\\@evil.example/",
        "https://smba.trafficmanager.net:99999/",
        "https://smba.trafficmanager.net/kr/?to=https://evil.example",
        "https://smba.trafficmanager.net\n.evil.example/",
        "//smba.evil.example/",
        "smba.trafficmanager.net",
        "file:///etc/passwd",
    ],
)
def test_t1_an_answer_is_promised_to_no_host_outside_the_list(door: Door, service_url: str) -> None:
    token = door.signer.token(serviceurl=service_url)
    response = door.post(payload("personal_message", serviceUrl=service_url), token)
    assert (response.status_code, door.left) == (403, 0)


def test_t1_in_production_answers_go_by_https_to_the_usual_port_only(
    redis_server: str, signer: Signer, inbox_keys: KeyPair
) -> None:
    keys = KeyServer(signer.key_set())
    settings = door_settings(redis_server, inbox_keys, "https://keys.example")
    with served(keys.app()) as keys_url:
        # The keys of this test come by plain HTTP; everything else is production's.
        strict = settings.model_copy(update={"environment": "production", "teams_keys_url": keys_url + "/keys"})
        with served(create_app(strict)) as url:
            for service_url, status in (
                ("http://smba.trafficmanager.net/kr/", 403),
                ("https://smba.trafficmanager.net:8443/kr/", 403),
                ("https://smba.trafficmanager.net:443/kr/", 200),
            ):
                response = httpx.post(
                    f"{url}/api/messages",
                    json=payload("personal_message", serviceUrl=service_url, id=service_url),
                    headers={"Authorization": f"Bearer {signer.token(serviceurl=service_url)}"},
                    trust_env=False,
                )
                assert response.status_code == status, service_url


def test_another_channel_than_teams_is_refused(door: Door) -> None:
    assert door.post(payload("personal_message", channelId="webchat")).status_code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"type":"message"}', b"\xff\xfe"])
def test_a_body_that_is_no_activity_is_refused(door: Door, body: bytes) -> None:
    headers = {"Authorization": f"Bearer {door.signer.token()}"}
    assert door.http.post("/api/messages", content=body, headers=headers).status_code == 400
    assert door.left == 0


def test_a_body_over_the_limit_is_refused_whether_or_not_it_says_so(door: Door) -> None:
    headers = {"Authorization": f"Bearer {door.signer.token()}"}
    big = b" " * (MAXIMUM_BODY_BYTES + 1)
    assert door.http.post("/api/messages", content=big, headers=headers).status_code == 413
    assert door.http.post("/api/messages", content=iter([big]), headers=headers).status_code == 413
    longest = payload("personal_message", text="가" * 80_000)
    assert door.post(longest).status_code == 200


def test_there_is_nothing_at_the_door_but_messages_and_health(door: Door) -> None:
    assert door.http.get("/api/messages").status_code == 405
    assert door.http.get("/").status_code == 404
    assert door.http.post("/v1/chat").status_code == 404
    assert door.http.get("/health/ready").json() == {"ready": True, "parts": {"signing_keys": True, "inbox": True}}


def test_t2_an_activity_that_comes_again_is_left_once(door: Door) -> None:
    for _ in range(5):
        assert door.post(payload("personal_message")).status_code == 200
    assert door.left == 1
    assert door.post(payload("channel_mention")).status_code == 200
    assert door.left == 2, "the same id in another conversation is another message"


def test_what_lies_in_redis_cannot_be_read_there(door: Door) -> None:
    activity = payload("personal_message", text="제 주민등록번호는 900101-1234568 입니다")
    assert door.post(activity).status_code == 200
    ((_, fields),) = door.redis.xrange(STREAM)
    kept = b"".join([*fields.values(), *door.redis.keys("*")])
    for secret in ("900101", activity["from"]["aadObjectId"], activity["conversation"]["id"], "주민"):
        assert secret.encode() not in kept


def test_a_full_inbox_and_a_lost_redis_ask_microsoft_to_come_back(
    redis_server: str, signer: Signer, inbox_keys: KeyPair, door: Door
) -> None:
    def asked_of(url: str) -> httpx.Response:
        return httpx.post(
            f"{url}/api/messages",
            json=payload("personal_message", id="another"),
            headers={"Authorization": f"Bearer {signer.token()}"},
            trust_env=False,
        )

    assert door.post(payload("personal_message")).status_code == 200
    keys_url = door.settings.teams_keys_url.removesuffix("/keys")
    full = door_settings(redis_server, inbox_keys, keys_url, teams_inbox_messages=1)
    lost = door_settings("redis://127.0.0.1:1/0", inbox_keys, keys_url)
    for settings, code in ((full, "inbox_full"), (lost, "inbox_unavailable")):
        with served(create_app(settings)) as url:
            response = asked_of(url)
        assert (response.status_code, response.json()["error"]["code"]) == (503, code)
        assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("ignored", ["members_added", "message_edited", "reaction_added", "feedback_dislike_asked"])
def test_what_asks_for_nothing_is_acknowledged_and_left_out(door: Door, ignored: str) -> None:
    assert door.post(payload(ignored)).status_code == 200
    assert door.left == 0


def test_an_invented_key_id_asks_microsoft_for_its_keys_once_and_no_more(door: Door) -> None:
    before = door.keys.asked
    for number in range(20):
        assert door.post(payload("personal_message"), door.signer.token(key_id=f"invented-{number}")).status_code == 401
    assert door.keys.asked - before <= 1


async def test_a_slow_answer_of_microsofts_keys_holds_up_nobody_whose_key_is_known(signer: Signer) -> None:
    clock, hold = [0.0], threading.Event()
    server = KeyServer(signer.key_set())
    with served(server.app()) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            keys = SigningKeys(f"{url}/keys", http, clock=lambda: clock[0])
            await keys.warm()
            clock[0], server.hold = SECONDS_BETWEEN_FETCHES, hold
            unknown = asyncio.create_task(keys.key("invented"))
            assert await asyncio.to_thread(server.held.wait, 10)
            assert await keys.key(KEY_ID) is not None
            assert not unknown.done()
            hold.set()
            assert await unknown is None


async def test_keys_that_cannot_be_fetched_again_stay_known(signer: Signer) -> None:
    server = KeyServer(signer.key_set())
    with served(server.app()) as url:
        async with httpx.AsyncClient(trust_env=False) as http:
            keys = SigningKeys(f"{url}/keys", http)
            await keys.warm()
            for status, key_set in ((500, server.key_set), (200, {"keys": []}), (200, {"error": "nothing"})):
                server.status, server.key_set = status, key_set
                await keys.warm()
                assert await keys.key(KEY_ID) is not None


def test_a_door_without_keys_says_come_back_and_is_not_ready(
    redis_server: str, signer: Signer, inbox_keys: KeyPair
) -> None:
    keys = KeyServer(signer.key_set(), status=500)
    with served(keys.app()) as keys_url, served(create_app(door_settings(redis_server, inbox_keys, keys_url))) as url:
        headers = {"Authorization": f"Bearer {signer.token()}"}
        response = httpx.post(f"{url}/api/messages", json=payload("personal_message"), headers=headers, trust_env=False)
        ready = httpx.get(f"{url}/health/ready", trust_env=False)
    assert (response.status_code, response.json()["error"]["code"]) == (503, "keys_unavailable")
    assert (ready.status_code, ready.json()["parts"]["signing_keys"]) == (503, False)


CLOSED = {"teams_app_id": "", "teams_tenants": "", "teams_redis_url": "", "teams_inbox_public_key": ""}


@pytest.mark.parametrize("missing", CLOSED)
def test_a_door_that_does_not_know_whom_it_serves_does_not_open(missing: str) -> None:
    with pytest.raises(ValidationError, match=f"HAECHI_{missing.upper()}"):
        door_settings("redis://127.0.0.1/0", new_keys(), "https://keys.example", **{missing: ""})


def test_a_door_is_closed_by_default_and_names_hosts_exactly() -> None:
    assert TeamsDoorSettings().teams_enabled is False
    for wide in ("*.trafficmanager.net", ".trafficmanager.net"):
        with pytest.raises(ValidationError, match="exactly"):
            door_settings("redis://127.0.0.1/0", new_keys(), "https://keys.example", teams_service_hosts=wide)


def test_production_does_not_start_where_messages_without_a_token_are_taken() -> None:
    with pytest.raises(ValidationError, match="HAECHI_TEAMS_ALLOW_UNAUTHENTICATED"):
        door_settings(
            "redis://127.0.0.1/0",
            new_keys(),
            "https://keys.example",
            environment="production",
            teams_allow_unauthenticated=True,
        )


def test_a_developers_door_still_asks_for_tenant_and_host(redis_server: str, inbox_keys: KeyPair, door: Door) -> None:
    keys_url = door.settings.teams_keys_url.removesuffix("/keys")
    open_door = door_settings(redis_server, inbox_keys, keys_url, teams_allow_unauthenticated=True)
    with served(create_app(open_door)) as url, httpx.Client(base_url=url, trust_env=False) as http:
        assert http.post("/api/messages", json=payload("personal_message")).status_code == 200
        assert http.post("/api/messages", json=_with_tenants(FOREIGN_TENANT, OURS)).status_code == 403
        elsewhere = payload("personal_message", serviceUrl="https://evil.example/")
        assert http.post("/api/messages", json=elsewhere).status_code == 403


@pytest.mark.parametrize("kind", BAD_TOKENS)
async def test_whatever_microsofts_own_validator_refuses_is_refused_here(signer: Signer, kind: str) -> None:
    """The library's validator over the same keys refuses nothing that we take; `STRICTER` is what only we refuse."""
    own = microsofts_validator(APP_ID)
    own._service_validator._jwks_client = OneKey(signer.key.public_key())  # its own would ask Microsoft
    try:
        await own.validate_token(BAD_TOKENS[kind](signer), SERVICE_URL)
        refused = False
    except (jwt.PyJWTError, ValueError):
        refused = True
    assert refused == (kind not in STRICTER)
