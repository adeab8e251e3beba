"""The stage of the learning loop: a platform of its own with its workers, and two real replicas of the tiny Mistral.

Everything lies in one folder and ends with the block. Knows no question and no fact.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from haechi.connection import Platform, running_platform
from haechi.settings import PlatformSettings
from haechi.start import Plan, Start, plan_start, prepare, running
from haechi.supervisor import PROJECT, end_with_the_parent
from trainer.gate import RULES_FILE

BASE: Final = "tiny"
PROCESSES: Final = ("redis", "llm_service", "gateway", "worker", "trainer")
PORTS: Final = ("gateway_port", "llm_service_port", "actions_port", "console_port", "rasa_port", "redis_port")
REPLICAS: Final = 2
START_SECONDS: Final = 300
STOP_SECONDS: Final = 15


@dataclass(frozen=True)
class Scene:
    """A running platform, the addresses of its model servers, and the folders of what is learnt."""

    home: Path
    platform: Platform
    replicas: tuple[str, ...]

    @property
    def learning(self) -> Path:
        return self.home / "learning"

    @property
    def evaluation_set(self) -> Path:
        return self.learning / "evaluation" / "gate"

    @property
    def gate_rules(self) -> Path:
        return self.learning / RULES_FILE

    def run_directory(self, run_id: str) -> Path:
        return self.learning / "runs" / run_id


def tiny_base(models: Path) -> Path:
    """The tiny base below a folder, built there at the first time: minutes of one core."""
    built = subprocess.run(
        [sys.executable, "-m", "trainer.tiny_base", str(models)],
        cwd=PROJECT,
        env=_quiet_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return Path(built.stdout.strip()).resolve()


@asynccontextmanager
async def scene(home: Path, base: Path) -> AsyncIterator[Scene]:
    """Start all of it in a folder of its own; leaving the block stops every process.

    Raises `StartFailed` when a part does not come up.
    """
    home.mkdir(parents=True, mode=0o700)
    bases = home / "learning" / "bases"
    bases.mkdir(parents=True)
    (bases / BASE).symlink_to(base, target_is_directory=True)
    with _replicas(base) as addresses:
        ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        settings = PlatformSettings(home=home).model_copy(update=ports)
        plan = _plan(settings, base, addresses)
        prepare(plan, lambda _step: None)
        with running(plan) as supervisor:
            start = Start(supervisor, plan, time.monotonic() + START_SECONDS)
            async with running_platform(settings) as found:
                for part, address in _doors(settings, addresses):
                    await start.wait_until(part, partial(_is_ready, address))
                yield Scene(home, found, addresses)


def _plan(settings: PlatformSettings, base: Path, addresses: Sequence[str]) -> Plan:
    """The platform without Rasa: every question goes to the documents, which is what is shown here."""
    plan = plan_start(settings)
    # What this shell has set for another platform, its database for one, is none of this one's business.
    foreign = {name for name, value in os.environ.items() if plan.environment.get(name) == value}
    environment = {
        **{name: value for name, value in plan.environment.items() if not _is_ours(name) or name not in foreign},
        "HAECHI_RASA_URL": "",
        "HAECHI_ENGINE": "devserver",
        "HAECHI_ENGINE_URLS": ",".join(addresses),
        "HAECHI_ENGINE_ANSWER_TOKENS": "48",
        "HAECHI_TOKENIZER": str(base / "tokenizer.json"),
        "HAECHI_PASSAGES_PER_ANSWER": "1",
        "HAECHI_DEVICE": "cpu",
        "HF_HUB_OFFLINE": "1",
    }
    return replace(plan, processes=PROCESSES, rasa_python=None, environment=environment)


def _is_ours(variable: str) -> bool:
    return variable.startswith("HAECHI_")


@contextmanager
def _replicas(base: Path) -> Iterator[tuple[str, ...]]:
    ports = _free_ports(REPLICAS)
    command = [sys.executable, "-m", "llm_service.engines.devserver", "--base", str(base), "--port"]
    started = [
        subprocess.Popen(
            [*command, str(port)],
            cwd=PROJECT,
            env=_quiet_environment(),
            stderr=subprocess.DEVNULL,
            # None is left behind, however this process ends.
            preexec_fn=end_with_the_parent,  # noqa: PLW1509
        )
        for port in ports
    ]
    try:
        yield tuple(f"http://127.0.0.1:{port}" for port in ports)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)


def _doors(settings: PlatformSettings, replicas: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What has to answer before the story begins, each with the address that says so."""
    for number, address in enumerate(replicas, start=1):
        yield f"model server {number}", f"{address}/health"
    yield "llm_service", f"{settings.llm_service_url}/health/ready"
    yield "the gateway", f"{settings.gateway_url}/health/ready"


async def _is_ready(address: str) -> bool:
    async with httpx.AsyncClient(trust_env=False) as asking:
        try:
            return (await asking.get(address)).is_success
        except httpx.TransportError:
            return False


def _quiet_environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def _free_ports(count: int) -> list[int]:
    """Ports of the loopback address that are free now; held together, so that no two are the same."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
