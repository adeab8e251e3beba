"""A person in a browser before the real platform: asks on the page, opens a source, judges the answer."""

import re
import sqlite3
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import CHROMIUM_ARGUMENTS, DESKTOP, chromium_path
from tests.journeys.conftest import RunningPlatform

QUESTION = "예금자보호는 얼마까지 되나요?"
PATIENCE_MILLISECONDS = 20_000

pytestmark = pytest.mark.browser


@pytest.fixture
def page(running_platform: RunningPlatform) -> Iterator[Page]:
    """The platform's page, ready to be asked; an error on its console fails the test."""
    executable = chromium_path()
    if executable is None:
        pytest.skip("NO BROWSER TEST RUNS: chromium is missing; apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(base_url=running_platform.url, viewport=DESKTOP, locale="ko-KR")
        page.set_default_timeout(PATIENCE_MILLISECONDS)
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto("/")
        page.wait_for_selector("html[data-ready]")
        yield page
        browser.close()
    assert complaints == []


def test_a_question_on_the_page_is_answered_its_source_opens_and_the_thumb_is_kept(
    running_platform: RunningPlatform, page: Page
) -> None:
    kept = verdicts(running_platform)
    page.get_by_role("textbox", name=re.compile("질문")).fill(QUESTION)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text(re.compile("완료되었습니다"), timeout=PATIENCE_MILLISECONDS)
    expect(page.locator(".words").first).to_contain_text("1억")
    source = page.locator(".sources details").first
    source.locator("summary").click()
    expect(source.locator("blockquote")).to_be_visible()
    expect(source.locator("blockquote")).to_contain_text(re.compile("예금|보험금"))
    page.get_by_role("button", name="도움이 됐어요").click()
    expect(page.locator(".outcome")).to_contain_text("의견 감사합니다")
    assert verdicts(running_platform)[len(kept) :] == [(QUESTION, "answered", "up", "pending")]


def verdicts(platform: RunningPlatform) -> list[tuple[str, str, str, str]]:
    """Question and state of the turn, verdict and state of the feedback, in the order in which they were given."""
    with sqlite3.connect(f"file:{platform.home / 'haechi.db'}?mode=ro", uri=True) as database:
        return database.execute(
            "SELECT turns.question, turns.state, feedback.verdict, feedback.state FROM feedback"
            " JOIN turns ON turns.id = feedback.turn_id ORDER BY feedback.created_at"
        ).fetchall()


def test_whether_staff_can_be_reached_is_said_by_the_platform_itself(page: Page) -> None:
    page.get_by_role("button", name="상담원과 이야기하기").click()
    expect(page.locator(".handoff-panel .office")).to_have_text(re.compile("상담"))
    expect(page.locator(".handoff-panel .error")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="상담원과 이야기하기")).to_be_focused()
