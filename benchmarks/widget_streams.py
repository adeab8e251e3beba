"""The chat's streams through the gateway: 200 answers of 100 tokens at once, and what cuts and a burst make of them.

llm_service is a stand-in with a known clock, so that what comes on top is the gateway's: the first token's delay over
the stand-in's own, and whether every reader got every token once. Readers begin within two seconds, so that all stream
at once; beside it the same with every connection cut half-way, and with all 200 begun in the same instant, which is a
queue's length rather than a stream's delay and is told without a bar. Gateway, stand-in and readers are processes of
their own on two cores. `make bench-channels` runs it; `python -m benchmarks.widget_streams` does so alone.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import uuid4

import aiohttp
import uvicorn
from rich.console import Console
from rich.table import Table
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from benchmarks.serving_load import free_ports, process, used_by

CORES = 2
FIRST_TOKEN_SECONDS = 0.5
TOKEN_SECONDS = 0.05
BEGUN_WITHIN_SECONDS = 2.0
WARM_UP_STREAMS = 20
LIMIT_MS = 500.0
QUESTION = "예금자보호는 얼마까지 되나요?"


@dataclass(frozen=True)
class StreamsResult:
    """What 200 readers saw. `over_ms` is the first token's delay beyond the stand-in's own."""

    streams: int
    tokens: int
    begun_within_seconds: float
    dropped: int
    over_p50_ms: float
    over_p95_ms: float
    generations: int
    gateway_cpu_seconds: float
    gateway_memory_mb: float

    @property
    def passed(self) -> bool:
        """Nobody lost a token, nothing was generated twice, and the first token came in time."""
        in_time = self.over_p95_ms <= LIMIT_MS or not self.begun_within_seconds
        return self.dropped == 0 and self.generations == self.streams and in_time


class ScriptedService:
    """What the gateway needs of llm_service: every turn has the same tokens, told by the clock since it was started."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self._started: dict[str, float] = {}
        self._generations = 0

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/turns", self.create, methods=["POST"]),
                Route("/v1/turns/{turn_id}", self.turn),
                Route("/v1/turns/{turn_id}/answer", self.start, methods=["POST"]),
                Route("/v1/turns/{turn_id}/events", self.events),
                Route("/health", lambda _request: PlainTextResponse("ok")),
                Route("/health/ready", lambda _request: JSONResponse({"ready": True, "parts": {}})),
                Route("/generations", lambda _request: JSONResponse(self._generations)),
            ]
        )

    async def create(self, request: Request) -> Response:
        turn_id = (await request.json())["event_id"].replace("-", "")
        known = turn_id in self._started
        return JSONResponse(
            {
                "turn_id": turn_id,
                "conversation_id": turn_id,
                "masked_text": QUESTION,
                "entity_counts": {},
                "replayed": known,
                "state": "answering" if known else "received",
                "timings": {},
            }
        )

    async def turn(self, request: Request) -> Response:
        turn_id = request.path_params["turn_id"]
        empty: dict[str, object] = {
            "answer": None,
            "refused": False,
            "engine": None,
            "intent": None,
            "sources": [],
            "timings": {},
        }
        body = {"turn_id": turn_id, "conversation_id": turn_id, "state": "answering", "question": QUESTION, **empty}
        return JSONResponse(body)

    async def start(self, request: Request) -> Response:
        if request.path_params["turn_id"] not in self._started:
            self._started[request.path_params["turn_id"]] = time.monotonic()
            self._generations += 1
        return JSONResponse({})

    async def events(self, request: Request) -> Response:
        after = int(request.headers["last-event-id"])
        return StreamingResponse(self._told(request.path_params["turn_id"], after), media_type="text/event-stream")

    async def _told(self, turn_id: str, after: int) -> AsyncIterator[str]:
        begun = self._started[turn_id] + FIRST_TOKEN_SECONDS
        for number in range(after + 1, self._tokens + 1):
            await asyncio.sleep(max(0.0, begun + (number - 1) * TOKEN_SECONDS - time.monotonic()))
            yield f'id: {number}\nevent: token\ndata: {{"text": "{number} "}}\n\n'
        done = {"turn_id": turn_id, "state": "answered", "refused": False, "engine": "model", "timings": {}}
        yield f"id: {self._tokens + 1}\nevent: done\ndata: {json.dumps(done)}\n\n"


async def measure(
    url: str, service: str, gateway_pid: int, streams: int, tokens: int, within: float, cut: bool
) -> StreamsResult:
    """Begin all streams evenly `within` seconds and read each to its end; with `cut`, break off half-way and return."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        before = used_by(gateway_pid)
        generated = await _generations(http, service)
        bearers = [await _guest(http, url) for _ in range(streams)]
        starts = [number * within / streams for number in range(streams)]
        read = await asyncio.gather(
            *(_read(http, url, bearer, tokens, cut, start) for bearer, start in zip(bearers, starts, strict=True))
        )
        after = used_by(gateway_pid)
        delays = sorted(delay for delay in read if delay is not None)
        return StreamsResult(
            streams=streams,
            tokens=tokens,
            begun_within_seconds=within,
            dropped=streams - len(delays),
            over_p50_ms=round(statistics.median(delays), 1) if delays else 0.0,
            over_p95_ms=round(delays[int(len(delays) * 0.95) - 1], 1) if delays else 0.0,
            generations=await _generations(http, service) - generated,
            gateway_cpu_seconds=round(after.cpu_seconds - before.cpu_seconds, 2),
            gateway_memory_mb=round(after.peak_memory_mb, 1),
        )


async def _generations(http: aiohttp.ClientSession, service: str) -> int:
    async with http.get(f"{service}/generations") as response:
        return int(await response.json())


async def _guest(http: aiohttp.ClientSession, url: str) -> str:
    async with http.post(f"{url}/v1/session", json={"locale": "ko"}) as response:
        return str((await response.json())["token"])


async def _read(
    http: aiohttp.ClientSession, url: str, bearer: str, tokens: int, cut: bool, start: float
) -> float | None:
    """Milliseconds of the first token over the stand-in's own; None where a token was lost, doubled or out of order."""
    body = {"message_id": str(uuid4()), "conversation": str(uuid4()), "text": QUESTION, "locale": "ko"}
    await asyncio.sleep(start)
    asked, first, seen, last = time.monotonic(), 0.0, [], ""
    for attempt in range(2 if cut else 1):
        headers = {"Authorization": f"Bearer {bearer}", **({"Last-Event-ID": last} if last else {})}
        async with http.post(f"{url}/v1/chat", json=body, headers=headers) as response:
            event = ""
            async for raw in response.content:
                line = raw.decode().rstrip("\n")
                name, _, value = line.partition(": ")
                if name == "event":
                    event = value
                elif name == "id":
                    last = value
                elif name == "data" and event == "token":
                    first = first or time.monotonic()
                    seen.append(int(json.loads(value)["text"]))
                elif not line and cut and not attempt and len(seen) >= tokens // 2:
                    break
    whole = seen == list(range(1, tokens + 1)) and event == "done"
    return (first - asked - FIRST_TOKEN_SECONDS) * 1000 if whole else None


def run(streams: int = 200, tokens: int = 100) -> dict[str, StreamsResult]:
    """All measurements, on processes that are started, warmed up and ended here."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory(prefix="haechi-bench-widget-") as directory, ExitStack() as stack:
        service_port, gateway_port = free_ports(2)
        service, gateway = (f"http://127.0.0.1:{port}" for port in (service_port, gateway_port))
        environment = _environment(Path(directory), service, gateway_port)
        serve = ("--serve", str(service_port), "--tokens", str(tokens))
        stack.enter_context(process(environment, "benchmarks.widget_streams", *serve, health=f"{service}/health"))
        pid = stack.enter_context(process(environment, "bot.gateway.app", health=f"{gateway}/health/live"))
        asyncio.run(measure(gateway, service, pid, WARM_UP_STREAMS, tokens, 0.0, cut=False))
        return {
            name: asyncio.run(measure(gateway, service, pid, streams, tokens, within, cut))
            for name, within, cut in (
                ("in one go", BEGUN_WITHIN_SECONDS, False),
                ("cut half-way", BEGUN_WITHIN_SECONDS, True),
                ("begun in one instant", 0.0, False),
            )
        }


def _environment(home: Path, service: str, gateway_port: int) -> dict[str, str]:
    generous = "1000000"
    return {
        **os.environ,
        "HAECHI_HOME": str(home),
        "HAECHI_GATEWAY_PORT": str(gateway_port),
        "HAECHI_LLM_SERVICE_URL": service,
        "HAECHI_SERVICE_TOKEN": secrets.token_urlsafe(32),
        "HAECHI_RASA_URL": "",
        "HAECHI_LOG_LEVEL": "ERROR",
        "HAECHI_SESSIONS_PER_MINUTE_PER_ADDRESS": generous,
        "HAECHI_QUESTIONS_PER_MINUTE_PER_ADDRESS": generous,
        "HAECHI_QUESTIONS_PER_MINUTE_PER_CHANNEL": generous,
    }


def table(results: dict[str, StreamsResult]) -> Table:
    """One row a measurement, the bar in the heading."""
    drawn = Table(title=f"Widget streams at once (bar: 0 dropped, p95 <= {LIMIT_MS:.0f} ms over the engine)")
    for column in ("", *StreamsResult.__dataclass_fields__):
        drawn.add_column(column.replace("_", " "), justify="right")
    for name, result in results.items():
        drawn.add_row(name, *map(str, asdict(result).values()))
    return drawn


def main() -> None:
    """Measure and print; ends with status 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=100)
    parser.add_argument("--serve", type=int, help="only the stand-in, on this port")
    arguments = parser.parse_args()
    if arguments.serve:
        app = ScriptedService(arguments.tokens).app()
        uvicorn.run(app, host="127.0.0.1", port=arguments.serve, log_config=None, access_log=False)
        return
    results = run(arguments.streams, arguments.tokens)
    Console(width=160).print(table(results))
    sys.exit(0 if all(result.passed for result in results.values()) else 1)


if __name__ == "__main__":
    main()
