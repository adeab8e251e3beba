"""Prints how long the console's pages and decisions take on 1,000,000 turns and 100,000 verdicts in PostgreSQL.

`make bench-console`: a cluster of its own, the rows of `console_rows`, llm_service and the console as processes, and
people who read and decide one after the other. A time is the server's: from the request to the whole reply, redirects
not followed. With `--data FOLDER` the rows are kept and used again.
"""

import argparse
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Final

import httpx
from sqlalchemy.orm import Session

from benchmarks.console_rows import fill
from benchmarks.postgres_cluster import cluster
from llm_service.store import console
from llm_service.store.control_models import HourCounting
from llm_service.store.migrate import upgrade
from llm_service.store.models import now
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions

ROUNDS: Final = 100
BAR_MILLISECONDS: Final = 150.0
START_SECONDS: Final = 90.0
LIVES: Final = console.Lifetimes(timedelta(minutes=60), timedelta(hours=8))
ROLES: Final = {"first": ["reviewer", "approver"], "second": ["approver"], "third": ["admin", "auditor", "agent"]}
SEARCHES: Final[tuple[dict[str, str], ...]] = (
    {"text": "예금자보호"},
    {"text": "금리인하요구권", "rating": "down"},
    {"text": "한번도 나오지 않는 말"},
    {"channel": "teams", "state": "refused"},
    {"text": "9972"},
)
FILTERS: Final = (
    "state=first_approved",
    "state=pending&kind=glossary",
    "state=proposed&audience=staff&tag=wrong_number",
    "state=approved",
    "state=rejected&state=approved",
)
QUEUE: Final = "state=proposed"
"""What the first person works on, so that each example is approved twice here."""
PERIODS: Final = ("24h", "7d", "30d")
ACTIONS: Final = ("review.read", "login.succeeded", "document.released", "review.first_approved")


@dataclass
class Timed:
    """Milliseconds by what was done."""

    milliseconds: dict[str, list[float]] = field(default_factory=dict)

    def keep(self, name: str, call: Callable[[], httpx.Response]) -> httpx.Response:
        """Do it and keep how long it took; anything but a page or a redirect ends the measurement."""
        began = perf_counter()
        response = call()
        self.milliseconds.setdefault(name, []).append((perf_counter() - began) * 1000)
        if response.status_code not in (200, 303):
            raise SystemExit(f"{name}: HTTP {response.status_code}")
        return response

    def tell(self) -> None:
        print(f"{'action':<22}{'calls':>6}{'p50 ms':>9}{'p95 ms':>9}{'max ms':>9}")
        for name, values in self.milliseconds.items():
            ordered = sorted(values)
            median, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)]
            flag = "" if high <= BAR_MILLISECONDS else f"  over {BAR_MILLISECONDS:.0f}"
            print(f"{name:<22}{len(ordered):>6}{median:>9.1f}{high:>9.1f}{ordered[-1]:>9.1f}{flag}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--data", type=Path, help="a folder for the cluster, kept")
    parser.add_argument("--seconds", type=float, default=900.0, help="stop after this time, with fewer rounds")
    parser.add_argument("--only-fill", action="store_true", help="make the rows and stop")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = arguments.data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.parent.chmod(0o755) if arguments.data is None else None
        is_filled = (folder / "filled").exists()
        database_url = stack.enter_context(cluster(folder / "cluster"))
        if not is_filled:
            began = monotonic()
            upgrade(open_database(database_url))
            fill(database_url, arguments.turns)
            (folder / "filled").touch()
            print(f"{arguments.turns:,} turns made in {monotonic() - began:.0f} s")
        upgrade(open_database(database_url))
        if not arguments.only_fill:
            began = monotonic()
            console_url, people = stack.enter_context(platform(folder, database_url))
            print(f"the services were ready after {monotonic() - began:.0f} s", flush=True)
            measure(console_url, people, arguments.rounds, arguments.seconds).tell()


@contextmanager
def platform(folder: Path, database_url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Both services as processes, and a login of each person."""
    ports = [_free_port() for _ in range(2)]
    environment = {
        **os.environ,
        "HAECHI_HOME": str(folder / "home"),
        "HAECHI_DATABASE_URL": database_url,
        "HAECHI_LLM_SERVICE_PORT": str(ports[0]),
        "HAECHI_LLM_SERVICE_URL": f"http://127.0.0.1:{ports[0]}",
        "HAECHI_CONSOLE_PORT": str(ports[1]),
        "HAECHI_CONSOLE_URL": f"http://127.0.0.1:{ports[1]}",
        "HAECHI_LOG_LEVEL": "WARNING",
        **{f"HAECHI_{name}": secrets.token_urlsafe(32) for name in ("SERVICE_TOKEN", "IDENTITY_KEY", "CONSOLE_KEY")},
        "HAECHI_MENTION_KEY": secrets.token_urlsafe(32),
        "HAECHI_VAULT_KEYS": "k1:" + "A" * 43 + "=",
    }
    (folder / "home").mkdir(exist_ok=True)
    processes = [
        subprocess.Popen([sys.executable, "-m", module], env=environment, stdout=subprocess.DEVNULL)
        for module in ("llm_service.app", "admin.app")
    ]
    try:
        url = f"http://127.0.0.1:{ports[1]}"
        _wait_until_ready(url)
        _wait_until_counted(database_url)
        yield url, _logins(database_url)
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()


def measure(url: str, people: dict[str, str], rounds: int, seconds: float) -> Timed:
    """Everything twice without keeping the times, then `rounds` times, or for `seconds`."""
    with ExitStack() as stack:
        browsers = {name: stack.enter_context(_browser(url, token)) for name, token in people.items()}
        Work(Timed(), browsers).everything(2, seconds)
        work = Work(Timed(), browsers)
        work.everything(rounds, seconds)
    return work.timed


class Work:
    """What people do all day, in the order in which they do it."""

    def __init__(self, timed: Timed, browsers: dict[str, httpx.Client]) -> None:
        self.timed = timed
        self._browsers = browsers

    def everything(self, rounds: int, seconds: float) -> None:
        ends = monotonic() + seconds
        for number in range(rounds):
            if monotonic() > ends:
                return
            self._read(number)
            self._decide(number)

    def _read(self, number: int) -> None:
        first, third = self._browsers["first"], self._browsers["third"]
        self.timed.keep("queue", lambda: first.get("/reviews"))
        self.timed.keep("filter", lambda: first.get(f"/reviews?{FILTERS[number % len(FILTERS)]}"))
        self.timed.keep("dashboard", lambda: first.get(f"/?period={PERIODS[number % len(PERIODS)]}"))
        found = self._post("conversation search", "third", "/conversations", SEARCHES[number % len(SEARCHES)]).text
        if place := re.search(r"/conversations/[0-9a-f]{32}", found):
            self.timed.keep("conversation", lambda: third.get(place[0]))
        self.timed.keep("audit", lambda: third.get("/audit"))
        self.timed.keep("audit of one action", lambda: third.get(f"/audit?action={ACTIONS[number % len(ACTIONS)]}"))
        self.timed.keep("audit further back", lambda: third.get(f"/audit?before={400_000 + number * 50}"))

    def _decide(self, number: int) -> None:
        taken = self._post("next", "first", "/reviews/next", {})
        item = taken.headers["location"].partition("?")[0]
        version = self._opened("first", item)
        match number % 4:
            case 0:
                self._post("reject", "first", f"{item}/reject", {"version": version, "reason": "outdated"})
                version = self._opened("second", item)
                self._post("undo", "second", f"{item}/reopen", {"version": version})
            case 1:
                words = {
                    "question": "예금자보호 한도는 얼마인가요?",
                    "answer": "1억원까지 보호됩니다. [1]",
                    "rubric": "partial",
                }
                self._post("edit", "first", f"{item}/propose", {"version": version, **words})
            case _:
                form = {"version": version, "rubric": "partial"}
                self._post("approve", "first", f"{item}/approve", form)
                version = self._opened("second", item)
                self._post("second approval", "second", f"{item}/approve", {"version": version, "rubric": "partial"})

    def _opened(self, person: str, item: str) -> str:
        page = self.timed.keep("open", lambda: self._browsers[person].get(item)).text
        found = re.search(r'name="version" value="(\d+)"', page)
        assert found, "the page of an item has its version"
        return found[1]

    def _post(self, name: str, person: str, path: str, form: dict[str, str]) -> httpx.Response:
        browser = self._browsers[person]
        return self.timed.keep(name, lambda: browser.post(path, data={"csrf": "csrf", "queue": QUEUE, **form}))


@contextmanager
def _browser(url: str, token: str) -> Iterator[httpx.Client]:
    headers = {"Sec-Fetch-Site": "same-origin"}
    with httpx.Client(
        base_url=url, cookies={"haechi_console": token}, headers=headers, trust_env=False, timeout=60
    ) as client:
        yield client


def _logins(database_url: str) -> dict[str, str]:
    """A new account of each kind of person, logged in."""
    database = open_database(database_url)
    tokens = {name: secrets.token_urlsafe(32) for name in ROLES}

    def add(session: Session) -> None:
        for name, roles in ROLES.items():
            login = f"{name}-{secrets.token_hex(4)}"
            account = console.add_local_account(session, "benchmark", login, name, "no password", roles)
            console.open_session(session, account.id, console.sha256_of(tokens[name]), "csrf", "full", LIVES)

    Transactions(database).run_blocking(add)
    database.dispose()
    return tokens


def _wait_until_ready(url: str) -> None:
    ends = monotonic() + START_SECONDS
    while monotonic() < ends:
        try:
            if httpx.get(f"{url}/health/ready", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        sleep(0.2)
    raise SystemExit("the services did not start; see their logs")


def _wait_until_counted(database_url: str) -> None:
    """The service counts the hours of the last month when it starts; a platform that runs has counted them."""
    database = open_database(database_url)
    ends = monotonic() + START_SECONDS
    while monotonic() < ends:
        with Session(database) as session:
            counting = session.get(HourCounting, 1)
        if counting is not None and counting.counted_until > now() - timedelta(hours=2):
            database.dispose()
            return
        sleep(0.5)
    raise SystemExit("the hours of the last month were not counted in time")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
