"""The bank site's token: whom it admits, what is refused and by which code, and that nothing outlives it."""

import base64
import hashlib
import hmac
import json
import runpy
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from bot.gateway.app import create_app
from bot.gateway.errors import Declined
from bot.gateway.settings import GatewaySettings
from bot.gateway.signed_tokens import LONGEST_LIFE_SECONDS, SignedPerson, SignedTokens, is_signed
from tests.bot.gateway.stand_ins import RASA_TOKEN, SERVICE_TOKEN, LlmServiceStandIn, RasaStandIn, served

SECRET = "a secret shared with the bank's site alone"
SUBJECT = hashlib.sha256(b"customer 1").hexdigest()
PRIVATE_KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a key of the tests").digest())
PUBLIC_PEM = (
    PRIVATE_KEY.public_key()
    .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
ORIGIN = "https://www.bank.example"


def claims(**changes: object) -> dict[str, Any]:
    now = int(time.time())
    whole = {"aud": "haechi-chat", "sub": SUBJECT, "kind": "customer", "iat": now, "exp": now + 600, **changes}
    # The table below is made long before a test of it may run, so it says how far from now.
    moments = {
        name: now + round(value.total_seconds()) for name, value in whole.items() if isinstance(value, timedelta)
    }
    return {name: value for name, value in {**whole, **moments}.items() if value is not None}


def token(key: Any = SECRET, algorithm: str = "HS256", **changes: object) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def unsigned() -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "none", "typ": "JWT"}, claims())]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), ""])


def signed_with_the_public_key() -> str:
    """The confusion of RFC 8725 §2.1: the verifier's public key taken for a shared secret."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims())]
    head = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
    signature = hmac.new(PUBLIC_PEM.encode(), head.encode(), hashlib.sha256).digest()
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("kind", ["guest", "customer"])
@pytest.mark.parametrize(
    ("key", "algorithm", "signer"), [(SECRET, "HS256", SECRET), (PUBLIC_PEM, "EdDSA", PRIVATE_KEY)]
)
def test_whom_the_bank_vouches_for_is_known_by_kind_and_hash(key: str, algorithm: Any, signer: Any, kind: str) -> None:
    read = SignedTokens(key, algorithm).person(token(signer, algorithm, kind=kind))
    assert read == SignedPerson(kind, SUBJECT)  # type: ignore[arg-type]


REFUSED = {
    "expired": ({"iat": -timedelta(seconds=700), "exp": -timedelta(seconds=100)}, "identity_expired"),
    "another audience": ({"aud": "internet-banking"}, "identity_for_another"),
    "several audiences": ({"aud": ["haechi-chat", "internet-banking"]}, "identity_for_another"),
    "valid for too long": ({"exp": timedelta(seconds=LONGEST_LIFE_SECONDS + 1)}, "identity_too_long_lived"),
    "from the future": ({"iat": timedelta(seconds=300), "exp": timedelta(seconds=400)}, "identity_incomplete"),
    "without an end": ({"exp": None}, "identity_incomplete"),
    "without a beginning": ({"iat": None}, "identity_incomplete"),
    "about nobody": ({"sub": None}, "identity_incomplete"),
    "about a plain number": ({"sub": "1234567890"}, "identity_not_hashed"),
    "of no known kind": ({"kind": "staff"}, "identity_incomplete"),
    "without a kind": ({"kind": None}, "identity_incomplete"),
}


@pytest.mark.parametrize(("changes", "code"), REFUSED.values(), ids=REFUSED)
def test_a_token_is_refused_with_the_reason(changes: dict[str, object], code: str) -> None:
    with pytest.raises(Declined, match=rf"^{code} \(401\)$"):
        SignedTokens(SECRET, "HS256").person(token(**changes))


FORGED = {
    "unsigned": unsigned,
    "by another secret": lambda: token("another secret of more than 32 characters"),
    "by another algorithm": lambda: token(SECRET * 2, "HS512"),
    "by the public key as a secret": signed_with_the_public_key,
    "changed": lambda: token()[:-4] + "AAAA",
}


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
@pytest.mark.parametrize(("key", "algorithm"), [(SECRET, "HS256"), (PUBLIC_PEM, "EdDSA")])
def test_a_forged_token_is_not_accepted(key: str, algorithm: Any, forge: Any) -> None:
    forged = forge()
    assert is_signed(forged)
    with pytest.raises(Declined, match="identity_not_accepted"):
        SignedTokens(key, algorithm).person(forged)


@pytest.mark.parametrize("header", [b"[" * 20_000, b'{"alg":' * 5_000, b"null", b"\xff", b'{"kid": 1}', b""])
def test_a_header_that_is_none_makes_no_signed_token(header: bytes) -> None:
    assert not is_signed(f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.e30.AAAA")


def test_without_a_key_no_signed_token_is_accepted() -> None:
    with pytest.raises(Declined, match="identity_not_accepted"):
        SignedTokens("", "HS256").person(token())


EXAMPLES = Path(__file__).parents[3] / "bot" / "widget" / "examples"
GUIDE = Path(__file__).parents[3] / "docs" / "widget.md"


def test_the_guides_python_signs_what_the_gateway_reads() -> None:
    example = runpy.run_path(str(EXAMPLES / "sign_token.py"))
    read = SignedTokens(SECRET, "HS256").person(example["sign_token"]("1234567890", b"a key for pseudonyms", SECRET))
    assert read.kind == "customer"
    assert "1234567890" not in read.subject


@pytest.mark.skipif(shutil.which("node") is None, reason="NOT TRIED: the guide's example needs node")
def test_the_guides_node_signs_what_the_gateway_reads() -> None:
    pem = PRIVATE_KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    script = f"""import {{ signToken }} from {json.dumps((EXAMPLES / "sign_token.mjs").as_uri())};
        console.log(signToken("1234567890", "a key for pseudonyms", {json.dumps(pem)}));"""
    command = ["node", "--input-type=module", "--eval", script]
    signed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    assert SignedTokens(PUBLIC_PEM, "EdDSA").person(signed).kind == "customer"


def test_the_guide_shows_the_examples_as_they_are() -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    for example in ("sign_token.py", "sign_token.mjs"):
        assert (EXAMPLES / example).read_text(encoding="utf-8") in guide


@pytest.mark.parametrize(
    "changes",
    [
        {"widget_token_key": "short", "widget_token_algorithm": "HS256"},
        {"widget_token_key": PUBLIC_PEM, "widget_token_algorithm": "HS256"},
        {"widget_token_key": SECRET, "widget_token_algorithm": "EdDSA"},
        {"widget_token_algorithm": "RS256"},
        {"widget_origins": "*"},
        {"widget_origins": "http://www.bank.example"},
        {"widget_origins": f"{ORIGIN}/chat"},
    ],
)
def test_settings_that_would_admit_too_much_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        GatewaySettings(**changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def gateway() -> Iterator[httpx.Client]:
    with served(LlmServiceStandIn().app()) as llm_service_url, served(RasaStandIn().app()) as rasa_url:
        settings = GatewaySettings(
            llm_service_url=llm_service_url,
            rasa_url=rasa_url,
            rasa_token=RASA_TOKEN,
            service_token=SERVICE_TOKEN,
            session_secret="a secret that signs the sessions of the tests",
            widget_origins=f"{ORIGIN}, https://m.bank.example",
            widget_token_key=SECRET,
            widget_token_algorithm="HS256",
            anonymous_guests=False,
        )
        with served(create_app(settings)) as url, httpx.Client(base_url=url, trust_env=False) as client:
            yield client


def ask(
    gateway: httpx.Client, bearer: str, conversation: str = "11111111-1111-4111-8111-111111111111"
) -> httpx.Response:
    body = {"message_id": "22222222-2222-4222-8222-222222222222", "conversation": conversation, "text": "예금은요?"}
    return gateway.post("/v1/chat", json=body, headers={"Authorization": f"Bearer {bearer}"})


def test_a_vouched_for_customer_asks_by_the_token_alone(gateway: httpx.Client) -> None:
    answered = ask(gateway, token())
    assert answered.status_code == httpx.codes.OK
    assert "event: done" in answered.text


def test_a_refusal_says_its_reason_in_both_languages(gateway: httpx.Client) -> None:
    refused = ask(gateway, token(sub="1234567890"))
    assert refused.status_code == httpx.codes.UNAUTHORIZED
    error = refused.json()["error"]
    assert (error["code"], "sub" in error["message"], "sub" in error["message_ko"]) == (
        "identity_not_hashed",
        True,
        True,
    )
    assert "1234567890" not in refused.text


def test_another_person_cannot_speak_of_the_answer(gateway: httpx.Client) -> None:
    turn_id = json.loads(ask(gateway, token()).text.split("data: ", 1)[1].split("\n", 1)[0])["turn_id"]
    for other in ({"sub": hashlib.sha256(b"customer 2").hexdigest()}, {"kind": "guest"}):
        stopped = gateway.post(f"/v1/chat/{turn_id}/stop", headers={"Authorization": f"Bearer {token(**other)}"})
        assert stopped.json()["error"]["code"] == "turn_not_found"


def test_the_banks_token_is_not_exchanged_for_a_longer_one(gateway: httpx.Client) -> None:
    opened = gateway.post("/v1/session", json={}, headers={"Authorization": f"Bearer {token()}"})
    assert opened.json()["error"]["code"] == "not_permitted"


def test_where_guests_have_to_be_vouched_for_nobody_else_gets_a_session(gateway: httpx.Client) -> None:
    assert gateway.post("/v1/session", json={}).json()["error"]["code"] == "identity_required"


@pytest.mark.parametrize(
    ("origin", "admitted"),
    [
        (ORIGIN, True),
        ("https://m.bank.example", True),
        ("https://www.bank.example.evil.example", False),
        ("null", False),
    ],
)
def test_pages_of_the_banks_origins_may_call_and_no_others(gateway: httpx.Client, origin: str, admitted: bool) -> None:
    wanted = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    asked = {"Access-Control-Request-Headers": "authorization,content-type,last-event-id"}
    preflight = gateway.options("/v1/chat", headers={**wanted, **asked})
    assert preflight.headers.get("Access-Control-Allow-Origin") == (origin if admitted else None)
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    assert (preflight.status_code == httpx.codes.OK) is admitted
