"""One platform for the whole of these tests on each database: starting it takes seconds.

Tests ask only for what they made. A file whose tests do not touch the records says `ON_SQLITE_ALONE = True`.
"""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, sync_playwright

from llm_service import wiring
from tests.admin.platform import Platform, running_platform
from tests.conftest import PostgresServer
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, chromium_path

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "platform" in metafunc.fixturenames:
        others = [] if getattr(metafunc.module, "ON_SQLITE_ALONE", False) else [POSTGRES]
        metafunc.parametrize("platform", ["sqlite", *others], indirect=True, scope="session")


@pytest.fixture(scope="session")
def platform(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, analysers: wiring.Analysers
) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("console")
    if request.param == "sqlite":
        with running_platform(home, analysers) as running:
            yield running
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = f"console_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name}")
    with running_platform(home, analysers, server.url(name)) as running:
        yield running
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one file: while Playwright is there its event loop runs, and no asynchronous test of another file could."""
    executable = chromium_path()
    if executable is None:
        pytest.skip("NO BROWSER TEST RUNS: chromium is missing; apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()
