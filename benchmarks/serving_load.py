"""Asks one service evenly, so that a known number of its answers stream at once, and looks at what its processes use.

Knows no service: whoever measures one hands in how it is asked. The engine's clock is known, which makes the rest ours.
"""

import asyncio
import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 300
SAMPLE_SECONDS = 0.5
HEALTH_SECONDS = 0.2


@dataclass(frozen=True)
class Asked:
    """One answer as its reader saw it, in milliseconds since the question was sent; `statement_words` with its [n]."""

    first_statement_ms: float
    statement_words: int
    state: str


class Dropped(Exception):
    """A question without a whole answer; the message is a code."""


Ask = Callable[[], Awaitable[Asked]]


@dataclass(frozen=True)
class Used:
    """What a process has used: seconds of processor time so far; resident memory (RSS) now and at most, in MB."""

    cpu_seconds: float
    memory_mb: float
    peak_memory_mb: float


@dataclass(frozen=True)
class Load:
    """`streams` answers at once, each `answer_seconds` long by the engine's clock of `tokens_per_second`.

    `rounds` times as many questions are measured, after as many have filled the line.
    """

    streams: int
    tokens_per_second: float
    answer_seconds: float
    rounds: int


@dataclass(frozen=True)
class Result:
    """Milliseconds `added`: from the engine's first whole statement, by its own clock, to the reader.

    `with_next_word`: of those, the engine's next word is counted as ours; without it a statement cannot be known to
    have ended. CPU is counted while answers begin and end at an even pace, by the answers begun; it is None where any
    was dropped, since what was not answered cost nothing. Memory is resident (RSS), shared pages included: `memory_mb`
    after the load, `peak_memory_mb` the most there ever was.

    `burst_…`: as many questions as there are streams, all in one instant, when nothing else is asked.
    """

    streams: int
    seen_at_once: int
    answers: int
    dropped: dict[str, int]
    states: dict[str, int]
    added_p50_ms: float
    added_p95_ms: float
    with_next_word_p50_ms: float
    with_next_word_p95_ms: float
    burst_added_p50_ms: float | None
    burst_added_p95_ms: float | None
    burst_dropped: dict[str, int]
    cpu_ms_per_turn: dict[str, float] | None
    memory_mb: dict[str, float]
    peak_memory_mb: dict[str, float]
    cores_used: float
    load_average: float


class Measurement:
    """One service under one load. `processes` are those whose use is told; the engine's says how many stream."""

    def __init__(self, load: Load, ask: Ask, processes: dict[str, int], engine_metrics: str) -> None:
        self._load = load
        self._ask_once = ask
        self._processes = processes
        self._engine_metrics = engine_metrics
        self._answers: list[Asked] = []
        self._dropped: list[str] = []
        self._most = 0

    async def run(self) -> Result:
        """Fill the line, measure, and wait for every answer."""
        async with asyncio.TaskGroup() as answering:
            sampling = asyncio.create_task(self._sample())
            await self._ask_evenly(answering, 1)
            measured_from = len(self._answers)
            before, began = self._used(), time.monotonic()
            await self._ask_evenly(answering, self._load.rounds)
            after, seconds = self._used(), time.monotonic() - began
            load_average = os.getloadavg()[0]
        sampling.cancel()
        evenly, dropped = self._answers[measured_from:], tuple(self._dropped)
        self._dropped.clear()
        asked_evenly = len(self._answers)
        async with asyncio.TaskGroup() as answering:
            for _ in range(self._load.streams):
                answering.create_task(self._ask())
        burst = self._answers[asked_evenly:]
        return self._result(evenly, dropped, burst, before, after, seconds, load_average)

    async def _ask_evenly(self, answering: asyncio.TaskGroup, rounds: int) -> None:
        clock = asyncio.get_running_loop().time
        begun, pause = clock(), self._load.answer_seconds / self._load.streams
        for number in range(self._load.streams * rounds):
            await asyncio.sleep(max(0.0, begun + number * pause - clock()))
            answering.create_task(self._ask())

    async def _ask(self) -> None:
        try:
            self._answers.append(await self._ask_once())
        except Dropped as error:
            self._dropped.append(str(error))

    async def _sample(self) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=START_SECONDS) as http:
            while True:
                told = (await http.get(self._engine_metrics)).text.splitlines()
                running = next(line for line in told if line.startswith("tgi_batch_current_size "))
                self._most = max(self._most, int(float(running.split()[1])))
                await asyncio.sleep(SAMPLE_SECONDS)

    def _with_next_word(self, answer: Asked) -> float:
        """Milliseconds from the engine's first whole statement, by its clock, to the reader."""
        return answer.first_statement_ms - (answer.statement_words - 1) * 1000 / self._load.tokens_per_second

    def _used(self) -> dict[str, Used]:
        return {name: used_by(process) for name, process in self._processes.items()}

    def _result(
        self,
        answers: Sequence[Asked],
        dropped: Sequence[str],
        burst: Sequence[Asked],
        before: dict[str, Used],
        after: dict[str, Used],
        seconds: float,
        load_average: float,
    ) -> Result:
        word_ms = 1000 / self._load.tokens_per_second
        with_next = [self._with_next_word(answer) for answer in answers]
        added = [milliseconds - word_ms for milliseconds in with_next]
        at_once = [self._with_next_word(answer) - word_ms for answer in burst]
        begun = self._load.streams * self._load.rounds
        cpu = {name: after[name].cpu_seconds - before[name].cpu_seconds for name in after}
        states = [answer.state for answer in answers]
        return Result(
            streams=self._load.streams,
            seen_at_once=self._most,
            answers=len(self._answers) - len(burst),
            dropped=_counted(dropped),
            states=_counted(states),
            added_p50_ms=round(statistics.median(added), 1),
            added_p95_ms=_p95(added),
            with_next_word_p50_ms=round(statistics.median(with_next), 1),
            with_next_word_p95_ms=_p95(with_next),
            burst_added_p50_ms=round(statistics.median(at_once), 1) if len(at_once) > 1 else None,
            burst_added_p95_ms=_p95(at_once) if len(at_once) > 1 else None,
            burst_dropped=_counted(self._dropped),
            cpu_ms_per_turn=None if dropped else {name: round(used * 1000 / begun, 2) for name, used in cpu.items()},
            memory_mb={name: used.memory_mb for name, used in after.items()},
            peak_memory_mb={name: used.peak_memory_mb for name, used in after.items()},
            cores_used=round(sum(cpu.values()) / seconds, 2),
            load_average=round(load_average, 1),
        )


def free_ports(count: int) -> list[int]:
    """Loopback ports that are free now; held together, so that no two are the same."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


@contextlib.contextmanager
def process(
    environment: dict[str, str], module: str, *arguments: str, health: str, python: str = sys.executable
) -> Iterator[int]:
    """A Python module as a process until the block ends; its number, once it is healthy."""
    started = subprocess.Popen([python, "-m", module, *arguments], env=environment, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + START_SECONDS
        while not _is_healthy(health):
            if started.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{module} did not become healthy, exit status {started.poll()}")
            time.sleep(HEALTH_SECONDS)
        yield started.pid
    finally:
        started.terminate()
        started.wait()


def _is_healthy(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def used_by(pid: int) -> Used:
    """From /proc (Linux): processor time of the process and its threads, and its greatest resident size."""
    of_process = Path("/proc") / str(pid)
    fields = (of_process / "stat").read_text().rsplit(")", 1)[1].split()
    ticks = int(fields[11]) + int(fields[12])
    status = dict(line.split(":", 1) for line in (of_process / "status").read_text().splitlines())
    resident, most = (round(int(status[name].split()[0]) / 1024, 1) for name in ("VmRSS", "VmHWM"))
    return Used(ticks / os.sysconf("SC_CLK_TCK"), resident, most)


def _counted(codes: Sequence[str]) -> dict[str, int]:
    return {code: codes.count(code) for code in sorted(set(codes))}


def _p95(values: Sequence[float]) -> float:
    return round(statistics.quantiles(values, n=20)[-1], 1)
