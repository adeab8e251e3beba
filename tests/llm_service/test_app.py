"""The service as a process of its own: it starts on a fresh directory, answers, writes no text anywhere, and stops."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from haechi.secrets import ensure_secrets, read_secret
from llm_service.client import CONVERSATION_HEADER, ConversationKey, LlmServiceClient, Route, ServiceError

CUSTOMER = ConversationKey("web", "thread-of-kanarienvogel-7193", "user-of-kanarienvogel-7193", "customer")
ROUTE = Route("ask_knowledge", 0.9, "rasa")
# A telephone number, an e-mail address and a word that no rule masks: the first two must be nowhere but encrypted, the
# last nowhere but in the masked question.
PHONE, MAIL, WORD = "010-7193-4826", "kanarienvogel7193@example.com", "kanarienvogel7193"
DEPOSIT = "# 든든정기예금\n\n## 중도해지\n중도해지이율은 연 0.50%입니다.\n".encode()
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass
class Process:
    """A running service and everything it has written."""

    client: LlmServiceClient
    url: str
    token: str
    handle: asyncio.subprocess.Process
    output: Path


async def test_a_process_answers_writes_no_text_and_stops_on_request(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with running(home, tmp_path / "output") as process:
        client = process.client
        await client.upload_document("예금/든든정기예금.md", DEPOSIT, ["customer"])
        question = f"{PHONE} {MAIL} 든든정기예금 중도해지이율은 얼마인가요?"
        accepted = await client.create_turn("event-1", CUSTOMER, question)
        await client.start_answer(accepted.turn_id, accepted.conversation_id, ROUTE)
        told = [event async for event in client.events(accepted.turn_id, accepted.conversation_id)]
        assert told[-1].event == "done"
        await client.give_feedback(accepted.turn_id, accepted.conversation_id, "e", "down", "wrong", f"{PHONE} 아님")
        await provoke_errors(process)
        process.handle.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.handle.wait(), STOP_SECONDS)
    written = process.output.read_bytes()
    assert process.handle.returncode in (0, -signal.SIGTERM)
    assert all(json.loads(line)["service"] == "llm_service" for line in written.decode().splitlines())
    assert b"request declined" in written
    assert found_in(home, "<PHONE_1>"), "the search below would find nothing either"
    for value in (PHONE, PHONE.replace("-", ""), MAIL, WORD, "kanarienvogel"):
        assert value.encode() not in written
        assert not found_in(home, value)


def found_in(directory: Path, value: str) -> list[Path]:
    return [file for file in directory.rglob("*") if file.is_file() and value.encode() in file.read_bytes()]


async def provoke_errors(process: Process) -> None:
    """Every way of being refused, each with something that must not be repeated."""
    for typed in (f"/restart {WORD}", f"{WORD}\x00", f"{WORD} " * 1000):
        with pytest.raises(ServiceError):
            await process.client.create_turn("event-2", CUSTOMER, typed)
    headers = {"Authorization": f"Bearer {process.token}", CONVERSATION_HEADER: WORD}
    async with httpx.AsyncClient(base_url=process.url, headers=headers) as http:
        replies = [
            await http.post("/v1/turns", content=b'{"text": "' + WORD.encode()),
            await http.post("/v1/turns", json={"text": {WORD: PHONE}, WORD: 1}),
            await http.post("/v1/turns", json={"event_id": WORD, "conversation": {"audience": MAIL}, "text": MAIL}),
            await http.get(f"/v1/turns/{WORD}"),
            await http.get(f"/v1/{WORD}?phone={PHONE}"),
            await http.get(f"/v1/turns/{WORD}/events", headers={"Last-Event-ID": WORD}),
            await http.put(f"/v1/turns/{WORD}"),
            await http.post("/v1/documents", data={"path": f"../{WORD}"}, files={"file": (WORD, b"x")}),
            await http.post("/v1/documents", data={"path": WORD, "audience": MAIL}, files={"file": (WORD, b"x")}),
            await http.delete(f"/v1/documents/{WORD}"),
            await http.get("/v1/documents", headers={"Authorization": f"Bearer {WORD}"}),
        ]
    assert {reply.status_code for reply in replies} <= {400, 401, 404, 405, 422}
    assert not [reply for reply in replies if WORD in reply.text or PHONE in reply.text or MAIL in reply.text]


async def test_a_process_that_finds_an_answer_left_behind_ends_it(tmp_path: Path) -> None:
    home, output = tmp_path / "home", tmp_path / "output"
    async with running(home, output) as process:
        accepted = await process.client.create_turn("event-1", CUSTOMER, "한도가 얼마인가요?")
    # What a process that was killed while answering leaves in the records.
    records = sqlite3.connect(home / "haechi.db")
    with records:
        records.execute("UPDATE turns SET state = 'answering', answering_since = '2026-11-21 00:00:00.000000'")
    records.close()
    async with running(home, output) as process:
        told = [event async for event in process.client.events(accepted.turn_id, accepted.conversation_id)]
    assert [(event.event, event.data["code"]) for event in told] == [("error", "answer_interrupted")]


async def test_a_process_without_a_service_token_refuses_to_start(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HAECHI_HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "llm_service.app"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, written = await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode != 0
    assert b"service_token_missing" in written


@asynccontextmanager
async def running(home: Path, output: Path) -> AsyncIterator[Process]:
    """`python -m llm_service.app` on a migrated data directory, until the block ends or it has ended itself."""
    ensure_secrets(home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"PATH": os.environ["PATH"], "HAECHI_HOME": str(home), "HAECHI_LLM_SERVICE_PORT": str(port)}
    migrating = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "llm_service.store.migrate", env=environment, cwd=Path(__file__).parents[2]
    )
    assert await migrating.wait() == 0
    with output.open("ab") as written:
        handle = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "llm_service.app"),
            env=environment,
            cwd=Path(__file__).parents[2],
            stdout=written,
            stderr=asyncio.subprocess.STDOUT,
        )
    token = read_secret(home, "haechi_service_token")
    url = f"http://127.0.0.1:{port}"
    client = LlmServiceClient(url, token)
    try:
        await asyncio.wait_for(until_ready(client, handle), START_SECONDS)
        yield Process(client, url, token, handle, output)
    finally:
        await client.close()
        if handle.returncode is None:
            handle.kill()
            await handle.wait()


async def until_ready(client: LlmServiceClient, handle: asyncio.subprocess.Process) -> None:
    while handle.returncode is None:
        try:
            if (await client.ready())["ready"]:
                return
        except ServiceError:
            await asyncio.sleep(0.05)
    raise AssertionError("the service ended before it was ready")
