"""A browser on the widget page: Debian's chromium, driven by Playwright, against a platform.

The platform is `HAECHI_E2E_URL` where that is set (the real stack), else the real gateway before stand-ins.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, sync_playwright

from bot.gateway.app import create_app
from bot.gateway.settings import GatewaySettings
from tests.bot.gateway.stand_ins import RASA_TOKEN, SERVICE_TOKEN, LlmServiceStandIn, RasaStandIn, served
from tests.e2e.scripted import Platform, platform

CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP = ViewportSize(width=1280, height=860)
TOKEN_PACE_SECONDS = 0.03
VIOLATIONS_SCRIPT = """
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def chromium_path() -> str | None:
    """`$HAECHI_CHROMIUM`, else Debian's chromium; None where there is neither."""
    return os.environ.get("HAECHI_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def llm_service() -> LlmServiceStandIn:
    return LlmServiceStandIn(pace_seconds=TOKEN_PACE_SECONDS)


@pytest.fixture(scope="module")
def stands_in() -> bool:
    """Whether the platform under test is the gateway before stand-ins, whose answers are known word by word."""
    return "HAECHI_E2E_URL" not in os.environ


@pytest.fixture(scope="module")
def platform_url(llm_service: LlmServiceStandIn, stands_in: bool) -> Iterator[str]:
    if not stands_in:
        yield os.environ["HAECHI_E2E_URL"]
        return
    with served(llm_service.app()) as llm_service_url, served(RasaStandIn().app()) as rasa_url:
        settings = GatewaySettings(
            llm_service_url=llm_service_url,
            rasa_url=rasa_url,
            rasa_token=RASA_TOKEN,
            service_token=SERVICE_TOKEN,
            session_secret="a secret that signs the sessions of the tests",
            sessions_per_minute_per_address=1000,
            questions_per_minute_per_address=1000,
        )
        with served(create_app(settings)) as url:
            yield url


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One chromium for every test of a file, each in a context of its own.

    While Playwright is there its event loop runs, and no asynchronous test of another file could.
    """
    executable = chromium_path()
    if executable is None:
        pytest.skip("NO BROWSER TEST RUNS: chromium is missing; apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def scripted() -> Iterator[Platform]:
    """A gateway that answers as a test writes it, and a bank's site that carries the chat."""
    with platform() as running:
        yield running


@pytest.fixture
def site(browser: Browser, scripted: Platform) -> Iterator[Page]:
    """The bank's page, its chat pointed at the gateway of another origin and open. No complaint passes unseen."""
    context = browser.new_context(viewport=DESKTOP, locale="ko-KR", reduced_motion="reduce", color_scheme="light")
    context.set_default_timeout(15_000)
    context.add_init_script(VIOLATIONS_SCRIPT)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_chat(page, scripted)
    yield page
    complaints += page.evaluate("window.violations")
    context.close()
    assert complaints == []


def open_chat(page: Page, scripted: Platform) -> None:
    """Loads the bank's page and opens the chat there."""
    page.goto(scripted.site)
    page.wait_for_selector("html[data-ready]")
    page.locator(".launcher").click()
    page.locator("#question").wait_for()


@pytest.fixture
def context(browser: Browser, platform_url: str) -> Iterator[BrowserContext]:
    context = browser.new_context(
        base_url=platform_url, viewport=DESKTOP, locale="ko-KR", reduced_motion="reduce", color_scheme="light"
    )
    context.set_default_timeout(15_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """The widget page, ready to be asked; anything it complains about on its console fails the test."""
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto("/")
    page.wait_for_selector("html[data-ready]")
    yield page
    assert complaints == []


def _is_complaint(message: ConsoleMessage) -> bool:
    # Chromium reports every refused request as an error of its own; what the page makes of it is tested by name.
    return message.type == "error" and not message.text.startswith("Failed to load resource")


@pytest.fixture(scope="session")
def screenshot_path(pytestconfig: pytest.Config) -> Path | None:
    """Where to write the picture of the widget for the README (`HAECHI_SCREENSHOT`); None writes none."""
    named = os.environ.get("HAECHI_SCREENSHOT")
    return pytestconfig.rootpath / named if named else None


@pytest.fixture(scope="session")
def pictures(pytestconfig: pytest.Config) -> Path | None:
    """The folder for the guide's pictures (`HAECHI_PICTURES=docs/images`); None takes none."""
    named = os.environ.get("HAECHI_PICTURES")
    return pytestconfig.rootpath / named if named else None
