"""The load benchmark, run on stand-ins: it asks what it says it asks, and does not hide a failure."""

import json
import sys
from collections.abc import Iterator

import pytest

from benchmarks import answer_load
from bot.gateway.app import create_app
from bot.gateway.settings import GatewaySettings
from tests.bot.gateway.stand_ins import SERVICE_TOKEN, LlmServiceStandIn, RasaStandIn, served

LLM_SERVICE = LlmServiceStandIn()


@pytest.fixture
def gateway_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("HAECHI_SERVICE_TOKEN", SERVICE_TOKEN)
    with served(LLM_SERVICE.app()) as llm_service_url, served(RasaStandIn().app()) as rasa_url:
        settings = GatewaySettings(llm_service_url=llm_service_url, rasa_url=rasa_url, service_token=SERVICE_TOKEN)
        with served(create_app(settings)) as url:
            yield url


def run(url: str, monkeypatch: pytest.MonkeyPatch) -> int:
    arguments = ["answer_load", "--url", url, "--conversations", "1", "3", "--count", "6", "--json"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as ended:
        answer_load.main()
    return int(str(ended.value.code))


def test_every_level_asks_its_questions_and_has_every_stage(
    gateway_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(gateway_url, monkeypatch) == 0
    levels = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [(level["conversations"], level["states"]) for level in levels] == [
        (1, {"answered": 6}),
        (3, {"answered": 6}),
    ]
    for level in levels:
        assert {"mask", "route", "retrieve", "answer", "first token", "total"} <= level["p50"].keys()
        assert level["p50"]["total"] <= level["p95"]["total"]


def test_failed_questions_are_named_and_end_the_run_with_status_1(
    gateway_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(LLM_SERVICE, "masking_down", True)
    assert run(gateway_url, monkeypatch) == 1
    levels = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [level["failed"] for level in levels] == [{"masking_unavailable": 6}] * 2
