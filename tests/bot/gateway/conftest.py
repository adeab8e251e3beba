"""A running gateway between a stand-in llm_service and a stand-in Rasa, and a guest who talks to it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bot.gateway.app import create_app
from bot.gateway.settings import GatewaySettings
from tests.bot.gateway.stand_ins import RASA_TOKEN, SERVICE_TOKEN, LlmServiceStandIn, RasaStandIn, Swap, served


@dataclass
class Caller:
    """Someone with a token: asks and collects the events of the answer."""

    http: httpx.Client
    token: str

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers={"Authorization": f"Bearer {self.token}", **headers})

    def chat_body(self, text: str, **more: Any) -> dict[str, Any]:
        return {"message_id": str(uuid4()), "conversation": str(uuid4()), "text": text, **more}

    def ask(self, text: str, **more: Any) -> list[tuple[int, str, dict[str, Any]]]:
        response = self.post("/v1/chat", self.chat_body(text, **more))
        assert response.status_code == 200, response.text
        return events_of(response)


def events_of(response: httpx.Response) -> list[tuple[int, str, dict[str, Any]]]:
    events = []
    for block in response.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        events.append((int(fields["id"]), fields["event"], json.loads(fields["data"])))
    return events


def only(events: list[tuple[int, str, dict[str, Any]]], name: str) -> list[dict[str, Any]]:
    return [data for _, event, data in events if event == name]


def words(events: list[tuple[int, str, dict[str, Any]]]) -> str:
    return "".join(data["text"] for data in only(events, "token"))


@dataclass
class Behind:
    """What stands behind the module's gateway: two servers whose insides every test gets anew."""

    llm_service: Swap
    rasa: Swap
    settings: dict[str, Any]


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    llm_service, rasa = Swap(), Swap()
    with served(llm_service) as llm_service_url, served(rasa) as rasa_url:
        settings = {
            "llm_service_url": llm_service_url,
            "rasa_url": rasa_url,
            "rasa_token": RASA_TOKEN,
            "service_token": SERVICE_TOKEN,
            "session_secret": "a secret that signs the sessions of the tests",
        }
        yield Behind(llm_service, rasa, settings)


@pytest.fixture
def llm_service(behind: Behind) -> LlmServiceStandIn:
    stand_in = LlmServiceStandIn()
    behind.llm_service.inside = stand_in.app()
    return stand_in


@pytest.fixture
def rasa(behind: Behind) -> RasaStandIn:
    stand_in = RasaStandIn()
    behind.rasa.inside = stand_in.app()
    return stand_in


@pytest.fixture
def gateway_settings(behind: Behind, llm_service: LlmServiceStandIn, rasa: RasaStandIn) -> dict[str, Any]:
    """Settings of a gateway before this test's stand-ins."""
    return behind.settings


@pytest.fixture(scope="module")
def shared_gateway(behind: Behind) -> Iterator[httpx.Client]:
    unlimited = {"questions_per_minute_per_address": 10**6, "sessions_per_minute_per_address": 10**6}
    with (
        served(create_app(GatewaySettings(**behind.settings, **unlimited))) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=20) as http,
    ):
        yield http


@pytest.fixture
def gateway(shared_gateway: httpx.Client, llm_service: LlmServiceStandIn, rasa: RasaStandIn) -> httpx.Client:
    return shared_gateway


@pytest.fixture
def guest(gateway: httpx.Client) -> Caller:
    return new_guest(gateway)


@pytest.fixture
def service(gateway: httpx.Client) -> Caller:
    return Caller(gateway, SERVICE_TOKEN)


def new_guest(gateway: httpx.Client) -> Caller:
    return Caller(gateway, gateway.post("/v1/session", json={"locale": "ko"}).json()["token"])
