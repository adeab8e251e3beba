"""How long a question takes, stage by stage, at 1, 8 and 32 conversations at once, against the running platform.

So many askers ask one question after another, each question in a conversation of its own (an open form would take the
next question for a value), and every answer is read to its end. `make bench-answer` runs it.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bot.gateway.client import GatewayAnswer, GatewayClient, GatewayError
from bot.gateway.settings import load_settings

CONCURRENT_CONVERSATIONS = (1, 8, 32)
QUESTIONS_PER_LEVEL = 96
WARM_UP_QUESTIONS = 4
STAGES = ("mask", "route", "retrieve", "answer", "verify", "first token", "total")
QUESTIONS_FILE = Path(__file__).parent.parent / "tests" / "data" / "sample_questions.jsonl"


@dataclass(frozen=True)
class Level:
    """One level of concurrency: milliseconds by stage, and how the answers ended."""

    conversations: int
    questions: int
    failed: dict[str, int]
    states: dict[str, int]
    seconds: float
    p50: dict[str, float]
    p95: dict[str, float]


def main() -> None:
    """Measure, print, and end with status 1 if any question failed."""
    arguments = _arguments()
    settings = load_settings()
    token = settings.service_token.get_secret_value()
    questions = [json.loads(line)["question"] for line in arguments.questions.read_text("utf-8").splitlines() if line]
    url = arguments.url or f"http://127.0.0.1:{settings.gateway_port}"
    levels = asyncio.run(_measure(url, token, questions, arguments.conversations, arguments.count))
    if arguments.json:
        print(json.dumps([asdict(level) for level in levels], ensure_ascii=False))
    else:
        _print(levels)
    sys.exit(1 if any(level.failed for level in levels) else 0)


async def _measure(
    url: str, token: str, questions: Sequence[str], conversations: Sequence[int], count: int
) -> list[Level]:
    gateway = GatewayClient(url, token)
    try:
        await _ask_all(gateway, list(islice(cycle(questions), WARM_UP_QUESTIONS)), [], [])
        return [await _level(gateway, questions, width, max(count, width)) for width in conversations]
    finally:
        await gateway.close()


async def _level(gateway: GatewayClient, questions: Sequence[str], conversations: int, count: int) -> Level:
    """Share `count` questions out among conversations that ask at the same time."""
    asked = list(islice(cycle(questions), count))
    answers: list[GatewayAnswer] = []
    failed: list[str] = []
    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for first in range(conversations):
            group.create_task(_ask_all(gateway, asked[first::conversations], answers, failed))
    seconds = time.perf_counter() - started
    samples = {stage: [ms for answer in answers if (ms := _stages(answer).get(stage)) is not None] for stage in STAGES}
    return Level(
        conversations=conversations,
        questions=count,
        failed=_counts(failed),
        states=_counts(answer.state for answer in answers),
        seconds=round(seconds, 3),
        p50={stage: _percentile(values, 50) for stage, values in samples.items() if values},
        p95={stage: _percentile(values, 95) for stage, values in samples.items() if values},
    )


async def _ask_all(
    gateway: GatewayClient, questions: Sequence[str], answers: list[GatewayAnswer], failed: list[str]
) -> None:
    for question in questions:
        try:
            answers.append(await gateway.ask(question, audience="staff"))
        except GatewayError as error:
            failed.append(error.code)


def _stages(answer: GatewayAnswer) -> dict[str, float]:
    """The platform's own stages, and what the caller saw of them."""
    seen = {"first token": answer.seen.get("first_token"), "total": answer.seen["total"]}
    return {**answer.timings, **{stage: value for stage, value in seen.items() if value is not None}}


def _percentile(values: list[float], percent: int) -> float:
    if len(values) == 1:
        return round(values[0], 2)
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 2)


def _counts(names: Iterator[str] | list[str]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for name in names:
        counted[name] = counted.get(name, 0) + 1
    return counted


def _print(levels: list[Level]) -> None:
    table = Table(title=f"milliseconds, p50 / p95, on {os.cpu_count()} cores")
    table.add_column("conversations", justify="right")
    for stage in (*STAGES, "answers/s", "failed"):
        table.add_column(stage, justify="right")
    for level in levels:
        cells = [f"{level.p50[stage]:.1f} / {level.p95[stage]:.1f}" if stage in level.p50 else "–" for stage in STAGES]
        answered = sum(level.states.values())
        rate = f"{answered / level.seconds:.1f}"
        table.add_row(str(level.conversations), *cells, rate, str(sum(level.failed.values())))
    Console(width=170).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="", help="the gateway; by default the one of this machine")
    parser.add_argument("--questions", type=Path, default=QUESTIONS_FILE, help='JSON lines with a "question" each')
    parser.add_argument("--conversations", type=int, nargs="+", default=CONCURRENT_CONVERSATIONS)
    parser.add_argument("--count", type=int, default=QUESTIONS_PER_LEVEL, help="questions at each level")
    parser.add_argument("--json", action="store_true", help="one JSON array instead of the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
