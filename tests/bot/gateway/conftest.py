"""A running gateway between a stand-in llm_service and a stand-in Rasa, and a guest who talks to it."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bot.gateway.app import create_app
from bot.gateway.settings import GatewaySettings
from tests.bot.gateway.stand_ins import RASA_TOKEN, SERVICE_TOKEN, LlmServiceStandIn, RasaStandIn, served

StartGateway = Callable[..., str]


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


@pytest.fixture
def llm_service() -> LlmServiceStandIn:
    return LlmServiceStandIn()


@pytest.fixture
def rasa() -> RasaStandIn:
    return RasaStandIn()


@pytest.fixture
def llm_service_url(llm_service: LlmServiceStandIn) -> Iterator[str]:
    with served(llm_service.app()) as url:
        yield url


@pytest.fixture
def rasa_url(rasa: RasaStandIn) -> Iterator[str]:
    with served(rasa.app()) as url:
        yield url


@pytest.fixture
def gateway_settings(llm_service_url: str, rasa_url: str) -> dict[str, Any]:
    return {
        "llm_service_url": llm_service_url,
        "rasa_url": rasa_url,
        "rasa_token": RASA_TOKEN,
        "service_token": SERVICE_TOKEN,
        "session_secret": "a secret that signs the sessions of the tests",
    }


@pytest.fixture
def gateway(gateway_settings: dict[str, Any]) -> Iterator[httpx.Client]:
    with (
        served(create_app(GatewaySettings(**gateway_settings))) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=20) as http,
    ):
        yield http


@pytest.fixture
def guest(gateway: httpx.Client) -> Caller:
    return new_guest(gateway)


@pytest.fixture
def service(gateway: httpx.Client) -> Caller:
    return Caller(gateway, SERVICE_TOKEN)


def new_guest(gateway: httpx.Client) -> Caller:
    return Caller(gateway, gateway.post("/v1/session", json={"locale": "ko"}).json()["token"])
