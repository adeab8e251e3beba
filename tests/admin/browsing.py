"""A browser on the console: Debian's chromium, what it complains about, and what axe finds."""

from collections.abc import Iterator
from contextlib import contextmanager

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize

from tests.admin.platform import Platform

AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESKTOP = ViewportSize(width=1280, height=900)
REPORTS = "document.addEventListener('securitypolicyviolation', (e) => console.error(`CSP ${e.violatedDirective}`))"


@contextmanager
def browsing(
    browser: Browser, platform: Platform, login: str | None, scheme: str = "light", locale: str = "ko"
) -> Iterator[Page]:
    """A page of a person, in a context of its own; a complaint on its console or of its policy fails the test."""
    context = browser.new_context(
        base_url=platform.url,
        viewport=DESKTOP,
        locale="ko-KR",
        reduced_motion="reduce",
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    context.set_default_timeout(15_000)
    context.add_init_script(REPORTS)
    cookies = {"haechi_language": locale}
    if login is not None:
        cookies[platform.settings.cookie_name] = platform.token_of(login)
    context.add_cookies([{"name": name, "value": value, "url": platform.url} for name, value in cookies.items()])
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    # Chromium reports every refused request as an error of its own; what the page makes of it is tested by name.
    assert [complaint for complaint in complaints if not complaint.startswith("Failed to load resource")] == []


def violations(page: Page) -> list[str]:
    """What axe finds, by rule."""
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}})
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found.response["violations"]]


def sideways(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))
