"""Real parts for tests: a private PostgreSQL, a Redis server, the masker and analyser loaded once, the service itself.

A part that this machine lacks is skipped by name, never replaced by a mock.
"""

import asyncio
import base64
import logging
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import redis
import structlog
import uvicorn
from sqlalchemy import Engine
from xdist.scheduler import LoadScopeScheduling

from llm_service import wiring
from llm_service.answering.parts import Parts
from llm_service.app import create_app
from llm_service.client import LlmServiceClient
from llm_service.logs import configure_logging
from llm_service.settings import Settings
from llm_service.store.models import Base
from llm_service.store.session import open_database
from tests.devservers import build_tiny_base
from tests.ports import free_port

POSTGRES_PROGRAMS = Path("/usr/lib/postgresql")
SERVER_START_SECONDS = 30
SERVICE_TOKEN = "test-service-token-of-more-than-32-characters"
IDENTITY_KEY = "test-identity-key-of-more-than-32-characters"
MENTION_KEY = "test-mention-key-of-more-than-32-characters"
VAULT_KEYS = "k1:" + base64.b64encode(b"a vault key for tests, 32 bytes!").decode()
REDIS_PASSWORD = "test-redis-password"

# Several workers (`make test`): what shares a costly process stays with one worker; everything else goes by file.
TOGETHER = ("tests/bot/rasa/", "tests/e2e/", "tests/journeys/")
# What takes minutes is begun first, so that the workers end together.
LONGEST_FIRST = (
    "tests/journeys/test_demo_loop.py",
    "tests/privacy/",
    "tests/llm_service/adapters/",
    "tests/trainer/test_worker.py",
    "tests/contracts/test_model_server.py",
    "tests/journeys/",
    "tests/admin/",
    "tests/bot/rasa/",
    "tests/e2e/",
)

MakeSettings = Callable[..., Settings]


@dataclass(frozen=True)
class PostgresServer:
    """A cluster of its own on a socket in a temporary directory."""

    directory: Path

    def url(self, database: str) -> str:
        return f"postgresql://haechi@/{database}?host={self.directory}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@dataclass(frozen=True)
class RunningService:
    """The service listening on a loopback port, its parts, its log lines, and a client that holds the token."""

    url: str
    parts: Parts
    client: LlmServiceClient
    database: Engine
    logs: StringIO


def pytest_configure() -> None:
    """A shell starts what runs in the background with SIGINT ignored, and children inherit it; tests interrupt them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first."""
    order = {prefix: place for place, prefix in enumerate(LONGEST_FIRST)}
    items.sort(
        key=lambda item: next((place for prefix, place in order.items() if item.nodeid.startswith(prefix)), len(order))
    )


class OneWorkerPerFile(LoadScopeScheduling):
    """Hands out whole files, and whole folders where files share a costly process."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", maxsplit=1)[0]
        if path == LONGEST_FIRST[0]:
            return path
        return next((folder for folder in TOGETHER if path.startswith(folder)), path)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> OneWorkerPerFile:
    return OneWorkerPerFile(config, log)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A private cluster without durability; PostgreSQL refuses to run as root, so root lends it to user postgres."""
    programs = sorted(POSTGRES_PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name))
    if not programs:
        pytest.skip("PostgreSQL's server programs are missing: apt-get install postgresql")
    owner = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    directory = Path(tempfile.mkdtemp(prefix="haechi-postgres-"))
    shutil.chown(directory, owner)
    data = directory / "data"

    def run(program: str, *arguments: str) -> None:
        # The server keeps whatever output it inherits open, so it is given none.
        subprocess.run(
            [programs[-1] / program, *arguments],
            user=owner if os.geteuid() == 0 else None,
            cwd=directory,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            timeout=SERVER_START_SECONDS * 2,
        )

    run("initdb", "-D", str(data), "-U", "haechi", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
    options = f"-c listen_addresses= -k {directory} -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    run("pg_ctl", "-D", str(data), "-w", "-t", str(SERVER_START_SECONDS), "-o", options, "start")
    try:
        yield PostgresServer(directory)
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(directory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a Redis server process with a password, on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is missing: apt-get install redis-server")
    port = free_port()
    process = subprocess.Popen(
        [program, "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    directory = tmp_path_factory.mktemp("redis")
    lines = (f"port {port}", "bind 127.0.0.1", f"requirepass {REDIS_PASSWORD}", 'save ""', f"dir {directory}")
    assert process.stdin is not None
    process.stdin.write("\n".join(lines).encode())
    process.stdin.close()
    url = f"redis://:{REDIS_PASSWORD}@127.0.0.1:{port}/0"
    try:
        _wait_for_redis(url)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def tiny_base() -> Path:
    """Directory of the tiny Mistral; building it takes minutes at the first time, kept under .setup/tiny-base."""
    return build_tiny_base()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The Redis server, emptied."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def sqlite_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite file with the schema, to be copied."""
    path = tmp_path_factory.mktemp("schema") / "haechi.db"
    _add_schema(f"sqlite:///{path}")
    assert [file.name for file in path.parent.iterdir()] == [path.name], "what is in a write-ahead log is not copied"
    return path


@pytest.fixture(scope="session")
def postgres_schema(postgres_server: PostgresServer) -> str:
    """Name of an empty database with the schema, to be a template: fifty tables are copied faster than made."""
    postgres_server.execute("CREATE DATABASE schema_of_tests")
    _add_schema(postgres_server.url("schema_of_tests"))
    return "schema_of_tests"


@pytest.fixture
def sqlite_url(sqlite_schema: Path, tmp_path: Path) -> str:
    """An empty SQLite file with the schema."""
    return f"sqlite:///{shutil.copyfile(sqlite_schema, tmp_path / 'haechi.db')}"


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database with the schema: a SQLite file, and a database of the PostgreSQL server."""
    if request.param == "sqlite":
        yield request.getfixturevalue("sqlite_url")
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    template: str = request.getfixturevalue("postgres_schema")
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def make_settings(database_url: str, tmp_path: Path) -> MakeSettings:
    """Settings of one test's service; keywords change single ones."""

    def make(**changes: object) -> Settings:
        defaults: dict[str, object] = {
            "home": tmp_path,
            "database_url": database_url,
            "service_token": SERVICE_TOKEN,
            "identity_key": IDENTITY_KEY,
            "mention_key": MENTION_KEY,
            "vault_keys": VAULT_KEYS,
            "shutdown_grace_seconds": 0,
        }
        return Settings(**{**defaults, **changes})  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def analysers() -> wiring.Analysers:
    """The real masker and the real Korean analysis; they take seconds to load, so they are loaded once."""
    return wiring.load_analysers()


@pytest.fixture
def run_service() -> Callable[..., AbstractAsyncContextManager[RunningService]]:
    """Runs the application under uvicorn on a free loopback port until the block ends."""
    return _run_service


@pytest.fixture
async def service(make_settings: MakeSettings, analysers: wiring.Analysers) -> AsyncIterator[RunningService]:
    """The service with default settings and nothing ingested."""
    async with _run_service(make_settings(), analysers) as running:
        yield running


@asynccontextmanager
async def _run_service(settings: Settings, analysers: wiring.Analysers) -> AsyncIterator[RunningService]:
    with _product_logging() as logs:
        async with _served(settings, analysers, logs) as running:
            yield running


@asynccontextmanager
async def _served(settings: Settings, analysers: wiring.Analysers, logs: StringIO) -> AsyncIterator[RunningService]:
    app = create_app(settings, lambda: wiring.open_parts(settings, analysers))
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = _LoopServer(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        if serving.done():
            await serving
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    client = LlmServiceClient(url, SERVICE_TOKEN)
    database = open_database(settings.resolved_database_url)
    try:
        yield RunningService(url, app.state.parts, client, database, logs)
    finally:
        await client.close()
        database.dispose()
        server.should_exit = True
        await serving


@contextmanager
def _product_logging() -> Iterator[StringIO]:
    """Logs as the product writes them, into a buffer; pytest's own handlers come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logs = StringIO()
    configure_logging("llm_service", stream=logs)
    try:
        yield logs
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
        logging.captureWarnings(False)
        structlog.reset_defaults()


class _LoopServer(uvicorn.Server):
    """uvicorn inside the test's own loop: signals stay pytest's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _add_schema(url: str) -> None:
    engine = open_database(url)
    Base.metadata.create_all(engine)
    engine.dispose()


def _wait_for_redis(url: str) -> None:
    # redis-py itself waits between attempts; refused connections are all that is retried.
    retry = redis.retry.Retry(redis.backoff.ConstantBackoff(0.05), SERVER_START_SECONDS * 20)
    with redis.Redis.from_url(url, retry=retry, retry_on_error=[redis.ConnectionError]) as client:
        client.ping()
