"""Slack: how soon deliveries are acknowledged while the engine takes twenty seconds, and what storms come to.

The Slack process runs here at the speed of life before a real Redis; Slack, engine and Rasa are the test lab's.
`make bench-channels` runs it; `python -m benchmarks.slack_channel` does so alone.
"""

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import redis.asyncio as redis
from rich.console import Console
from rich.table import Table

from bot.gateway.settings import GatewaySettings
from bot.gateway.slack.app import SlackProcess
from haechi.redis_server import redis_program
from tests.bot.gateway.stand_ins import RASA_TOKEN, SERVICE_TOKEN, RasaStandIn, served
from tests.bot.slack.conftest import SECRET, ScriptedLlmService, mention, slack_settings
from tests.bot.slack.fake_slack import FakeSlack, running
from tests.bot.slack.slack_types import NAMES, faults_of_call
from tests.ports import free_port

ENVELOPES = 1000
PER_SECOND = 50
BURST = 200
ENGINE_SECONDS = 20.0
STORM_QUESTIONS = 50
STORM_DELIVERIES = 10
RECONNECTIONS = 20
LIMIT_MS = 300.0
READY_LIMIT_SECONDS = 2.0
UNLIMITED: dict[str, Any] = dict.fromkeys(
    (
        "questions_per_minute_per_user",
        "questions_at_once_per_user",
        "questions_per_minute_per_channel",
        "questions_per_day_per_user",
    ),
    10**6,
)


@dataclass(frozen=True)
class SlackResult:
    """What Slack saw. Milliseconds from an envelope sent to its acknowledgement read; seconds until ready again."""

    envelopes: int
    per_second: int
    not_acknowledged: int
    ack_p50_ms: float
    ack_p99_ms: float
    ack_worst_ms: float
    burst: int
    burst_worst_ms: float
    storm_deliveries: int
    storm_answers: int
    storm_messages: int
    reconnections: int
    reconnect_worst_seconds: float
    asked_after_reconnecting: int
    answered_after_reconnecting: int
    invalid_payloads: int

    @property
    def holds(self) -> bool:
        """Whether S1, S2 and S6 hold in these figures."""
        return (
            self.not_acknowledged == 0
            and self.ack_p99_ms <= LIMIT_MS
            and self.storm_answers == self.storm_messages == STORM_QUESTIONS
            and self.reconnect_worst_seconds <= READY_LIMIT_SECONDS
            and self.answered_after_reconnecting == self.asked_after_reconnecting
            and self.invalid_payloads == 0
        )


async def measure() -> SlackResult:
    """Run the three parts one after the other, each with a process of its own."""
    figures: dict[str, Any] = {"invalid_payloads": 0}
    with _redis() as redis_url, served(RasaStandIn().app()) as rasa_url:
        for part in (_acknowledgements, _duplicates, _reconnections):
            async with _bank(f"{redis_url}/0", rasa_url) as (slack, llm_service):
                figures |= await part(slack, llm_service)
                figures["invalid_payloads"] += len(slack.faults)
    return SlackResult(**figures)


async def _acknowledgements(slack: FakeSlack, llm_service: ScriptedLlmService) -> dict[str, Any]:
    llm_service.pace_seconds = ENGINE_SECONDS
    # The fake reads Slack's schemas at its first calls, in this same loop: that is not the product's time.
    for method in NAMES:
        faults_of_call(method, {})
    began = time.perf_counter()
    for number in range(ENVELOPES):
        await asyncio.sleep(max(0.0, began + number / PER_SECOND - time.perf_counter()))
        await slack.deliver("events_api", mention(number))
    await slack.until(lambda: len(slack.acks) == ENVELOPES, seconds=30)
    waits = _waits(slack)
    burst = [await slack.deliver("events_api", mention(ENVELOPES + number)) for number in range(BURST)]
    await slack.until(lambda: len(slack.acks) == ENVELOPES + BURST, seconds=30)
    return {
        "envelopes": ENVELOPES,
        "per_second": PER_SECOND,
        "not_acknowledged": ENVELOPES - len(waits),
        "ack_p50_ms": round(statistics.median(waits), 1),
        "ack_p99_ms": round(waits[int(len(waits) * 0.99) - 1], 1),
        "ack_worst_ms": round(waits[-1], 1),
        "burst": BURST,
        "burst_worst_ms": round(max(slack.acks[one] - slack.sent_at[one] for one in burst) * 1000, 1),
    }


async def _duplicates(slack: FakeSlack, llm_service: ScriptedLlmService) -> dict[str, Any]:
    llm_service.script = ["예금자보호 ", "한도는 ", "문서에 ", "있습니다. ", "[1]"]
    storm = [mention(number) for number in range(STORM_QUESTIONS)] * STORM_DELIVERIES
    random.Random(1).shuffle(storm)
    for number, body in enumerate(storm):
        await slack.deliver("events_api", body, retry_attempt=number % 3)
    await slack.until(lambda: len(slack.called("chat.stopStream")) >= STORM_QUESTIONS, seconds=120)
    await slack.until(lambda: len(slack.acks) == len(storm), seconds=60)
    return {
        "storm_deliveries": len(storm),
        "storm_answers": llm_service.generations,
        "storm_messages": len(slack.messages),
    }


async def _reconnections(slack: FakeSlack, llm_service: ScriptedLlmService) -> dict[str, Any]:
    llm_service.script = ["예금자보호 ", "한도는 ", "문서에 ", "있습니다. ", "[1]"]
    took = []
    for number in range(RECONNECTIONS):
        sockets = len(slack.sockets)
        slack.kill(slack.open_sockets[0])
        cut_at = time.perf_counter()
        await slack.until(lambda so_far=sockets: len(slack.sockets) > so_far and bool(slack.open_sockets))  # type: ignore[misc]
        took.append(time.perf_counter() - cut_at)
        await slack.deliver("events_api", mention(number))
    await slack.until(lambda: len(slack.called("chat.stopStream")) >= RECONNECTIONS, seconds=60)
    return {
        "reconnections": RECONNECTIONS,
        "reconnect_worst_seconds": round(max(took), 2),
        "asked_after_reconnecting": RECONNECTIONS,
        "answered_after_reconnecting": len(slack.messages),
    }


@asynccontextmanager
async def _bank(redis_url: str, rasa_url: str) -> AsyncIterator[tuple[FakeSlack, ScriptedLlmService]]:
    llm_service = ScriptedLlmService()
    async with running(FakeSlack()) as slack:
        with served(llm_service.app()) as llm_service_url:
            gateway = GatewaySettings(
                llm_service_url=llm_service_url,
                rasa_url=rasa_url,
                rasa_token=RASA_TOKEN,
                service_token=SERVICE_TOKEN,
                session_secret=SECRET,
                redis_url=redis_url,
                **UNLIMITED,
            )
            process = SlackProcess(gateway, slack_settings(slack))
            await process.start()
            try:
                yield slack, llm_service
            finally:
                await process.stop(grace_seconds=0.1)
    await _emptied(redis_url)


async def _emptied(redis_url: str) -> None:
    async with redis.from_url(redis_url) as client:
        await client.flushall()


def _waits(slack: FakeSlack) -> list[float]:
    return sorted((slack.acks[envelope] - sent) * 1000 for envelope, sent in slack.sent_at.items())


@contextmanager
def _redis() -> Iterator[str]:
    port = free_port()
    server = subprocess.Popen(
        [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def show(result: SlackResult, console: Console) -> None:
    """The figures as a table."""
    table = Table("Slack", "measured", "bar")
    rows = {
        f"acknowledged, {result.envelopes} envelopes at {result.per_second}/s, p50 / p99 / worst ms": (
            f"{result.ack_p50_ms} / {result.ack_p99_ms} / {result.ack_worst_ms}",
            f"p99 {LIMIT_MS:.0f}",
        ),
        "not acknowledged": (str(result.not_acknowledged), "0"),
        f"{result.burst} envelopes at once, worst ms": (str(result.burst_worst_ms), ""),
        f"{result.storm_deliveries} deliveries of {STORM_QUESTIONS} questions: answers / messages": (
            f"{result.storm_answers} / {result.storm_messages}",
            str(STORM_QUESTIONS),
        ),
        f"{result.reconnections} connections cut: ready again, worst s": (
            str(result.reconnect_worst_seconds),
            str(READY_LIMIT_SECONDS),
        ),
        "asked / answered between the cuts": (
            f"{result.asked_after_reconnecting} / {result.answered_after_reconnecting}",
            "all",
        ),
        "payloads that Slack's types or models refuse": (str(result.invalid_payloads), "0"),
    }
    for what, (measured, bar) in rows.items():
        table.add_row(what, measured, bar)
    console.print(table)


def main() -> None:
    """Measure and print; exits with 1 when a bar is missed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = arguments.parse_args()
    result = asyncio.run(measure())
    if chosen.json:
        print(json.dumps(asdict(result)))
    else:
        show(result, Console())
    raise SystemExit(0 if result.holds else 1)


if __name__ == "__main__":
    main()
