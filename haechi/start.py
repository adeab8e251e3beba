"""Starts the platform on one machine, step by step, and asks it one question: the story behind `haechi up`.

It prepares what the processes need (secrets, schema, intent model), lets the supervisor run them, waits until each one
truly answers, ingests documents through the service's own door, and shows an answer with its sources.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from bot.gateway.client import GatewayAnswer, GatewayError
from haechi.connection import Platform, is_listening, running_platform
from haechi.ingest import DocumentFolder, files_of, ingest_folders
from haechi.later import later
from haechi.secrets import ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from haechi.supervisor import PROJECT
from haechi.texts import sentence
from llm_service.client import ServiceError
from llm_service.settings import load_settings

console_settings, logins = later("admin.settings"), later("admin.logins")
POLL_SECONDS = 0.1
STAGES = ("mask", "route", "retrieve", "answer")
STOP_SECONDS = 15.0
KEPT_LOGS = 5
STREAMS_DATABASE = 0
TRACKER_DATABASE = 1  # Rasa's conversations, apart from our keys


class StartFailed(Exception):
    """The platform did not come up; the message says which part and where its log is."""


@dataclass(frozen=True)
class Plan:
    """What this machine can start: the processes of the Procfile, and the interpreter for Rasa if there is one."""

    processes: tuple[str, ...]
    rasa_python: str | None
    environment: Mapping[str, str]
    log: Path


@dataclass(frozen=True)
class Start:
    """A platform that is coming up: its supervisor, its plan, and the moment after which it is given up."""

    supervisor: subprocess.Popen[bytes]
    plan: Plan
    deadline: float

    async def wait_until(self, part: str, is_ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a part says it is ready. Raises `StartFailed` when a process ends or time is up."""
        while time.monotonic() < self.deadline:
            if self.supervisor.poll() is not None:
                raise StartFailed(f"a process ended while {part} was starting; see {self.plan.log}")
            if await is_ready():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise StartFailed(f"{part} was not ready in time; see {self.plan.log}")


async def start_and_ask(
    settings: PlatformSettings, folders: list[str], *, once: bool, console: Console
) -> GatewayAnswer:
    """Start everything, ingest, ask one question and show its answer; then stay until a signal, or stop if `once`.

    Raises `StartFailed` when a part does not come up, and `CommandFailed` for a folder that is not there.
    """
    began = time.monotonic()
    chosen = _folders(folders)
    refuse_if_running(settings)
    plan = plan_start(settings)
    if plan.rasa_python is None:
        console.print(sentence("start_without_rasa"), style="bold yellow", markup=False)
    with console.status(sentence("start_preparing", step="")) as progress:
        prepare(plan, lambda step: progress.update(sentence("start_preparing", step=step)))
    await _show_first_password(console)
    with running(plan) as supervisor:
        start = Start(supervisor, plan, time.monotonic() + settings.start_timeout_seconds)
        async with running_platform(settings) as found:
            with console.status("llm_service"):
                await start.wait_until("llm_service", lambda: _is_ready(found.llm_service.ready))
            limit = load_settings().maximum_document_bytes
            await ingest_folders(found.llm_service, chosen, console, maximum_bytes=limit)
            answer = await _first_answer(found, start, console)
        console.print(sentence("start_took", seconds=time.monotonic() - began), style="dim")
        if not once:
            await _stay(settings, supervisor, plan, console)
    return answer


async def _show_first_password(console: Console) -> None:
    """Where nobody can log in to the console yet, one account is made; its password is shown here and kept nowhere."""
    password = await logins.first_password(console_settings.load_settings())
    if password is not None:
        shown = sentence("start_first_password", login=logins.FIRST_LOGIN, password=password)
        console.print(shown, style="bold", markup=False, highlight=False, soft_wrap=True)


async def _first_answer(found: Platform, start: Start, console: Console) -> GatewayAnswer:
    with console.status("gateway, Rasa"):
        await start.wait_until("the gateway", lambda: _is_ready(found.gateway.ready))
    question = sentence("first_question")
    answer = await found.gateway.ask(question, audience="staff", as_of=None)
    show_answer(console, question, answer)
    return answer


async def _stay(settings: PlatformSettings, supervisor: subprocess.Popen[bytes], plan: Plan, console: Console) -> None:
    console.print()
    console.print(sentence("start_web_page", url=settings.gateway_url))
    console.print(sentence("start_console", url=settings.console_url))
    console.print(sentence("start_log", log=plan.log))
    console.print(sentence("start_how_to_stop"))
    while supervisor.poll() is None:
        await asyncio.sleep(POLL_SECONDS)
    raise StartFailed(f"a process ended (status {supervisor.returncode}); see {plan.log}")


def _folders(named: list[str]) -> list[DocumentFolder]:
    chosen = [DocumentFolder(PROJECT / "samples"), *(DocumentFolder.parse(folder) for folder in named)]
    for folder in chosen:
        files_of(folder.path)  # now, and not after a minute of starting, a folder that is missing is said to be
    return chosen


def plan_start(settings: PlatformSettings) -> Plan:
    """Decide what to run. Without a Python 3.10 that has Rasa, the `rasa` process is left out."""
    home = settings.home.resolve()
    ensure_secrets(home)
    rasa_python = find_rasa_python(settings)
    processes: tuple[str, ...] = ("redis", "rasa", "actions", "llm_service", "gateway", "console")
    if rasa_python is None:
        processes = tuple(name for name in processes if name not in ("rasa", "actions"))
    if settings.workers:
        processes = (*processes, "worker", "trainer")
    return Plan(processes, rasa_python, _environment(settings, home, rasa_python), home / "logs" / "platform.log")


def find_rasa_python(settings: PlatformSettings) -> str | None:
    """The interpreter that has Rasa installed, or None."""
    candidate = Path(settings.rasa_python) if settings.rasa_python else PROJECT / ".venv-rasa" / "bin" / "python"
    return str(candidate) if candidate.exists() else None


def _environment(settings: PlatformSettings, home: Path, rasa_python: str | None) -> dict[str, str]:
    redis_url = f"redis://:{read_secret(home, 'haechi_redis_password')}@127.0.0.1:{settings.redis_port}"
    given = dict(os.environ)
    given.update(
        HAECHI_HOME=str(home),
        HAECHI_REDIS_URL=f"{redis_url}/{STREAMS_DATABASE}",
        HAECHI_RASA_TRACKER_URL=f"{redis_url}/{TRACKER_DATABASE}",
        HAECHI_LLM_SERVICE_URL=settings.llm_service_url,
        HAECHI_RASA_URL=f"http://127.0.0.1:{settings.rasa_port}" if rasa_python else "",
        HAECHI_ACTIONS_URL=f"http://127.0.0.1:{settings.actions_port}/actions",
        HAECHI_GATEWAY_HOST=settings.gateway_host,
        HAECHI_GATEWAY_PORT=str(settings.gateway_port),
        HAECHI_LLM_SERVICE_PORT=str(settings.llm_service_port),
        HAECHI_ACTIONS_PORT=str(settings.actions_port),
        HAECHI_CONSOLE_PORT=str(settings.console_port),
        HAECHI_CONSOLE_URL=settings.console_url,
        HAECHI_RASA_PORT=str(settings.rasa_port),
        HAECHI_REDIS_PORT=str(settings.redis_port),
        PATH=f"{Path(sys.executable).parent}:{given.get('PATH', '')}",
        # One thread per process: on shared cores, numerical libraries that each take every core slow one another down.
        OMP_NUM_THREADS="1",
    )
    if rasa_python:
        given["HAECHI_RASA_PYTHON"] = rasa_python
    return given


def refuse_if_running(settings: PlatformSettings) -> None:
    """Raises `StartFailed` when one of our ports is taken: another platform runs, or another program."""
    ports = (settings.gateway_port, settings.llm_service_port, settings.actions_port, settings.rasa_port)
    for port in (*ports, settings.console_port, settings.redis_port):
        if is_listening(port):
            raise StartFailed(
                f"port {port} of this machine is taken. Is the platform running already (`haechi status`)? "
                "Stop it, or choose other ports with HAECHI_*_PORT; see docs/settings.md"
            )


def prepare(plan: Plan, say: Callable[[str], None]) -> None:
    """Begin a new log, bring the schema up to date, and train the intents if their data changed."""
    set_aside(plan.log)
    say("schema")
    _run([sys.executable, "-m", "llm_service.store.migrate"], plan, "the database schema")
    if plan.rasa_python:
        say("intents")
        _run([plan.rasa_python, "-m", "bot.rasa.train"], plan, "the training of the intents")


def set_aside(log: Path) -> None:
    """Move the log of an earlier start away, as LOG.1, and the older ones one further; `KEPT_LOGS` of them are kept."""
    log.parent.mkdir(parents=True, exist_ok=True)
    names = [log, *(log.with_name(f"{log.name}.{age}") for age in range(1, KEPT_LOGS + 1))]
    for younger, older in reversed(list(pairwise(names))):
        if younger.exists():
            younger.replace(older)


def _run(command: list[str], plan: Plan, what: str) -> None:
    with plan.log.open("a", encoding="utf-8") as log:
        done = subprocess.run(command, cwd=PROJECT, env=dict(plan.environment), stdout=log, stderr=log, check=False)
    if done.returncode != 0:
        raise StartFailed(f"{what} failed with status {done.returncode}; see {plan.log}")


@contextmanager
def running(plan: Plan) -> Iterator[subprocess.Popen[bytes]]:
    """The platform's processes under their supervisor; leaving the block stops every one of them."""
    command = [sys.executable, "-m", "haechi.supervisor", str(plan.log), *plan.processes]
    supervisor = subprocess.Popen(command, cwd=PROJECT, env=dict(plan.environment), start_new_session=True)
    try:
        yield supervisor
    finally:
        stop(supervisor)


def stop(supervisor: subprocess.Popen[bytes]) -> None:
    """End the supervisor, which ends its processes; kill the whole group if that takes too long."""
    if supervisor.poll() is None:
        supervisor.send_signal(signal.SIGTERM)
        try:
            supervisor.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(supervisor.pid, signal.SIGKILL)
            supervisor.wait(STOP_SECONDS)


async def _is_ready(service: Callable[[], Awaitable[dict[str, Any]]]) -> bool:
    try:
        return bool((await service()).get("ready"))
    except (ServiceError, GatewayError):
        return False


def show_answer(console: Console, question: str, answer: GatewayAnswer) -> None:
    """The question, its cited answer, and what each stage took."""

    def say(line: str, style: str | None = None) -> None:
        # soft_wrap leaves lines whole: an answer is often copied; markup would take [1] for a style.
        console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)

    say("\n" + sentence("start_question", question=question), "bold")
    say(answer.answer)
    for source in answer.sources:
        say(f"  [{source.number}] {source.label}")
    say("  ".join(f"{stage} {answer.timings[stage]:.1f} ms" for stage in STAGES if stage in answer.timings), "dim")
