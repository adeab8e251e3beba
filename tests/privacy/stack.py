"""The platform as its real processes, each in the test's hands: started, killed and started again one by one.

The commands are the Procfile's and the environment is the one `haechi up` makes; only what they write to goes to places
of the test: home, temporary files, output, and Rasa's conversations in Redis.
"""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis
from honcho.environ import parse_procfile

from bot.gateway.client import GatewayClient, GatewayError
from haechi.secrets import ensure_secrets, read_secret
from haechi.settings import PlatformSettings
from haechi.start import Plan, plan_start, prepare
from haechi.supervisor import PROJECT
from llm_service.client import LlmServiceClient, ServiceError
from tests.journeys.conftest import PORTS, free_ports
from tests.privacy.redis_places import keep_everything
from tests.privacy.search import Place

PARTS = ("redis", "rasa", "actions", "llm_service", "gateway")
READY_SECONDS = 120.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.1
COMMAND_SECONDS = 120.0
MANY_A_MINUTE = "100000"


@dataclass
class Stack:
    """A platform below one directory: `home` holds its data, `output` what its processes print."""

    directory: Path
    settings: PlatformSettings
    plan: Plan
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.settings.home

    @property
    def token(self) -> str:
        return read_secret(self.home, "haechi_service_token")

    @property
    def redis_url(self) -> str:
        return self.plan.environment["HAECHI_REDIS_URL"]

    def start(self, *names: str) -> None:
        """Start parts; what they print is appended to one file each."""
        commands = parse_procfile((PROJECT / "Procfile").read_text(encoding="utf-8")).processes
        for name in names:
            with (self.directory / "output" / name).open("ab") as output:
                self.processes[name] = subprocess.Popen(
                    f"exec {commands[name]}",
                    shell=True,
                    cwd=PROJECT,
                    env=dict(self.plan.environment),
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )

    def end(self, name: str, sent: signal.Signals = signal.SIGTERM) -> None:
        """Send one part a signal and wait until it is gone."""
        process = self.processes.pop(name)
        process.send_signal(sent)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(STOP_SECONDS)
            raise AssertionError(f"{name} did not stop when it was told to") from None

    def end_everything(self) -> None:
        for name in reversed(PARTS):
            if name in self.processes:
                self.end(name)

    def haechi(self, *arguments: str, lines: str = "") -> "subprocess.CompletedProcess[bytes]":
        """One `haechi` command beside the platform; what it prints is kept to be searched."""
        done = subprocess.run(
            [sys.executable, "-m", "haechi.cli", *arguments],
            cwd=PROJECT,
            env=dict(self.plan.environment),
            input=lines.encode(),
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        with (self.directory / "replies" / "commands").open("ab") as output:
            output.write(done.stdout + done.stderr)
        return done

    async def until_ready(self) -> None:
        """Wait until both services say that they work, Rasa included."""
        llm_service = LlmServiceClient(self.settings.llm_service_url, self.token)
        gateway = GatewayClient(self.settings.gateway_url, self.token)

        async def ready() -> bool:
            state = await gateway.ready()
            return bool((await llm_service.ready())["ready"]) and bool(state["ready"]) and not state["degraded"]

        try:
            await _until(ready, self)
        finally:
            await gateway.close()
            await llm_service.close()

    def start_redis(self) -> None:
        """Start Redis and switch on whatever it can keep."""
        self.start("redis")
        deadline = time.monotonic() + READY_SECONDS
        retry = redis.retry.Retry(redis.backoff.ConstantBackoff(POLL_SECONDS), int(READY_SECONDS / POLL_SECONDS))
        with redis.Redis.from_url(self.redis_url, retry=retry, retry_on_error=[redis.ConnectionError]) as server:
            server.ping()
        assert time.monotonic() < deadline
        keep_everything(self.redis_url)

    def open_files(self) -> Iterator[Path]:
        """Regular files that a part holds open for writing, wherever they lie (Linux: /proc)."""
        for process in self.processes.values():
            for descriptor in Path(f"/proc/{process.pid}/fd").iterdir():
                flags = int((descriptor.parent.parent / "fdinfo" / descriptor.name).read_text().split()[3], 8)
                path = descriptor.resolve()
                if flags & os.O_ACCMODE != os.O_RDONLY and path.is_file():
                    yield path

    def core_limits(self) -> dict[str, str]:
        """The largest core file each part may leave, as the kernel says it."""
        limits = {name: Path(f"/proc/{process.pid}/limits").read_text() for name, process in self.processes.items()}
        return {
            name: next(line for line in text.splitlines() if line.startswith("Max core file size")).split()[4]
            for name, text in limits.items()
        }

    def environments(self) -> Iterator[Place]:
        """Command lines and environments, which other users of a machine may see."""
        for name, process in self.processes.items():
            for what in ("cmdline", "environ"):
                yield Place(f"{what} of {name}", Path(f"/proc/{process.pid}/{what}").read_bytes(), is_log=True)


@asynccontextmanager
async def running_stack(directory: Path) -> AsyncIterator[Stack]:
    """A trained, started and ready platform; whatever still runs at the end is stopped."""
    stack = _prepared(directory)
    try:
        stack.start_redis()
        stack.start("actions", "rasa", "llm_service", "gateway")
        await stack.until_ready()
        yield stack
    finally:
        for process in stack.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(STOP_SECONDS)


def _prepared(directory: Path) -> Stack:
    ports = {f"{name.lower()}_port": port for name, port in zip(PORTS, free_ports(len(PORTS)), strict=True)}
    settings = PlatformSettings.model_validate({"home": directory / "home", **ports})
    for folder in ("output", "replies", "temporary", "user"):
        (directory / folder).mkdir(parents=True)
    ensure_secrets(settings.home)
    password = read_secret(settings.home, "haechi_redis_password")
    plan = plan_start(settings)
    environment = {
        **plan.environment,
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(directory / "temporary"),
        "HOME": str(directory / "user"),
        "HAECHI_RASA_TRACKER_URL": f"redis://:{password}@127.0.0.1:{settings.redis_port}/1",
        "HAECHI_QUESTIONS_PER_MINUTE_PER_USER": MANY_A_MINUTE,
        "HAECHI_QUESTIONS_AT_ONCE_PER_USER": MANY_A_MINUTE,
        "HAECHI_QUESTIONS_PER_DAY_PER_USER": MANY_A_MINUTE,
        "HAECHI_QUESTIONS_PER_MINUTE_PER_CHANNEL": MANY_A_MINUTE,
        "HAECHI_QUESTIONS_PER_MINUTE_PER_ADDRESS": MANY_A_MINUTE,
        "HAECHI_HANDOFF_HOURS": "mon-sun 00:00-24:00",
        "HAECHI_SESSIONS_PER_MINUTE_PER_ADDRESS": MANY_A_MINUTE,
    }
    stack = Stack(directory, settings, dataclasses.replace(plan, environment=environment))
    prepare(stack.plan, lambda _step: None)
    return stack


async def _until(ready: Callable[[], Awaitable[bool]], stack: Stack) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        ended = [name for name, process in stack.processes.items() if process.poll() is not None]
        assert not ended, f"{ended} ended while the platform was starting"
        try:
            if await ready():
                return
        except (ServiceError, GatewayError):
            pass
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError("the platform was not ready in time")
