"""The web channel's edge: who may, how often, what is refused with which code, and what is never stored or logged."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bot.gateway.app import create_app
from bot.gateway.client import GatewayClient, GatewayError
from bot.gateway.door import Door
from bot.gateway.health import READINESS_KEPT_SECONDS, Readiness
from bot.gateway.rasa import RasaClient
from bot.gateway.settings import GatewaySettings
from bot.gateway.web import counted_address
from llm_service.client import LlmServiceClient
from tests.bot.gateway.conftest import Caller, new_guest, only
from tests.bot.gateway.stand_ins import PHONE_NUMBER, SERVICE_TOKEN, LlmServiceStandIn, RasaStandIn, served

QUESTION = "정기예금을 중도해지하면 이자는 어떻게 되나요?"


def code_of(response: httpx.Response) -> str:
    error = response.json()["error"]
    assert error["message"]
    assert error["message_ko"]
    return str(error["code"])


@pytest.mark.parametrize(
    ("text", "status", "code"),
    [
        ("", 422, "text_empty"),
        ("가" * 20_000, 413, "text_too_long"),
        ("\x00\x01\x02", 422, "text_unreadable"),
        ("🎉🎉", 422, "text_without_words"),
        ("'; DROP TABLE turns; --", 422, "text_is_statement"),
        ("<script>alert(1)</script>", 422, "text_is_markup"),
        ("/restart", 422, "text_is_command"),
        ('/intent{"a": "b"}', 422, "text_is_command"),
    ],
)
def test_what_is_no_question_is_refused_and_nothing_of_it_is_kept(
    guest: Caller, llm_service: LlmServiceStandIn, rasa: RasaStandIn, text: str, status: int, code: str
) -> None:
    response = guest.post("/v1/chat", guest.chat_body(text))
    assert (response.status_code, code_of(response)) == (status, code)
    assert llm_service.all_turns() == []
    assert rasa.received == []


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b"[" * 60_000, 400, "malformed_body"),
        (b"\xff\xfe", 400, "malformed_body"),
        (b"", 422, "invalid_request"),
        (b"[]", 422, "invalid_request"),
        (b'{"text": "x"}', 422, "invalid_request"),
        (b'{"text": "' + b"a" * 70_000 + b'"}', 413, "body_too_large"),
    ],
)
def test_a_broken_body_is_refused_with_its_code(guest: Caller, content: bytes, status: int, code: str) -> None:
    headers = {"Authorization": f"Bearer {guest.token}", "Content-Type": "application/json"}
    response = guest.http.post("/v1/chat", content=content, headers=headers)
    assert (response.status_code, code_of(response)) == (status, code)


def test_a_body_without_a_declared_length_is_counted_as_it_comes(guest: Caller) -> None:
    def trickle() -> Iterator[bytes]:
        for _ in range(70):
            yield b"a" * 1000

    response = guest.http.post("/v1/chat", content=trickle(), headers={"Authorization": f"Bearer {guest.token}"})
    assert (response.status_code, code_of(response)) == (413, "body_too_large")


def test_a_refused_body_is_not_quoted(guest: Caller) -> None:
    response = guest.post("/v1/chat", {**guest.chat_body(QUESTION), "locale": "비밀", "message_id": "비밀"})
    assert code_of(response) == "invalid_request"
    assert "비밀" not in response.text


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic abc", f"Bearer {SERVICE_TOKEN}x"])
def test_without_a_valid_token_nothing_is_answered(gateway: httpx.Client, authorization: str | None) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    body = {"message_id": str(uuid4()), "conversation": str(uuid4()), "text": QUESTION}
    response = gateway.post("/v1/chat", json=body, headers=headers)
    assert (response.status_code, code_of(response)) == (401, "session_required")


@pytest.mark.parametrize(
    "stated", [{"audience": "staff"}, {"as_of": "2026-01-01"}, {"user": "somebody"}, {"groups": ["credit"]}]
)
def test_a_guest_cannot_state_who_they_are_or_which_day_it_is(
    guest: Caller, llm_service: LlmServiceStandIn, stated: dict[str, str]
) -> None:
    response = guest.post("/v1/chat", guest.chat_body(QUESTION, **stated))
    assert (response.status_code, code_of(response)) == (403, "not_permitted")
    assert llm_service.all_turns() == []


def test_a_service_may_state_audience_user_and_day(service: Caller, llm_service: LlmServiceStandIn) -> None:
    service.ask(QUESTION, audience="staff", user="teller-7", as_of="2026-01-01")
    (key,) = llm_service.conversation_keys
    assert (key["channel"], key["audience"], key["user"]) == ("api", "staff", "teller-7")
    assert llm_service.as_of == ["2026-01-01"]


def test_the_route_of_a_text_is_told_to_services_only_and_masked_first(
    guest: Caller, service: Caller, rasa: RasaStandIn
) -> None:
    assert guest.post("/v1/route", {"text": "안녕하세요"}).status_code == 403
    assert service.post("/v1/route", {"text": "안녕하세요"}).json() == {
        "intent": "greet",
        "confidence": 0.93,
        "by": "rasa",
    }
    service.post("/v1/route", {"text": f"{PHONE_NUMBER} 로 연락 주세요"})
    assert rasa.received[-1]["text"] == "<KR_PHONE_1> 로 연락 주세요"


def test_feedback_of_the_owner_arrives_once(guest: Caller, llm_service: LlmServiceStandIn) -> None:
    turn_id = only(guest.ask(QUESTION), "turn")[0]["turn_id"]
    body = {
        "turn_id": turn_id,
        "event_id": str(uuid4()),
        "verdict": "down",
        "reason": "wrong",
        "correction": "이자는 줄어듭니다.",
    }
    assert [guest.post("/v1/feedback", body).status_code for _ in range(2)] == [201, 201]
    (kept,) = llm_service.feedback
    assert kept["turn_id"] == llm_service.all_turns()[0].turn_id
    assert (kept["verdict"], kept["reason"], kept["correction"]) == ("down", "wrong", "이자는 줄어듭니다.")


@pytest.mark.parametrize("path", ["/v1/feedback", "/v1/chat/{turn_id}/stop"])
def test_a_turn_of_somebody_else_is_not_found(
    gateway: httpx.Client, guest: Caller, llm_service: LlmServiceStandIn, path: str
) -> None:
    turn_id = only(guest.ask(QUESTION), "turn")[0]["turn_id"]
    body = {"turn_id": turn_id, "event_id": str(uuid4()), "verdict": "up"} if path == "/v1/feedback" else {}
    response = new_guest(gateway).post(path.format(turn_id=turn_id), body)
    assert (response.status_code, code_of(response)) == (404, "turn_not_found")
    assert llm_service.feedback == []


def test_a_made_up_turn_is_not_found(guest: Caller) -> None:
    response = guest.post(f"/v1/chat/{'a' * 32}/stop", {})
    assert (response.status_code, code_of(response)) == (404, "turn_not_found")


def test_stop_reaches_the_running_answer(guest: Caller, llm_service: LlmServiceStandIn) -> None:
    llm_service.pace_seconds = 0.002
    stopped: Any = None
    last = ""
    headers = {"Authorization": f"Bearer {guest.token}"}
    body = guest.chat_body("길게 설명해 주세요")
    with guest.http.stream("POST", "/v1/chat", json=body, headers=headers) as response:
        for line in response.iter_lines():
            if line.startswith("data:") and "turn_id" in line and stopped is None:
                turn_id = line.split('"turn_id": "')[1].split('"')[0]
                stopped = guest.post(f"/v1/chat/{turn_id}/stop", {})
            if line.startswith("data:"):
                last = line
    assert stopped.json() == {"stopped": True}
    assert '"state": "stopped"' in last


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"questions_per_minute_per_user": 2, "questions_at_once_per_user": 2}, "too_many_questions"),
        ({"questions_per_minute_per_address": 2}, "too_many_questions"),
        ({"questions_per_minute_per_channel": 2}, "channel_busy"),
        ({"questions_per_day_per_user": 2}, "daily_limit_reached"),
    ],
)
def test_too_many_questions_of_a_guest_wait_and_services_do_not(
    gateway_settings: dict[str, Any], settings: dict[str, int], code: str
) -> None:
    with (
        served(create_app(GatewaySettings(**gateway_settings, **settings))) as url,
        httpx.Client(base_url=url, trust_env=False) as http,
    ):
        guest = new_guest(http)
        responses = [guest.post("/v1/chat", guest.chat_body(QUESTION)) for _ in range(5)]
        service = Caller(http, SERVICE_TOKEN)
        assert [service.post("/v1/chat", service.chat_body(QUESTION)).status_code for _ in range(5)] == [200] * 5
    late = [response for response in responses if response.status_code == 429]
    assert late
    assert code_of(late[0]) == code
    wait = int(late[0].headers["Retry-After"])
    assert 0 < wait <= (86_400 if code == "daily_limit_reached" else 60)
    assert "{" not in late[0].text.split('"message"')[1]


def test_a_question_that_is_too_long_is_told_the_limit_that_is_set(gateway_settings: dict[str, Any]) -> None:
    app = create_app(GatewaySettings(**gateway_settings, maximum_question_characters=1234))
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        guest = new_guest(http)
        error = guest.post("/v1/chat", guest.chat_body("가" * 1235)).json()["error"]
    assert error["code"] == "text_too_long"
    assert "1,234" in error["message"]
    assert "1,234" in error["message_ko"]


def test_too_many_sessions_of_one_address_wait(gateway_settings: dict[str, Any]) -> None:
    app = create_app(GatewaySettings(**gateway_settings, sessions_per_minute_per_address=2))
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        responses = [http.post("/v1/session", json={}) for _ in range(5)]
    assert "too_many_sessions" in [code_of(response) for response in responses if response.status_code == 429]


def test_an_unreachable_llm_service_is_told_in_a_sentence(gateway_settings: dict[str, Any]) -> None:
    app = create_app(GatewaySettings(**{**gateway_settings, "llm_service_url": "http://127.0.0.1:9"}))
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        guest = new_guest(http)
        response = guest.post("/v1/chat", guest.chat_body(QUESTION))
        ready = http.get("/health/ready")
    assert (response.status_code, code_of(response)) == (503, "llm_service_unreachable")
    assert (ready.status_code, ready.json()["parts"]["llm_service"]) == (503, "llm_service_unreachable")


def test_without_rasa_the_gateway_is_ready_but_degraded(
    gateway_settings: dict[str, Any], gateway: httpx.Client
) -> None:
    assert gateway.get("/health/ready").json() == {
        "ready": True,
        "degraded": False,
        "parts": {"llm_service": "ready", "rasa": "ready"},
    }
    app = create_app(GatewaySettings(**{**gateway_settings, "rasa_url": ""}))
    with served(app) as url, httpx.Client(base_url=url, trust_env=False) as http:
        ready = http.get("/health/ready")
    assert ready.status_code == 200
    assert (ready.json()["degraded"], ready.json()["parts"]["rasa"]) == (True, "fallback")


async def test_however_often_readiness_is_asked_for_the_services_are_asked_once_a_second() -> None:
    stand_in, now = LlmServiceStandIn(), [100.0]
    llm_service = LlmServiceClient("http://haechi", SERVICE_TOKEN, httpx.ASGITransport(stand_in.app()))
    readiness = Readiness(llm_service, RasaClient("", ""), clock=lambda: now[0])
    states = await asyncio.gather(*(readiness.state() for _ in range(20)))
    assert {state["ready"] for state in states} == {True}
    assert stand_in.readiness_asked == 1
    now[0] += READINESS_KEPT_SECONDS
    await readiness.state()
    assert stand_in.readiness_asked == 2
    await llm_service.close()


def test_what_was_counted_is_told_to_services_only(gateway: httpx.Client, guest: Caller) -> None:
    statuses = [
        gateway.get("/metrics", headers=headers).status_code
        for headers in (
            {},
            {"Authorization": f"Bearer {guest.token}"},
            {"Authorization": f"Bearer {SERVICE_TOKEN}"},
        )
    ]
    assert statuses == [401, 403, 200]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unknown", "unknown", True),
        ("unknown", "192.0.2.1", False),
    ],
)
def test_addresses_that_one_household_can_choose_between_count_as_one(one: str, other: str, same: bool) -> None:
    assert (counted_address(one) == counted_address(other)) is same


def test_the_page_comes_with_strict_headers_and_no_inline_code(gateway: httpx.Client) -> None:
    page = gateway.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    for directive in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for"):
        assert directive in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.text.count("<script") == page.text.count('<script type="module" src=')
    assert "style=" not in page.text


def test_what_the_api_says_is_not_kept_by_anyone_between(guest: Caller, gateway: httpx.Client) -> None:
    response = guest.post("/v1/chat", guest.chat_body(QUESTION))
    assert response.headers["Cache-Control"] == "no-store"
    assert len(response.headers["X-Request-Id"]) == 32


def test_a_random_request_id_of_a_proxy_is_taken_over_and_nothing_else(gateway: httpx.Client) -> None:
    for given, taken in (("0" * 31 + "f", True), (str(uuid4()), True), ("010-1234-5678", False)):
        answered = gateway.get("/health/live", headers={"X-Request-Id": given}).headers["X-Request-Id"]
        assert (answered == given) is taken


def test_nothing_but_the_page_its_assets_and_the_api_is_there(gateway: httpx.Client) -> None:
    for path in ("/docs", "/openapi.json", "/widget/../app.py", "/widget/%2e%2e/app.py", "/v1/nothing"):
        assert (gateway.get(path).status_code, code_of(gateway.get(path))) == (404, "route_not_found")


async def test_the_gateway_client_collects_a_whole_answer(gateway: httpx.Client) -> None:
    client = GatewayClient(str(gateway.base_url), SERVICE_TOKEN)
    answer = await client.ask(QUESTION, audience="staff")
    assert (answer.state, answer.refused, len(answer.sources)) == ("answered", False, 2)
    assert answer.answer.endswith("[2] ") or answer.answer.endswith("[2]")
    assert answer.seen["first_token"] <= answer.seen["total"]
    assert (await client.route("안녕하세요")).intent == "greet"
    assert (await client.ready())["ready"] is True
    with pytest.raises(GatewayError, match="text_empty"):
        await client.ask("")
    await client.close()


async def test_services_opened_in_one_process_speak_the_same_wire() -> None:
    stand_in = LlmServiceStandIn()
    settings = GatewaySettings(service_token=SERVICE_TOKEN, rasa_url="", llm_service_url="http://haechi")
    gateway = create_app(settings, httpx.ASGITransport(stand_in.app()))
    async with gateway.router.lifespan_context(gateway):
        client = GatewayClient("http://haechi", SERVICE_TOKEN, httpx.ASGITransport(gateway))
        answer = await client.ask(QUESTION)
        await client.close()
    assert (answer.state, len(answer.sources)) == ("answered", 2)


async def test_a_body_that_trickles_in_is_given_up() -> None:
    sent: list[Any] = []

    async def never() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    counted: list[str] = []
    door = Door(create_app(GatewaySettings()), 1024, counted.append, body_timeout_seconds=0.01)
    await door({"type": "http", "method": "POST", "path": "/v1/chat", "headers": []}, never, send)
    assert (sent[0]["status"], counted) == (408, ["body_too_slow"])


async def test_the_gateway_client_names_a_gateway_that_is_not_there() -> None:
    client = GatewayClient("http://127.0.0.1:9", SERVICE_TOKEN)
    with pytest.raises(GatewayError, match="gateway_unreachable"):
        await client.ask(QUESTION)
    await client.close()


def test_no_log_line_holds_what_a_person_wrote(
    gateway_settings: dict[str, Any], llm_service: LlmServiceStandIn, tmp_path: Any
) -> None:
    """The real process with its real log, asked well and badly, with Rasa and masking failing on the way."""
    secret = "홍길동의비밀질문"
    port = _free_port()
    environment = {f"HAECHI_{name.upper()}": str(value) for name, value in gateway_settings.items()}
    environment |= {
        "HAECHI_GATEWAY_PORT": str(port),
        "HAECHI_RASA_URL": "http://127.0.0.1:9",
        "HAECHI_HOME": str(tmp_path),
    }
    log = tmp_path / "gateway.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bot.gateway.app"], env=environment, stdout=output, stderr=output
        )
    try:
        transport = httpx.HTTPTransport(retries=40)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=20) as http:
            guest = new_guest(http)
            guest.ask(f"{secret} {PHONE_NUMBER}")
            for text in (f"/{secret}", f"<script>{secret}</script>", f"{secret}\x00", secret * 2000):
                guest.post("/v1/chat", guest.chat_body(text))
            guest.post("/v1/chat", {"text": secret})
            http.post("/v1/chat", content=f'{{"text": "{secret}'.encode())
            http.get(f"/{secret}", params={"q": secret})
            llm_service.masking_down = True
            guest.post("/v1/chat", guest.chat_body(secret))
    finally:
        process.terminate()
        process.wait(20)
    written = log.read_text("utf-8")
    assert '"event": "routed_by_fallback"' in written
    assert secret not in written
    assert secret.encode("unicode_escape").decode() not in written
    assert PHONE_NUMBER not in written


def _free_port() -> int:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
