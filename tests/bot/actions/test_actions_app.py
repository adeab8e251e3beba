"""The action server over HTTP, as Rasa calls it."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import yaml

from bot.actions.app import ACTIONS, TokenMissing, create_app, read_token
from tests.bot.rasa.project import RASA

BEARER = {"Authorization": "Bearer let-me-in"}


@pytest.fixture
async def server() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app("let-me-in"))
    async with httpx.AsyncClient(transport=transport, base_url="http://actions") as client:
        yield client


async def call(server: httpx.AsyncClient, action: str, **slots: Any) -> dict[str, Any]:
    body = {"next_action": action, "sender_id": "c1", "tracker": {"slots": slots, "events": []}, "domain": {}}
    response = await server.post("/actions", json=body, headers=BEARER)
    assert response.status_code == 200
    answered: dict[str, Any] = response.json()
    return answered


def slots_of(answered: dict[str, Any]) -> dict[str, Any]:
    return {event["name"]: event["value"] for event in answered["events"] if event["event"] == "slot"}


async def test_what_was_said_becomes_checked_values(server: httpx.AsyncClient) -> None:
    said = {"loan_amount": "3천만원", "loan_term": "오년", "loan_rate": "사 점 오 퍼센트"}
    answered = await call(server, "validate_loan_form", **said)
    assert slots_of(answered) == {"loan_amount": 30_000_000, "loan_term": 60, "loan_rate": "4.5%"}
    assert answered["responses"] == []


async def test_checked_values_get_no_event_so_that_asides_are_answered(server: httpx.AsyncClient) -> None:
    assert (await call(server, "validate_loan_form", loan_amount=30_000_000, loan_term=60))["events"] == []


@pytest.mark.parametrize(
    ("slot", "given"),
    [
        ("loan_amount", "바나나"),
        ("loan_amount", "5만원"),
        ("loan_amount", "2000억원"),
        ("loan_term", "5"),
        ("loan_term", "60년"),
        ("loan_term", "0개월"),
        ("loan_rate", "100%"),
        ("loan_rate", "-4%"),
        ("loan_rate", "20.1%"),
    ],
)
async def test_nonsense_is_emptied_and_said_so(server: httpx.AsyncClient, slot: str, given: str) -> None:
    answered = await call(server, "validate_loan_form", **{slot: given})
    assert slots_of(answered) == {slot: None}
    assert answered["responses"] == [{"response": f"utter_{slot}_invalid"}]


async def test_the_result_quotes_the_repayment_and_forgets_the_values(server: httpx.AsyncClient) -> None:
    answered = await call(server, "action_loan_result", loan_amount=200_000_000, loan_term=360, loan_rate="4.2%")
    assert slots_of(answered) == {"loan_amount": None, "loan_term": None, "loan_rate": None}
    assert answered["responses"] == [
        {
            "response": "utter_loan_result",
            "amount": "200,000,000",
            "months": "360",
            "rate": "4.2",
            "payment": "978,034",
            "last_payment": "977,936",
            "interest": "152,092,142",
            "total": "352,092,142",
        }
    ]


async def test_a_result_without_values_stops_instead_of_guessing(server: httpx.AsyncClient) -> None:
    assert (await call(server, "action_loan_result"))["responses"] == [{"response": "utter_loan_stopped"}]


async def test_reset_forgets_every_value(server: httpx.AsyncClient) -> None:
    assert set(slots_of(await call(server, "action_loan_reset", loan_amount=1)).values()) == {None}


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "let-me-in"}])
async def test_a_caller_without_the_token_is_refused(server: httpx.AsyncClient, header: dict[str, str]) -> None:
    response = await server.post("/actions", json={}, headers=header)
    assert response.status_code == 401


async def test_an_unknown_action_is_not_found(server: httpx.AsyncClient) -> None:
    response = await server.post("/actions", json={"next_action": "rm", "tracker": {}}, headers=BEARER)
    assert (response.status_code, response.json()) == (404, {"detail": {"code": "unknown_action"}})


async def test_a_malformed_call_is_refused_without_an_echo(server: httpx.AsyncClient) -> None:
    response = await server.post("/actions", json={"next_action": 5, "tracker": "홍길동의 비밀"}, headers=BEARER)
    assert (response.status_code, response.json()) == (422, {"code": "malformed_call"})


def test_every_action_of_the_domain_is_served_and_no_other() -> None:
    domain = yaml.safe_load((RASA / "domain.yml").read_text(encoding="utf-8"))
    assert set(domain["actions"]) == set(ACTIONS)


def test_the_server_does_not_start_without_a_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("HAECHI_SERVICE_TOKEN", raising=False)
    monkeypatch.setenv("HAECHI_HOME", str(tmp_path))
    with pytest.raises(TokenMissing):
        read_token()


async def test_it_is_alive(server: httpx.AsyncClient) -> None:
    assert (await server.get("/health/live")).json() == {"status": "ok"}


def test_the_token_comes_from_the_named_secrets_directory(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "haechi_service_token").write_text("of-the-mount\n", encoding="ascii")
    monkeypatch.delenv("HAECHI_SERVICE_TOKEN", raising=False)
    monkeypatch.setenv("HAECHI_HOME", str(tmp_path / "no-home"))
    monkeypatch.setenv("HAECHI_SECRETS_DIRECTORY", str(tmp_path))
    assert read_token() == "of-the-mount"
