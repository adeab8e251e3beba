"""Development servers as processes of their own, and adapters for them that need no training."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from safetensors.numpy import save_file

from tests.ports import free_port

START_SECONDS = 180
STOP_SECONDS = 30
TINY_BASES = Path(".setup") / "tiny-base"


@dataclass(frozen=True)
class RunningDevserver:
    """A development server on a loopback port, and its process."""

    url: str
    process: "subprocess.Popen[bytes]"

    def metric(self, name: str) -> float:
        """The value of an unlabelled metric now."""
        told = httpx.get(f"{self.url}/metrics").text
        return next(float(line.rsplit(" ", 1)[1]) for line in told.splitlines() if line.startswith(f"{name} "))


@contextmanager
def run_devserver(*arguments: str, port: int | None = None) -> Iterator[RunningDevserver]:
    """Serves until the block ends; `arguments` are those of the command but for the port."""
    port = port or free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "llm_service.engines.devserver", "--port", str(port), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield RunningDevserver(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        finally:
            process.kill()


def build_tiny_base() -> Path:
    """The tiny base model, built in a process of its own at the first time and found after that.

    A second worker of the tests waits for the first one's build instead of building the same beside it.
    """
    TINY_BASES.mkdir(parents=True, exist_ok=True)
    with (TINY_BASES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run(
            [sys.executable, "-m", "trainer.tiny_base", str(TINY_BASES)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=True,
        )
    return Path(built.stdout.strip()).resolve()


def write_adapter(directory: Path, base: Path, seed: int, rank: int = 4, strength: float = 0.3) -> Path:
    """A LoRA of random weights, strong enough that its answers differ from the base's and from another seed's."""
    config = json.loads((base / "config.json").read_text("utf-8"))
    chance = np.random.default_rng(seed)
    width = config["hidden_size"]
    weights = {}
    for layer in range(config["num_hidden_layers"]):
        name = f"base_model.model.model.layers.{layer}.self_attn.o_proj"
        weights[f"{name}.lora_A.weight"] = chance.normal(0, strength, (rank, width)).astype(np.float32)
        weights[f"{name}.lora_B.weight"] = chance.normal(0, strength, (width, rank)).astype(np.float32)
    directory.mkdir(parents=True)
    save_file(weights, directory / "adapter_model.safetensors")
    described = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": rank,
        "lora_alpha": rank,
        "target_modules": ["o_proj"],
        "base_model_name_or_path": "tiny-mistral",
        "inference_mode": True,
    }
    (directory / "adapter_config.json").write_text(json.dumps(described), "utf-8")
    return directory


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", trust_env=False).is_success:
                return
        time.sleep(0.05)  # after a refusal as well: a server that is loading is not to be kept busy with being asked
    raise RuntimeError(f"the development server did not become ready, exit status {process.poll()}")
