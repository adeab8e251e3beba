"""`haechi changes` and `haechi retest` against a running service, as a person reads them and as a program does."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import Result
from typer.testing import CliRunner

from haechi.cli import build_app
from haechi.secrets import ensure_secrets
from llm_service.settings import Settings
from llm_service.store.migrate import upgrade
from llm_service.store.session import open_database

RULES = """# 여신 규정

## 제1조(한도)
한도는 {}으로 한다.

## 제2조(이율)
이율은 정한다.

## 제3조(서류)
서류를 받는다.
"""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The commands are the same on every database; one is enough here."""
    url = f"sqlite:///{tmp_path / 'haechi.db'}"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
async def newest(
    make_settings: Callable[..., Settings],
    run_service: Callable[..., AbstractAsyncContextManager[Any]],
    analysers: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[str]:
    """The number of a rule's second edition, in a service that the commands find."""
    settings = make_settings()
    (ensure_secrets(tmp_path) / "haechi_service_token").write_text(settings.service_token.get_secret_value())
    async with run_service(settings, analysers) as running:
        monkeypatch.setenv("HAECHI_HOME", str(tmp_path))
        monkeypatch.setenv("HAECHI_LLM_SERVICE_PORT", str(urlsplit(running.url).port))
        for limit, since in (("1억원", date(2024, 1, 1)), ("2억원", date(2026, 6, 1))):
            report = await running.client.upload_document(
                "여신.md", RULES.format(limit).encode(), ["staff"], in_force_from=since
            )
        yield str(report.document_id)


async def haechi(*arguments: str) -> Result:
    """Runs the command as a process would, beside the loop that serves the service."""
    return await asyncio.to_thread(CliRunner().invoke, build_app(), arguments)


async def test_what_an_edition_changed_is_shown_word_by_word(newest: str) -> None:
    shown = await haechi("changes", newest)
    assert shown.exit_code == 0, shown.output
    assert "2024-01-01 → 2026-06-01" in shown.stdout
    assert "제1조" in shown.stdout
    assert "[-1억원으로-] {+2억원으로+}" in shown.stdout
    assert "제2조" not in shown.stdout


async def test_programs_read_one_object(newest: str) -> None:
    found = json.loads((await haechi("changes", newest, "--json")).stdout)
    assert [(clause["place"], clause["kind"]) for clause in found["clauses"]] == [("제1조", "changed")]
    report = json.loads((await haechi("retest", newest, "--json")).stdout)
    assert (report["as_of"], report["answers"]) == ("2026-06-01", [])


async def test_a_document_that_is_not_there_is_named_as_such(newest: str) -> None:
    missing = await haechi("retest", "4711")
    assert missing.exit_code == 1
    assert "document_not_found" in missing.stderr
