"""Teams: how soon the door says 200 while the engine takes a minute, and what storms and a real minute come to.

The door is a process of its own behind a real Redis; worker, connector and engine are the test lab's, in this process,
at the speed of life. `make bench-channels` runs it; `python -m benchmarks.teams_channel` does so alone.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import redis
from rich.console import Console
from rich.table import Table

from benchmarks.serving_load import free_ports, process
from bot.teams_door.inbox import STREAM, KeyPair, new_keys
from haechi.redis_server import redis_program
from tests.bot.gateway.stand_ins import RASA_TOKEN, SERVICE_TOKEN, RasaStandIn, served
from tests.bot.teams.bank import TalkingStandIn, in_teams
from tests.bot.teams.microsoft import APP_ID, TENANT, KeyServer, Signer, payload

REQUESTS = 1000
AT_ONCE = 16
ENGINE_SECONDS = 60.0
STORM_ACTIVITIES = 100
STORM_DELIVERIES = 10
LIMIT_MS = 500.0
LEAST_GAP_SECONDS = 1.0
SETTLED_SECONDS = 3.0
KOREAN_SYLLABLES = "가나다라마바사"


@dataclass(frozen=True)
class TeamsResult:
    """What the door and the connector saw. Milliseconds of an answered POST; seconds between requests of a stream."""

    requests: int
    not_200: int
    ack_p50_ms: float
    ack_p99_ms: float
    ack_worst_ms: float
    storm_deliveries: int
    storm_left_in_inbox: int
    storm_answers: int
    minute_pieces: int
    minute_least_gap_seconds: float
    minute_is_whole: bool

    @property
    def passed(self) -> bool:
        return (
            self.not_200 == 0
            and self.ack_p99_ms <= LIMIT_MS
            and self.storm_left_in_inbox == self.storm_answers == STORM_ACTIVITIES
            and self.minute_least_gap_seconds >= LEAST_GAP_SECONDS
            and self.minute_is_whole
        )


@dataclass(frozen=True)
class Lab:
    """What every part of the benchmark needs."""

    redis_url: str
    door_url: str
    keys: KeyPair
    signer: Signer
    gateway: dict[str, Any]
    engine: TalkingStandIn


def main() -> None:
    """Prints a table, or one JSON line with --json; exit status 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with lab() as found:
        result = asyncio.run(measure(found))
    if arguments.json:
        print(json.dumps(asdict(result)))
    else:
        _print(result)
    sys.exit(0 if result.passed else 1)


async def measure(found: Lab) -> TeamsResult:
    """The three parts one after the other, each with an empty inbox."""
    acknowledged, not_200 = await _acknowledgements(found)
    left, answers = await _storm(found)
    pieces, least_gap, is_whole = await _minute(found)
    return TeamsResult(
        requests=REQUESTS,
        not_200=not_200,
        ack_p50_ms=round(statistics.median(acknowledged), 1),
        ack_p99_ms=round(statistics.quantiles(acknowledged, n=100, method="inclusive")[98], 1),
        ack_worst_ms=round(max(acknowledged), 1),
        storm_deliveries=STORM_ACTIVITIES * STORM_DELIVERIES,
        storm_left_in_inbox=left,
        storm_answers=answers,
        minute_pieces=pieces,
        minute_least_gap_seconds=round(least_gap, 3),
        minute_is_whole=is_whole,
    )


async def _acknowledgements(found: Lab) -> tuple[list[float], int]:
    """Requests one after the other on 16 connections, while a worker waits for an engine that takes a minute."""
    found.engine.words, found.engine.pace_seconds = "끝", ENGINE_SECONDS
    taken: list[float] = []
    statuses: list[int] = []
    numbers = iter(range(REQUESTS))
    async with in_teams(found.gateway, found.redis_url, found.keys, found.engine):

        async def caller() -> None:
            async with _client(found) as http:
                for number in numbers:
                    activity = _activity(f"ack-{number}")
                    began = time.perf_counter()
                    statuses.append((await http.post("/api/messages", json=activity)).status_code)
                    taken.append((time.perf_counter() - began) * 1000)

        await asyncio.gather(*(caller() for _ in range(AT_ONCE)))
        # Nobody waits for these answers: what is left is thrown away with the inbox.
        _empty(found)
    return taken, sum(status != httpx.codes.OK for status in statuses)


async def _storm(found: Lab) -> tuple[int, int]:
    """Every activity ten times in a random order: messages left in the inbox, and answers that came of them."""
    _empty(found)
    found.engine.words, found.engine.pace_seconds = "한 문장입니다. [1]", 0.0
    deliveries = [f"storm-{number}" for number in range(STORM_ACTIVITIES)] * STORM_DELIVERIES
    random.Random(1).shuffle(deliveries)
    async with _client(found) as http:
        for start in range(0, len(deliveries), AT_ONCE):
            batch = deliveries[start : start + AT_ONCE]
            await asyncio.gather(*(http.post("/api/messages", json=_activity(name)) for name in batch))
    left = _left(found)
    async with in_teams(found.gateway, found.redis_url, found.keys, found.engine) as person:
        await person.connector.until(lambda connector: len(connector.messages) >= STORM_ACTIVITIES, seconds=120)
        # A second answer would come after the first: the worker gets the time for it.
        await asyncio.sleep(SETTLED_SECONDS)
        return left, len(person.connector.messages)


async def _minute(found: Lab) -> tuple[int, float, bool]:
    """One answer of sixty seconds in a one-to-one chat: its pieces, the least gap between two, whether it is whole."""
    _empty(found)
    words = 200
    found.engine.words = " ".join(f"낱말{KOREAN_SYLLABLES[number % 7]}" for number in range(words)) + " [1]"
    found.engine.pace_seconds = ENGINE_SECONDS / words
    async with in_teams(found.gateway, found.redis_url, found.keys, found.engine) as person:
        await person.say("personal_message")
        await person.connector.until(
            lambda connector: any(one.activity["type"] == "message" for one in connector.received), seconds=120
        )
        times = [one.at for one in person.connector.received]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        return len(person.connector.pieces), min(gaps), person.connector.texts == [found.engine.words]


@contextmanager
def lab() -> Iterator[Lab]:
    """Redis, the door, Microsoft's keys, an engine and Rasa, until the end."""
    keys, signer, engine = new_keys(), Signer(), TalkingStandIn()
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis_port, door_port = free_ports(2)
        redis_url = f"redis://127.0.0.1:{redis_port}/0"
        command = [redis_program(), "--port", str(redis_port), "--save", "", "--dir", str(home)]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        stack.callback(server.terminate)
        keys_url = stack.enter_context(served(KeyServer(signer.key_set()).app()))
        environment = {
            "HAECHI_TEAMS_ENABLED": "true",
            "HAECHI_TEAMS_APP_ID": APP_ID,
            "HAECHI_TEAMS_TENANTS": TENANT,
            "HAECHI_TEAMS_KEYS_URL": f"{keys_url}/keys",
            "HAECHI_TEAMS_REDIS_URL": redis_url,
            "HAECHI_TEAMS_INBOX_PUBLIC_KEY": keys.public,
            "HAECHI_TEAMS_DOOR_PORT": str(door_port),
        }
        door_url = f"http://127.0.0.1:{door_port}"
        everything = {**os.environ, "HAECHI_HOME": str(home), **environment}
        stack.enter_context(process(everything, "bot.teams_door.app", health=f"{door_url}/health/ready"))
        gateway: dict[str, Any] = {
            "llm_service_url": stack.enter_context(served(engine.app())),
            "rasa_url": stack.enter_context(served(RasaStandIn().app())),
            "rasa_token": RASA_TOKEN,
            "service_token": SERVICE_TOKEN,
            "session_secret": "a secret that signs the sessions of the benchmark",
        }
        yield Lab(redis_url, door_url, keys, signer, gateway, engine)


def _client(found: Lab) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {found.signer.token()}"}
    return httpx.AsyncClient(base_url=found.door_url, headers=headers, trust_env=False, timeout=30)


def _activity(name: str) -> dict[str, Any]:
    activity = payload("personal_message", id=name)
    return {**activity, "conversation": {**activity["conversation"], "id": f"a:{name}"}}


def _left(found: Lab) -> int:
    with redis.Redis.from_url(found.redis_url) as client:
        return int(client.xlen(STREAM))


def _empty(found: Lab) -> None:
    with redis.Redis.from_url(found.redis_url) as client:
        client.flushall()


def _print(result: TeamsResult) -> None:
    table = Table("measure", "value")
    for name, value in asdict(result).items():
        table.add_row(name.replace("_", " "), str(value))
    console = Console()
    console.print(table)
    console.print("passed" if result.passed else "FAILED")


if __name__ == "__main__":
    main()
