"""The privacy officer's commands against a running service: what they print, and what never appears in them."""

import asyncio
import csv
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from click.testing import Result
from sqlalchemy import select, update
from sqlalchemy.orm import Session
from typer.testing import CliRunner

from haechi.cli import build_app
from haechi.key_rotation import rotate
from haechi.secrets import ensure_secrets
from llm_service.client import ConversationKey
from llm_service.masking.vault_keys import new_vault_key, parse_vault_keys, write_vault_keys
from llm_service.settings import Settings
from llm_service.store.migrate import upgrade
from llm_service.store.models import AuditEvent, Turn, VaultEntry
from llm_service.store.session import open_database

OWNER = "guest-1234567890"
PHONE = "010-1234-5678"
KEY = ConversationKey(channel="web", thread="thread-1", user=OWNER, audience="customer")
RunService = Callable[..., AbstractAsyncContextManager[Any]]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """The commands are the same on every database; one is enough here."""
    url = f"sqlite:///{tmp_path / 'haechi.db'}"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
async def service(
    make_settings: Callable[..., Settings],
    run_service: RunService,
    analysers: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    secrets = ensure_secrets(tmp_path)
    settings = make_settings()
    (secrets / "haechi_service_token").write_text(settings.service_token.get_secret_value())
    async with run_service(settings, analysers) as running:
        monkeypatch.setenv("HAECHI_HOME", str(tmp_path))
        monkeypatch.setenv("HAECHI_LLM_SERVICE_PORT", str(urlsplit(running.url).port))
        yield running


async def haechi(*arguments: str, typed: str | None = None) -> Result:
    """Runs the command as a process would, beside the loop that serves the service."""
    return await asyncio.to_thread(CliRunner().invoke, build_app(), arguments, typed)


async def say(service: Any, said: str = f"제 번호는 {PHONE}입니다") -> Any:
    return await service.client.create_turn(uuid4().hex, KEY, said)


async def test_a_person_is_looked_up_first_and_erased_on_yes(service: Any) -> None:
    await say(service)
    looked_up = await haechi("erase-person", "--channel", "web", "--dry-run", "--json", typed=f"{OWNER}\n")
    assert looked_up.exit_code == 0, looked_up.output
    counted = json.loads(looked_up.stdout)
    assert (counted["dry_run"], counted["turns"], counted["vault_entries"]) == (True, 1, 1)
    declined = await haechi("erase-person", "--channel", "web", typed=f"{OWNER}\nn\n")
    assert declined.exit_code == 1
    with Session(service.database) as session:
        assert len(session.scalars(select(Turn)).all()) == 1
    erased = await haechi("erase-person", "--channel", "web", typed=f"{OWNER}\ny\n")
    assert erased.exit_code == 0
    assert "no data set and no adapter" in erased.stdout
    with Session(service.database) as session:
        assert session.scalars(select(Turn)).all() == []


async def test_a_person_is_erased_by_a_value_from_standard_input(service: Any) -> None:
    await say(service)
    erased = await haechi("erase-person", "--type", "PHONE", "--yes", "--json", typed="01012345678\n")
    assert json.loads(erased.stdout)["conversations"] == 1


@pytest.mark.parametrize("arguments", [[], ["--channel", "web", "--type", "PHONE"]])
async def test_a_person_is_named_in_one_way(arguments: list[str]) -> None:
    assert (await haechi("erase-person", *arguments, typed="x\n")).exit_code == 2


async def test_a_refusal_says_what_to_do_and_quotes_nothing(service: Any) -> None:
    refused = await haechi("erase-person", "--type", "PERSON", "--yes", typed="홍길동\n")
    assert refused.exit_code == 1
    assert "type_not_findable" in refused.stderr
    assert "홍길동" not in refused.output


async def test_who_restored_what_when_is_listed_without_values(service: Any) -> None:
    turn = await say(service)
    await service.client.restore(turn.conversation_id, OWNER, ["<PHONE_1>"])
    listed = await haechi("audit", "list", "--action", "vault.restored", "--json")
    (event,) = json.loads(listed.stdout)
    assert (event["subject_id"], event["details"]["kinds"]) == (turn.conversation_id, {"PHONE": 1})
    shown = await haechi("audit", "list")
    assert "vault.restored" in shown.stdout
    assert not {raw for raw in (PHONE, OWNER) if raw in listed.output + shown.output}


async def test_a_changed_audit_row_is_found_and_an_untouched_chain_is_not(service: Any) -> None:
    turn = await say(service)
    await service.client.restore(turn.conversation_id, OWNER, ["<PHONE_1>"])
    held = await haechi("audit", "verify", "--json")
    end = json.loads(held.stdout)
    assert (held.exit_code, end["fault"]) == (0, None)
    kept = f"{end['last_position']}:{end['last_sha256']}"
    await service.client.restore(turn.conversation_id, OWNER, ["<PHONE_1>"])
    assert (await haechi("audit", "verify", "--expect", kept)).exit_code == 0
    assert (await haechi("audit", "verify", "--expect", kept[:-1] + "x")).exit_code == 2
    other = kept[:-4] + ("0000" if not kept.endswith("0000") else "1111")
    assert (await haechi("audit", "verify", "--expect", other)).exit_code == 1
    with Session(service.database) as session:
        session.execute(update(AuditEvent).where(AuditEvent.position == end["last_position"]).values(actor="nobody"))
        session.commit()
    broken = await haechi("audit", "verify", "--json")
    assert (broken.exit_code, json.loads(broken.stdout)["fault"]) == (1, "edited")


async def test_an_export_carries_the_whole_chain_in_both_forms(service: Any) -> None:
    turn = await say(service)
    for _ in range(3):
        await service.client.restore(turn.conversation_id, OWNER, ["<PHONE_1>"])
    lines = [json.loads(line) for line in (await haechi("audit", "export")).stdout.splitlines()]
    assert [line["position"] for line in lines] == list(range(1, len(lines) + 1))
    assert len({line["sha256"] for line in lines}) == len(lines) >= 3
    table = list(csv.DictReader((await haechi("audit", "export", "--format", "csv")).stdout.splitlines()))
    assert [row["sha256"] for row in table] == [line["sha256"] for line in lines]


async def test_a_purge_says_what_it_deleted(service: Any) -> None:
    purged = await haechi("purge", "--json")
    kinds = ("vault_entries", "turns", "feedback", "conversations", "review_items", "audit_events")
    assert json.loads(purged.stdout) == dict.fromkeys(kinds, 0)


async def test_a_rotation_leaves_one_new_key_and_every_value_under_it(service: Any, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "haechi_vault_keys"
    turn = await say(service)
    before = parse_vault_keys(file.read_text())
    rotated = await haechi("keys", "rotate", "--json")
    assert rotated.exit_code == 0, rotated.output
    assert json.loads(rotated.stdout) == {
        "active": "k2",
        "moved": 1,
        "dropped": ["k1"],
        "left": 0,
        "keys_are_ours": True,
    }
    (after,) = parse_vault_keys(file.read_text())
    assert after.secret != before[0].secret
    assert file.stat().st_mode & 0o077 == 0
    assert await service.client.restore(turn.conversation_id, OWNER, ["<PHONE_1>"]) == {"<PHONE_1>": PHONE}


async def test_an_interrupted_rotation_goes_on_with_the_key_it_had_made(service: Any, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "haechi_vault_keys"
    await say(service)
    (old,) = parse_vault_keys(file.read_text())
    new = new_vault_key([old.id])
    file.write_text(write_vault_keys([new, old]))
    await haechi("keys", "rotate")
    assert parse_vault_keys(file.read_text()) == (new,)


async def test_a_key_that_values_still_need_is_not_dropped(service: Any, tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "haechi_vault_keys"
    await say(service)
    with Session(service.database) as session:
        session.execute(update(VaultEntry).values(ciphertext=b"0" * 32))
        session.commit()
    rotated = await haechi("keys", "rotate", "--json")
    assert rotated.exit_code == 1
    assert json.loads(rotated.stdout)["left"] == 1
    assert [key.id for key in parse_vault_keys(file.read_text())] == ["k2", "k1"]


async def test_keys_that_come_from_outside_are_left_where_they_are(
    service: Any, make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "secrets" / "haechi_vault_keys"
    written = file.read_text()
    monkeypatch.setenv("HAECHI_VAULT_KEYS", "k9:" + "A" * 43 + "=")
    rotation = await rotate(service.client, make_settings())
    assert (rotation.keys_are_ours, rotation.dropped) == (False, ())
    assert file.read_text() == written
