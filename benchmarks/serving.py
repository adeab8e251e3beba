"""What stands in front of a model server: many answers streaming at once through gateway and llm_service.

The engine is the development server's scripted mode, whose clock is known, so that whatever comes on top is ours. The
benchmark starts all three processes itself in a directory of their own; questions arrive evenly, so that about as many
answers stream at any moment as `--streams` says. `make bench-serving` runs it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
from rich.console import Console

from bot.gateway.client import GatewayAnswer, GatewayClient, GatewayError
from haechi.secrets import ensure_secrets, read_secret
from llm_service.client import LlmServiceClient

START_SECONDS = 300
SAMPLE_SECONDS = 0.5
QUESTION = "든든정기예금 중도해지이율은 얼마인가요?"
# Statements of six words and a citation each, as the scripted engine repeats them.
STATEMENT_WORDS = 7
LINES = [f"가입 {month}개월째 해지하면 중도해지이율 연 0.{month:02d}%를 적용합니다." for month in range(1, 9)]
DOCUMENT = "# 해치 든든정기예금\n\n## 중도해지이율\n" + "\n".join(f"{line}\n" for line in LINES)


@dataclass(frozen=True)
class Used:
    """What a process has used: seconds of processor time so far, and the most memory it held, in MB."""

    cpu_seconds: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Result:
    """Milliseconds are what the platform added to the engine's own clock until the first statement was seen."""

    streams: int
    seen_at_once: int
    turns: int
    dropped: dict[str, int]
    states: dict[str, int]
    added_p50_ms: float
    added_p95_ms: float
    cpu_ms_per_turn: dict[str, float]
    peak_memory_mb: dict[str, float]


def main() -> None:
    """Measure, print, and end with status 1 if an answer was dropped."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="haechi-bench-serving-") as directory:
        result = _measured(Path(directory), arguments)
    if arguments.json:
        print(json.dumps(asdict(result), ensure_ascii=False))
    else:
        Console().print(asdict(result))
    sys.exit(1 if result.dropped else 0)


def _measured(home: Path, arguments: argparse.Namespace) -> Result:
    ensure_secrets(home)
    engine, service, gateway = free_ports(3)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HAECHI_")},
        "HAECHI_HOME": str(home),
        "HAECHI_ENGINE": "devserver",
        "HAECHI_ENGINE_URLS": f"http://127.0.0.1:{engine}",
        "HAECHI_ENGINE_RUNNING_PER_SERVER": str(arguments.streams * 2),
        "HAECHI_LLM_SERVICE_PORT": str(service),
        "HAECHI_LLM_SERVICE_URL": f"http://127.0.0.1:{service}",
        "HAECHI_GATEWAY_PORT": str(gateway),
        "HAECHI_RASA_URL": "",
        "HAECHI_LOG_LEVEL": "WARNING",
    }
    scripted = ("--port", str(engine), "--scripted", str(arguments.tokens_per_second))
    subprocess.run([sys.executable, "-m", "llm_service.store.migrate"], env=environment, check=True)
    with (
        _process(environment, "llm_service.engines.devserver", *scripted, health=f"http://127.0.0.1:{engine}/health"),
        _process(environment, "llm_service.app", health=f"http://127.0.0.1:{service}/health/ready") as of_service,
        _process(environment, "bot.gateway.app", health=f"http://127.0.0.1:{gateway}/health/live") as of_gateway,
    ):
        measured = _Load(home, arguments, {"llm_service": of_service, "gateway": of_gateway})
        return asyncio.run(measured.run(engine, service, gateway))


class _Load:
    """Asks at an even pace: the first `streams` questions fill the line, the next ones are measured."""

    def __init__(self, home: Path, arguments: argparse.Namespace, processes: dict[str, int]) -> None:
        self._token = read_secret(home, "haechi_service_token")
        self._streams: int = arguments.streams
        self._rate: float = arguments.tokens_per_second
        self._processes = processes
        self._answers: list[GatewayAnswer] = []
        self._dropped: list[str] = []
        self._most = 0

    async def run(self, engine: int, service: int, gateway: int) -> Result:
        llm_service = LlmServiceClient(f"http://127.0.0.1:{service}", self._token)
        await llm_service.upload_document("예금/든든정기예금.md", DOCUMENT.encode(), ["staff"])
        await llm_service.close()
        asking = GatewayClient(f"http://127.0.0.1:{gateway}", self._token)
        first = await asking.ask(QUESTION, audience="staff")
        pause = (first.timings["engine_total"] / 1000) / self._streams
        sampling = asyncio.create_task(self._sample(f"http://127.0.0.1:{engine}/metrics"))
        filling = await self._ask_evenly(asking, pause)
        before = {name: _used(process) for name, process in self._processes.items()}
        warm = len(self._answers)
        measured = await self._ask_evenly(asking, pause)
        await asyncio.gather(*filling, *measured)
        after = {name: _used(process) for name, process in self._processes.items()}
        sampling.cancel()
        await asking.close()
        return self._result(self._answers[warm:], before, after)

    async def _ask_evenly(self, asking: GatewayClient, pause: float) -> list["asyncio.Task[None]"]:
        clock = asyncio.get_running_loop().time
        begun = clock()
        tasks = []
        for number in range(self._streams):
            await asyncio.sleep(max(0.0, begun + number * pause - clock()))
            tasks.append(asyncio.create_task(self._ask(asking)))
        return tasks

    async def _ask(self, asking: GatewayClient) -> None:
        try:
            self._answers.append(await asking.ask(QUESTION, audience="staff"))
        except GatewayError as error:
            self._dropped.append(error.code)

    async def _sample(self, metrics: str) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                told = (await http.get(metrics)).text.splitlines()
                running = next(line for line in told if line.startswith("tgi_batch_current_size "))
                self._most = max(self._most, int(float(running.split()[1])))
                await asyncio.sleep(SAMPLE_SECONDS)

    def _result(self, answers: list[GatewayAnswer], before: dict[str, Used], after: dict[str, Used]) -> Result:
        # A statement is shown once the next one's first word proves that it has ended.
        own = STATEMENT_WORDS / self._rate * 1000
        added = [answer.seen["first_token"] - own for answer in answers]
        turns = self._streams * 2 - len(self._dropped)
        return Result(
            streams=self._streams,
            seen_at_once=self._most,
            turns=turns,
            dropped={code: self._dropped.count(code) for code in set(self._dropped)},
            states={
                state: sum(answer.state == state for answer in answers) for state in {one.state for one in answers}
            },
            added_p50_ms=round(statistics.median(added), 1),
            added_p95_ms=round(statistics.quantiles(added, n=20)[-1], 1),
            cpu_ms_per_turn={
                name: round((after[name].cpu_seconds - before[name].cpu_seconds) * 1000 / len(answers), 2)
                for name in after
            },
            peak_memory_mb={name: used.peak_memory_mb for name, used in after.items()},
        )


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; held together, so that no two are the same."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def _process(environment: dict[str, str], module: str, *arguments: str, health: str) -> Iterator[int]:
    """One of our processes until the block ends; its number, once it is healthy."""
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while not _is_healthy(health):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{module} did not become healthy, exit status {process.poll()}")
            time.sleep(0.2)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def _used(process: int) -> Used:
    """From /proc (Linux): processor time of the process and its threads, and its greatest resident size."""
    of_process = Path("/proc") / str(process)
    fields = (of_process / "stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = dict(line.split(":", 1) for line in (of_process / "status").read_text().splitlines())
    return Used(ticks / os.sysconf("SC_CLK_TCK"), round(int(status["VmHWM"].split()[0]) / 1024, 1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200, help="answers that stream at once")
    parser.add_argument("--tokens-per-second", type=float, default=4.0, help="pace of each answer of the engine")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
