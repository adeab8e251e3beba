"""Learning in a browser: a long curve drawn fast and followed after a break, a file looked at before it is taken in."""

import json

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import insert

from admin.pages import runs
from llm_service.store.learning_models import LossPoint
from tests.admin.browsing import browsing, sideways, violations
from tests.admin.learning import evaluated
from tests.admin.platform import XSS, Platform, trained

ON_SQLITE_ALONE = True
pytestmark = pytest.mark.browser
LONG_CURVE_POINTS = 10_000
REDRAW_MILLISECONDS = 100.0


def lengthened(platform: Platform, run_id: str) -> None:
    """The curve of a run up to ten thousand points."""
    points = [
        {"run_id": run_id, "step": step, "loss": 2.0 - step / LONG_CURVE_POINTS}
        for step in range(41, LONG_CURVE_POINTS + 1)
    ]
    platform.work(lambda session: session.execute(insert(LossPoint), points))


def test_a_curve_of_ten_thousand_points_is_drawn_and_told_in_a_table(browser: Browser, platform: Platform) -> None:
    run_id = trained(platform)
    lengthened(platform, run_id)
    with browsing(browser, platform, "trainer") as page:
        drawn = []
        # The quickest of three: what else runs on the machine slows one of them down.
        for _ in range(3):
            page.goto(f"/runs/{run_id}")
            expect(page.locator("#chart")).to_have_attribute("data-points", str(LONG_CURVE_POINTS))
            drawn.append(float(page.locator("#chart").get_attribute("data-redraw-ms") or "inf"))
        assert min(drawn) <= REDRAW_MILLISECONDS
        page.get_by_text("표로 보기").first.click()
        assert 100 < page.locator("#points tbody tr").count() <= 202


def test_after_a_break_the_curve_goes_on_where_it_was(
    browser: Browser, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "LONGEST_STREAM_SECONDS", 0.5)
    run_id = trained(platform)
    with browsing(browser, platform, "trainer") as page:
        streams: list[str] = []
        page.on("request", lambda one: streams.append(one.url) if one.url.endswith("/events") else None)
        page.goto(f"/runs/{run_id}")
        expect(page.locator("#chart")).to_have_attribute("data-points", "40")
        platform.work(lambda session: session.add(LossPoint(run_id=run_id, step=41, loss=1.2)))
        expect(page.locator("#chart")).to_have_attribute("data-points", "41")
    assert len(streams) > 1, "the browser came back by itself"


def test_a_file_is_previewed_and_confirmed(browser: Browser, platform: Platform) -> None:
    rows = [("브라우저 질문", "브라우저 답"), ("전화번호 질문", "010-2345-6789"), (XSS, XSS)]
    lines = [json.dumps({"instruction": question, "output": answer}) for question, answer in rows]
    with browsing(browser, platform, "reviewer") as page:
        page.on("dialog", lambda _dialog: pytest.fail("a stored script ran"))
        page.goto("/curated")
        page.get_by_text("예시 파일 올리기").click()
        page.locator("#file").set_input_files(
            {"name": "예문.jsonl", "mimeType": "application/x-ndjson", "buffer": "\n".join(lines).encode()}
        )
        page.get_by_role("button", name="미리 보기").click()
        expect(page.get_by_text("개인정보가 들어 있습니다.")).to_be_visible()
        assert page.locator("main img").count() == 0
        assert violations(page) == []
        page.set_viewport_size({"width": 320, "height": 720})
        assert sideways(page) <= 0
        page.get_by_role("button", name="2행을 검토 목록에 올리기").click()
        expect(page.get_by_role("status")).to_contain_text("두 사람의 승인을 기다립니다.")


def test_worse_only_changes_the_questions_without_loading_the_page(browser: Browser, platform: Platform) -> None:
    evaluation_id = evaluated(platform)
    with browsing(browser, platform, "trainer") as page:
        page.goto(f"/evaluations/{evaluation_id}")
        page.evaluate("window.stays = true")
        page.get_by_label("나빠진 것만").check()
        expect(page.locator("#items article")).to_have_count(1)
        assert page.evaluate("window.stays") is True
