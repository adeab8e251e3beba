"""What stands in front of a model server: many answers streaming at once through gateway and llm_service.

The engine is the development server's scripted mode, whose clock is known, so that whatever comes on top is ours. A
sentence is shown when it is whole and checked, never word by word: what is added to the engine's own time is therefore
measured from its first whole statement to the reader's first token. That a statement is whole is known by the engine's
next word; the wait for it is told apart, since it is the engine's pace and not work.

All processes are started here, in a directory of their own, and they, the engine and what asks share at most two cores,
so the CPU of each is told: what the engine and what asks use is missing to ours, and the milliseconds are an upper
bound. Streams are long, so 200 of them at once are 200 divided by an answer's seconds begun in every second; 200 begun
in one instant are another figure, the burst, and told apart.

The same load then goes through a plain LangChain service (`langchain_service.py`), where `.setup/baselines` is there
(`bin/baselines` makes it): it shows every piece at once, and its first whole statement is what is compared.
`make bench-serving` runs it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.serving_load import Asked, Dropped, Load, Measurement, Result, free_ports, process
from bot.gateway.client import GatewayAnswer, GatewayClient, GatewayError
from haechi.secrets import ensure_secrets, read_secret
from llm_service.client import LlmServiceClient
from llm_service.connections import StreamingTransport

CORES = 2
BASELINE_PYTHON = Path(".setup/baselines/bin/python")
QUESTION = "든든정기예금 중도해지이율은 얼마인가요?"
LINES = [f"가입 {month}개월째 해지하면 중도해지이율 연 0.{month:02d}%를 적용합니다." for month in range(1, 9)]
DOCUMENT = "# 해치 든든정기예금\n\n## 중도해지이율\n" + "\n".join(f"{line}\n" for line in LINES)
CITED = "[1]"


def main() -> None:
    """Measure, print, and end with status 1 if an answer of ours was dropped."""
    arguments = _arguments()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    with tempfile.TemporaryDirectory(prefix="haechi-bench-serving-") as directory, ExitStack() as stack:
        home = Path(directory)
        (port,) = free_ports(1)
        engine = f"http://127.0.0.1:{port}"
        scripted = ("--port", str(port), "--scripted", str(arguments.tokens_per_second))
        pid = stack.enter_context(
            process(_environment(home), "llm_service.engines.devserver", *scripted, health=f"{engine}/health")
        )
        processes = {"engine": pid, "who asks": os.getpid()}
        results = {"haechi": _ours(home, engine, processes, arguments)}
        if BASELINE_PYTHON.is_file() and not arguments.ours_only:
            results["langchain"] = _langchain(home, engine, processes, arguments)
    if arguments.json:
        print(json.dumps({name: asdict(result) for name, result in results.items()}, ensure_ascii=False))
    else:
        Console().print(_table(results))
    sys.exit(1 if results["haechi"].dropped or results["haechi"].burst_dropped else 0)


def _ours(home: Path, engine: str, processes: dict[str, int], arguments: argparse.Namespace) -> Result:
    ensure_secrets(home)
    ports = free_ports(2)
    service, gateway = (f"http://127.0.0.1:{port}" for port in ports)
    environment = {
        **_environment(home),
        "HAECHI_ENGINE": "devserver",
        "HAECHI_ENGINE_URLS": engine,
        # The engine is never what is waited for: its own limit is another matter.
        "HAECHI_ENGINE_RUNNING_PER_SERVER": str(arguments.streams * 2),
        "HAECHI_LLM_SERVICE_PORT": str(ports[0]),
        "HAECHI_LLM_SERVICE_URL": service,
        "HAECHI_GATEWAY_PORT": str(ports[1]),
        "HAECHI_RASA_URL": "",
        "HAECHI_LOG_LEVEL": "WARNING",
    }
    subprocess.run([sys.executable, "-m", "llm_service.store.migrate"], env=environment, check=True)
    with (
        process(
            environment, "llm_service.app", health=f"{service}/health/ready", python=arguments.python
        ) as of_service,
        process(environment, "bot.gateway.app", health=f"{gateway}/health/live", python=arguments.python) as of_gateway,
    ):
        ours = {"llm_service": of_service, "gateway": of_gateway, **processes}
        token = read_secret(home, "haechi_service_token")
        return _run(_measure_ours(service, gateway, token, engine, ours, arguments))


async def _measure_ours(
    service: str, gateway: str, token: str, engine: str, processes: dict[str, int], arguments: argparse.Namespace
) -> Result:
    llm_service = LlmServiceClient(service, token)
    await llm_service.upload_document("예금/든든정기예금.md", DOCUMENT.encode(), ["staff"])
    await llm_service.close()
    asking = GatewayClient(gateway, token, StreamingTransport())

    async def ask() -> Asked:
        try:
            answer = await asking.ask(QUESTION, audience="staff")
        except GatewayError as error:
            raise Dropped(error.code) from None
        return Asked(answer.seen["first_token"], _statement_words(answer.answer), answer.state)

    first: GatewayAnswer = await asking.ask(QUESTION, audience="staff")
    seconds = first.timings["engine_total"] / 1000
    load = Load(arguments.streams, arguments.tokens_per_second, seconds, arguments.rounds)
    result = await Measurement(load, ask, processes, f"{engine}/metrics").run()
    await asking.close()
    return result


def _langchain(home: Path, engine: str, processes: dict[str, int], arguments: argparse.Namespace) -> Result:
    document = home / "document.md"
    document.write_text(DOCUMENT, encoding="utf-8")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    told = ("--document", str(document), "--engine", f"{engine}/v1", "--port", str(port))
    with process(
        _environment(home), "benchmarks.langchain_service", *told, health=f"{url}/health", python=str(BASELINE_PYTHON)
    ) as pid:
        return _run(_measure_langchain(url, engine, {"langchain": pid, **processes}, arguments))


async def _measure_langchain(url: str, engine: str, processes: dict[str, int], arguments: argparse.Namespace) -> Result:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60, limits=limits) as http:

        async def ask() -> Asked:
            try:
                return await _asked_of_langchain(http)
            except httpx.HTTPError as error:
                raise Dropped(type(error).__name__) from None

        began = time.perf_counter()
        await ask()
        seconds = time.perf_counter() - began
        load = Load(arguments.streams, arguments.tokens_per_second, seconds, arguments.rounds)
        return await Measurement(load, ask, processes, f"{engine}/metrics").run()


async def _asked_of_langchain(http: httpx.AsyncClient) -> Asked:
    began, text, first_statement = time.perf_counter(), "", 0.0
    async with http.stream("POST", "/ask", json={"question": QUESTION}) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                text += json.loads(line.removeprefix("data: "))
                if not first_statement and CITED in text:
                    first_statement = (time.perf_counter() - began) * 1000
    if not first_statement:
        raise Dropped("no_statement")
    return Asked(first_statement, _statement_words(text), "answered")


def _run(measuring: Coroutine[Any, Any, Result]) -> Result:
    # What asks shares the cores: it, too, on the loop that costs least.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measuring)


def _statement_words(answer: str) -> int:
    """Words of the engine's first statement, which its citation ends; the engine writes one a token."""
    return len(answer.partition(CITED)[0].split()) + 1


def _environment(home: Path) -> dict[str, str]:
    """Ours without the settings of whoever runs this; one thread for what computes."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HAECHI_")}
    return {**inherited, "HAECHI_HOME": str(home), "OMP_NUM_THREADS": "1"}


def _table(results: dict[str, Result]) -> Table:
    table = Table("", *results, title="Answers streaming at once; milliseconds, MB")
    told = {name: asdict(result) for name, result in results.items()}
    for field in next(iter(told.values())):
        table.add_row(field, *(_cell(of_service[field]) for of_service in told.values()))
    return table


def _cell(value: object) -> str:
    return "\n".join(f"{name} {of}" for name, of in value.items()) if isinstance(value, dict) else str(value)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=200, help="answers that stream at once")
    parser.add_argument("--tokens-per-second", type=float, default=4.0, help="pace of each answer of the engine")
    parser.add_argument("--rounds", type=int, default=2, help="questions measured, as a multiple of the streams")
    parser.add_argument("--python", default=sys.executable, help="what our two services run on")
    parser.add_argument("--ours-only", action="store_true", help="leave out the comparison")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
