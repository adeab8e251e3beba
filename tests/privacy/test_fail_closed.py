"""Whatever masking or the vault needs and has not got: the turn is declined with a code and a sentence, nothing stays.

Each row of the table breaks one real part of a running service and leaves the others as they are.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any, ClassVar

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from bot.gateway.texts import TEXTS_FILE as GATEWAY_TEXTS
from bot.gateway.texts import error_body
from llm_service.client import CONVERSATION_HEADER
from llm_service.errors import MaskingUnavailable
from llm_service.masked import RawText
from llm_service.masking import language
from llm_service.masking.korean.recogniser import Finding, KoreanRecogniser
from llm_service.masking.language import KoreanLanguageEngine, Reading
from llm_service.masking.masker import Masker, build_masker
from llm_service.store.models import Base
from llm_service.wiring import Analysers
from tests.conftest import SERVICE_TOKEN, MakeSettings, RunningService

pytestmark = pytest.mark.privacy

TYPED = "제 번호는 010-7193-4826이고 주민번호는 900101-1234567입니다"
SLOW_SECONDS = 0.5

Run = Callable[..., AbstractAsyncContextManager[RunningService]]


class _Broken(KoreanRecogniser):
    """A recogniser that works until it is broken, and whose error then quotes the text."""

    TYPES: ClassVar = ("PHONE",)
    failure: type[Exception] | None = None
    seconds = 0.0

    def find(self, reading: Reading) -> Iterator[Finding]:
        time.sleep(self.seconds)
        if self.failure is not None:
            raise self.failure(f"cannot match {reading.original}")
        yield from ()


def _masker_with(broken: _Broken) -> Masker:
    """The real masker with one recogniser more."""
    masker = build_masker()
    masker._analyzer.registry.add_recognizer(broken)
    return masker


FAULTS: dict[str, dict[str, Any]] = {
    "a recogniser fails": {"failure": ValueError},
    "an expression takes too long": {"failure": TimeoutError},
    "memory runs out in a rule": {"failure": MemoryError},
    "masking takes too long": {"seconds": SLOW_SECONDS},
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_masker_that_fails_declines_everything_that_people_write(
    fault: str, run_service: Run, make_settings: MakeSettings, analysers: Analysers
) -> None:
    broken = _Broken()
    settings = make_settings(masking_timeout_seconds=SLOW_SECONDS / 5)
    async with run_service(settings, replace(analysers, masker=_masker_with(broken))) as service:
        before = _stored(service)
        for name, value in FAULTS[fault].items():
            setattr(broken, name, value)
        for method, path, body in _writings():
            await _require_declined(service, "masking_unavailable", method, path, body)
        _require_nothing_left(service, before)
        broken.failure, broken.seconds = None, 0.0


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_document_is_not_taken_in_unmasked(
    run_service: Run, make_settings: MakeSettings, analysers: Analysers
) -> None:
    broken = _Broken()
    async with run_service(make_settings(), replace(analysers, masker=_masker_with(broken))) as service:
        before = _stored(service)
        broken.failure = ValueError
        form, file = {"path": "안내.md", "audience": "customer"}, {"file": ("upload", f"# 안내\n\n{TYPED}".encode())}
        headers = {"Authorization": f"Bearer {SERVICE_TOKEN}"}
        async with httpx.AsyncClient(base_url=service.url) as http:
            reply = await http.post("/v1/documents", data=form, files=file, headers=headers)
        _require_spoken(reply, "masking_unavailable")
        _require_nothing_left(service, before)


VAULT_FAULTS: dict[str, str] = {
    "the vault's key is missing": "",
    "the vault's table is missing": "DROP TABLE vault_entries",
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("fault", VAULT_FAULTS)
async def test_a_vault_that_cannot_keep_values_declines_the_turn(
    fault: str, run_service: Run, make_settings: MakeSettings, analysers: Analysers
) -> None:
    settings = make_settings(**({} if VAULT_FAULTS[fault] else {"vault_keys": ""}))
    async with run_service(settings, analysers) as service:
        if VAULT_FAULTS[fault]:
            with sqlite3.connect(settings.home / "haechi.db") as records:
                records.execute(VAULT_FAULTS[fault])
            records.close()
        method, path, body = _writings()[0]
        await _require_declined(service, "vault_unavailable", method, path, body)
        assert not _rows(service, "turns")
        assert not _rows(service, "conversations")
        _require_no_text(service)


def test_without_kiwi_masking_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> None:
        raise OSError("the model of kiwi is not there")

    monkeypatch.setattr(language, "Kiwi", missing)
    with pytest.raises(MaskingUnavailable) as declined:
        build_masker().warm_up()
    assert declined.value.code == "masking_unavailable"
    with pytest.raises(MaskingUnavailable):
        build_masker().mask(RawText(TYPED))


def test_kiwi_that_breaks_later_declines_the_text_without_quoting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = build_masker()
    masker.warm_up()

    def broken(_: KoreanLanguageEngine, text: str, __: str) -> None:
        raise RuntimeError(f"cannot read {text}")

    monkeypatch.setattr(KoreanLanguageEngine, "process_text", broken)
    for mask in (masker.mask, masker.detect, masker.detect_in_reply, masker.mask_document):
        with pytest.raises(MaskingUnavailable) as declined:
            mask(RawText(TYPED))
        assert "4826" not in str(declined.value)
        assert declined.value.__cause__ is None
        assert declined.value.__suppress_context__


@pytest.mark.parametrize("code", ["masking_unavailable", "vault_unavailable"])
def test_the_gateway_says_it_in_its_own_words_in_both_languages(code: str) -> None:
    body = error_body(code)
    assert body["code"] == code
    assert "저장" in body["message_ko"]
    assert "declined" in body["message"]
    assert code in GATEWAY_TEXTS.read_text(encoding="utf-8")


def _writings() -> list[tuple[str, str, dict[str, Any]]]:
    """Every route by which text of a person comes in."""
    conversation = {"channel": "web", "thread": "t", "user": "u", "audience": "customer"}
    turn, route = "0" * 32, {"intent": "card_lost", "confidence": 0.9, "by": "rasa"}
    return [
        ("POST", "/v1/turns", {"event_id": "e", "conversation": conversation, "text": TYPED}),
        ("POST", f"/v1/turns/{turn}/reply", {"route": route, "text": TYPED}),
        ("POST", "/v1/feedback", {"turn_id": turn, "event_id": "e", "verdict": "down", "correction": TYPED}),
        ("POST", "/v1/search", {"question": TYPED, "audience": "customer"}),
        ("POST", "/v1/mask", {"text": TYPED}),
    ]


async def _require_declined(service: RunningService, code: str, method: str, path: str, body: dict[str, Any]) -> None:
    headers = {"Authorization": f"Bearer {SERVICE_TOKEN}", CONVERSATION_HEADER: "0" * 32}
    async with httpx.AsyncClient(base_url=service.url) as http:
        reply = await http.request(method, path, json=body, headers=headers)
    _require_spoken(reply, code)


def _require_spoken(reply: httpx.Response, code: str) -> None:
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (503, code)
    assert "declined" in error["message"]
    assert "저장하지 않았습니다" in error["message_ko"]
    assert "7193" not in reply.text


def _require_nothing_left(service: RunningService, before: dict[str, int]) -> None:
    assert _stored(service) == before
    _require_no_text(service)


def _require_no_text(service: RunningService) -> None:
    assert "unavailable" in service.logs.getvalue()
    for digits in ("7193", "900101"):
        assert digits not in service.logs.getvalue()


def _stored(service: RunningService) -> dict[str, int]:
    return {table.name: len(_rows(service, table.name)) for table in Base.metadata.sorted_tables}


def _rows(service: RunningService, table: str) -> list[Any]:
    with Session(service.database) as session:
        return list(session.execute(select(Base.metadata.tables[table])).all())
