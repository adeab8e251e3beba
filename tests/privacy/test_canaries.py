"""The whole platform is driven through every door with invented personal data, stopped, and searched: nothing is left.

What stays is masked text. The vault's values are encrypted, so its rows and pages are searched like everything else.
"""

import json
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from haechi.supervisor import PROJECT
from llm_service.client import LlmServiceClient
from tests.privacy.canaries import make_canaries
from tests.privacy.doors import Doors
from tests.privacy.redis_places import redis_places
from tests.privacy.search import ENCODINGS, Place, Search, files_below
from tests.privacy.stack import Stack, running_stack

pytestmark = [pytest.mark.privacy, pytest.mark.rasa]

SOME, FEW = 12, 4
EMPTY_BYTES = 1000
LOG_FOLDERS = ("logs", "output", "slowlog")
SAMPLES = ("public/예금_든든정기예금.md", "public/수수료표.md")


@pytest.mark.timeout(1200)
async def test_nothing_of_a_person_is_left_anywhere(
    tmp_path: Path, record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    search = Search(make_canaries(secrets.token_hex(16)))
    async with running_stack(tmp_path / "platform") as stack:
        await _ingest_samples(stack)
        assert search.leaks(_places(stack)) == [], "the canaries are not new to this directory"
        doors = Doors(stack, search.canaries)
        before_stop = await _drive(doors, stack)
        driven = time.monotonic() - began
        stack.end_everything()
        search.places = search.searched_bytes = 0
        leaks = search.leaks([*before_stop, *doors.refusals, *files_below(stack.directory, "files", LOG_FOLDERS)])
    figures = {
        "doors": len(doors.doors),
        "requests": sum(doors.tried.values()),
        "values": len(search.canaries),
        "encodings": len(ENCODINGS) + 1,
        "needles": search.needles,
        "places": search.places,
        "bytes": search.searched_bytes,
        "leaks": len(leaks),
        "driving_seconds": round(driven),
        "seconds": round(time.monotonic() - began),
    }
    for name, figure in figures.items():
        record_property(name, figure)
    with capsys.disabled():
        print(f"\ncanaries: {json.dumps(figures)}")
    assert Counter((leak.type, leak.place.split(" ")[0], leak.encoding) for leak in leaks) == Counter()
    _require_that_doors_were_open(doors)
    assert _answers_were_stored(stack), "nothing was stored, so the search proves nothing"


def _require_that_doors_were_open(doors: Doors) -> None:
    """A door that refuses everything shows nothing: those for people must have let their texts in."""
    for accepted in (
        "chat 200",
        "resume 200",
        "feedback 201",
        "deterministic flow 200",
        "loan form 200",
        "session 200",
        "hand-off 201",
        "to the agent 200",
        "message to the agent 202",
        "words of the agent 200",
        "rating 200",
    ):
        assert doors.tried[f"gateway: {accepted}"], accepted
    for declined in ("typed command or markup 422", "over-long text 413", "malformed JSON 400", "unknown turn 404"):
        assert doors.tried[f"gateway: {declined}"], declined
    assert doors.tried["gateway: without llm_service 503"]
    assert doors.tried["gateway: without the vault's key 503"]
    assert doors.tried["gateway: without Rasa 200"]
    assert doors.tried["document 200"]


async def _drive(doors: Doors, stack: Stack) -> list[Place]:
    """Everything, then everything again while parts are missing; returns what only a living platform shows."""
    await doors.talk("ko")
    await doors.talk("en")
    await doors.follow_flows()
    await doors.talk_to_a_person()
    await doors.type_oddities()
    await doors.send_nonsense_to_the_gateway()
    await doors.send_nonsense_to_llm_service()
    await doors.send_nonsense_behind_the_gateway()
    await doors.hand_in_documents()
    doors.run_commands()
    await doors.learn()
    assert _is_learnt(stack), "no dataset was frozen, so the search proves nothing about one"
    outside = [path for path in stack.open_files() if stack.directory not in path.parents]
    assert outside == [], "a process writes where the search does not look"
    assert set(stack.core_limits().values()) == {"0"}
    kept = [*redis_places(stack.redis_url), *stack.environments()]
    assert any(place.name.startswith("redis 1") for place in kept), "Rasa kept no conversation in Redis"
    await _without_the_key(doors, stack)
    await _without_rasa(doors, stack)
    await _killed_while_answering(doors, stack)
    kept += [*redis_places(stack.redis_url), *files_below(stack.home / "redis", "redis")]
    assert any(place.name.endswith(".aof") and len(place.content) > EMPTY_BYTES for place in kept)
    return [*kept, *await _without_redis(doors, stack)]


async def _without_the_key(doors: Doors, stack: Stack) -> None:
    keys = stack.home / "secrets" / "haechi_vault_keys"
    written = keys.read_text(encoding="ascii")
    keys.write_text("", encoding="ascii")
    await doors.llm_service("rotate", "POST", "/v1/vault/rotate", {})
    for canary in doors.canaries[:SOME]:
        await doors.ask(canary.text, door="without the vault's key")
    keys.write_text(written, encoding="ascii")
    await doors.llm_service("rotate", "POST", "/v1/vault/rotate", {})


async def _without_rasa(doors: Doors, stack: Stack) -> None:
    stack.end("rasa", signal.SIGKILL)
    for canary in doors.canaries[:SOME]:
        await doors.ask(canary.text, door="without Rasa")
    stack.start("rasa")
    await stack.until_ready()


async def _killed_while_answering(doors: Doors, stack: Stack) -> None:
    async with doors.broken_off(doors.canaries[0].text) as (answered, body):
        stack.end("llm_service", signal.SIGKILL)
        try:
            await answered.aread()
        except httpx.HTTPError:
            doors.tried["gateway: broken off, cut"] += 1
    for canary in doors.canaries[:SOME]:
        await doors.ask(canary.text, door="without llm_service")
    stack.start("llm_service")
    await stack.until_ready()
    await doors.gateway("resumed after a kill", "POST", "/v1/chat", body, {"Last-Event-ID": "0"})


async def _without_redis(doors: Doors, stack: Stack) -> list[Place]:
    stack.end("redis", signal.SIGKILL)
    for canary in doors.canaries[:FEW]:
        await doors.ask(canary.text, door="without Redis")
    stack.start_redis()
    await stack.until_ready()
    return list(redis_places(stack.redis_url))


async def _ingest_samples(stack: Stack) -> None:
    client = LlmServiceClient(stack.settings.llm_service_url, stack.token)
    try:
        for path in SAMPLES:
            report = await client.upload_document(
                path, (PROJECT / "samples" / path).read_bytes(), ["customer", "staff"]
            )
            assert report.state == "ready", report
    finally:
        await client.close()


def _places(stack: Stack) -> Iterator[Place]:
    yield from files_below(stack.directory, "files", LOG_FOLDERS)
    yield from redis_places(stack.redis_url)


def _is_learnt(stack: Stack) -> bool:
    return any("<PHONE_1>" in rows.read_text(encoding="utf-8") for rows in stack.home.rglob("datasets/*/train.jsonl"))


def _answers_were_stored(stack: Stack) -> bool:
    return any(b"<PHONE_1>" in place.content for place in files_below(stack.home, "home"))
