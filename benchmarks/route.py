"""Prints how well and how fast questions are routed: `make bench-route`. Needs the Rasa environment.

Trains into a directory of its own if the sources changed, then measures the model, and a real server with its action
server: memory, and turns a second at 1 and 8 conversations. Half of the turns run through the loan form.
"""

import json
import os
import secrets
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx

PROJECT: Final = Path(__file__).resolve().parents[1]
HELD_OUT: Final = PROJECT / "tests" / "bot" / "rasa" / "heldout.jsonl"
START_SECONDS: Final = 90
CONVERSATIONS: Final = 60
CONCURRENCIES: Final = (1, 8)
SAID: Final = (
    "안녕하세요",
    "예금자보호 한도가 얼마인가요",
    "영업시간 알려주세요",
    "대출 계산해줘",
    "3천만원",
    "5년",
    "4.5%",
    "답변이 정확해요",
)


def main() -> None:
    python = os.environ.get("HAECHI_RASA_PYTHON") or str(PROJECT / ".venv-rasa" / "bin" / "python")
    if not Path(python).exists():
        sys.exit(f"There is no Rasa environment at {python}; run `make setup`")
    environment = os.environ | {
        "HAECHI_HOME": str(PROJECT / ".setup" / "bench-route"),
        "HAECHI_RASA_PORT": str(_free_port()),
        "HAECHI_ACTIONS_PORT": (actions_port := str(_free_port())),
        "HAECHI_ACTIONS_URL": f"http://127.0.0.1:{actions_port}/actions",
        "HAECHI_RASA_TOKEN": secrets.token_urlsafe(),
        "HAECHI_SERVICE_TOKEN": secrets.token_urlsafe(),
    }
    subprocess.run([python, "-m", "bot.rasa.train"], cwd=PROJECT, env=environment, check=True, capture_output=True)
    _print_quality(_evaluate(python, environment))
    _print_speed(python, environment)


def _evaluate(python: str, environment: dict[str, str]) -> dict[str, Any]:
    command = [python, "-W", "ignore", "-m", "bot.rasa.evaluate", str(HELD_OUT)]
    done = subprocess.run(command, cwd=PROJECT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _print_quality(measured: dict[str, Any]) -> None:
    print(f"held-out utterances        {measured['utterances']}, of them fallbacks {measured['fallbacks']}")
    print(f"macro-F1, held out         {measured['macro_f1']:.3f}   (as served, fallback included)")
    print(
        f"macro-F1, 5-fold CV        {measured['cv_macro_f1']:.3f} ± {measured['cv_spread']:.3f}"
        f"   ({measured['training_utterances']} training utterances)"
    )
    print(f"NLU, CPU ms an utterance   p50 {measured['nlu_cpu_ms_p50']:.2f}, p95 {measured['nlu_cpu_ms_p95']:.2f}")


def _print_speed(python: str, environment: dict[str, str]) -> None:
    actions = [sys.executable, "-m", "bot.actions.app"]
    # One event loop and one numerical thread: the figure is one core's.
    rasa = [python, "-m", "bot.rasa.serve"]
    one_core = environment | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with _running(actions, environment), _running(rasa, one_core) as server:
        base_url = f"http://127.0.0.1:{environment['HAECHI_RASA_PORT']}"
        headers = {"Authorization": f"Bearer {environment['HAECHI_RASA_TOKEN']}"}
        with httpx.Client(base_url=base_url, headers=headers, timeout=30, trust_env=False) as client:
            _wait_until_ready(client)
            for concurrency in CONCURRENCIES:
                _print_turns(client, server.pid, concurrency)
            print(f"server memory              {_resident_mib(server.pid):.0f} MiB resident")


def _print_turns(client: httpx.Client, process_id: int, concurrency: int) -> None:
    cpu_before, started = _cpu_seconds(process_id), time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        rounds = list(pool.map(lambda _: _converse(client), range(CONVERSATIONS)))
    elapsed, cpu = time.perf_counter() - started, _cpu_seconds(process_id) - cpu_before
    milliseconds = sorted(turn * 1000 for turns in rounds for turn in turns)
    centiles = statistics.quantiles(milliseconds, n=100)
    print(
        f"turns, {concurrency} at once            {len(milliseconds) / elapsed:.0f}/s, p50 {centiles[49]:.1f} ms,"
        f" p95 {centiles[94]:.1f} ms, CPU {cpu / len(milliseconds) * 1000:.1f} ms a turn:"
        f" {len(milliseconds) / cpu:.0f} turns a core's second"
    )


def _converse(client: httpx.Client) -> list[float]:
    """Seconds of each turn of one conversation. Raises AssertionError on a turn without a reply."""
    name, seconds = uuid4().hex, []
    for text in SAID:
        started = time.perf_counter()
        response = client.post("/webhooks/guarded/webhook", json={"conversation": name, "text": text, "locale": "ko"})
        seconds.append(time.perf_counter() - started)
        assert response.status_code == httpx.codes.OK
        assert response.json()["messages"]
    return seconds


@contextmanager
def _running(command: list[str], environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.get("/webhooks/guarded/health").status_code == httpx.codes.OK:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    sys.exit("Rasa did not become ready")


def _resident_mib(process_id: int) -> float:
    status = Path(f"/proc/{process_id}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024


def _cpu_seconds(process_id: int) -> float:
    fields = Path(f"/proc/{process_id}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
