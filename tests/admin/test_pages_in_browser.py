"""The console in a browser: fifty decisions by keyboard alone, every page for axe, at 320 pixels, without one report.

With `HAECHI_SCREENSHOTS=docs/admin` the pages are photographed for the guide there.
"""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy.orm import Session

from llm_service.store import review
from llm_service.store.learning_models import ReviewItem
from tests.admin.browsing import browsing, sideways, violations
from tests.admin.deeds import begun, newcomer
from tests.admin.handing_over import PAGES_OF_HANDOFFS, shown_of_handoffs
from tests.admin.learning import PAGES_OF_LEARNING, shown_of_learning
from tests.admin.operating import PAGES_OF_OPERATIONS, asked, shown_of_operations
from tests.admin.platform import Platform, corrected, hostile, trained

pytestmark = pytest.mark.browser
ON_SQLITE_ALONE = True

PAGES = (
    ("login", None, "/login"),
    ("dashboard", "approver", "/"),
    ("profile", "approver", "/profile"),
    ("reviews", "approver", "/reviews?state=proposed&state=pending"),
    ("review", "approver", "/reviews/{item}"),
    ("conversations", "auditor", "/conversations"),
    ("documents", "admin", "/documents"),
    ("datasets", "trainer", "/datasets"),
    ("dataset", "trainer", "/datasets/{dataset}"),
    ("runs", "trainer", "/runs"),
    ("run", "trainer", "/runs/{run}"),
    *PAGES_OF_LEARNING,
    *PAGES_OF_OPERATIONS,
    *PAGES_OF_HANDOFFS,
    ("adapters", "approver", "/adapters"),
    ("audit", "auditor", "/audit"),
    ("accounts", "admin", "/accounts"),
    ("tokens", "admin", "/tokens"),
    ("denied", "agent", "/reviews"),
)
FIFTY = 50
SKIPPED = 7
"""Which of the fifty is left for later, and comes last."""


@pytest.fixture(scope="module")
def shown(platform: Platform) -> dict[str, str]:
    """What the pages show."""
    platform.add_items(6, "예금자보호 한도는 얼마까지인가요?")
    run_id = trained(platform)
    with platform.logged_in("trainer") as client:
        dataset = client.get(f"/runs/{run_id}").text.partition("<h1>")[2].partition(" · ")[0]
    return {
        "item": corrected(platform),
        "run": run_id,
        "dataset": dataset,
        **shown_of_learning(platform),
        **shown_of_operations(platform),
        **shown_of_handoffs(platform),
    }


@pytest.fixture(scope="session")
def screenshots(pytestconfig: pytest.Config) -> Path | None:
    named = os.environ.get("HAECHI_SCREENSHOTS")
    return pytestconfig.rootpath / named if named else None


def settle(page: Page, name: str) -> None:
    if name == "run":
        expect(page.locator("#chart")).to_have_attribute("data-points", "40")
    if name == "dashboard":
        expect(page.locator("[data-points]")).to_have_count(2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["ko", "en"])
@pytest.mark.parametrize(("name", "login", "path"), PAGES, ids=[name for name, _, _ in PAGES])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    browser: Browser,
    platform: Platform,
    shown: dict[str, str],
    screenshots: Path | None,
    name: str,
    login: str | None,
    path: str,
    locale: str,
    scheme: str,
) -> None:
    with browsing(browser, platform, login, scheme, locale) as page:
        response = page.goto(path.format(**shown))
        assert response is not None
        assert response.status == (403 if name == "denied" else 200)
        settle(page, name)
        assert violations(page) == []
        if screenshots is not None and (locale, scheme) == ("ko", "light"):
            page.screenshot(path=screenshots / f"{name}.png", full_page=name not in ("audit", "accounts"))
        assert sideways(page) <= 0
        page.set_viewport_size({"width": 320, "height": 720})
        assert sideways(page) <= 0
        if (locale, scheme) == ("ko", "light"):
            assert violations(page) == []


def test_fifty_items_are_decided_by_keyboard_alone(browser: Browser, platform: Platform) -> None:
    prefix = "자판으로"
    made = platform.add_items(FIFTY, prefix)
    platform.work(lambda session: _leave_only(session, set(made)))
    with browsing(browser, platform, "approver2") as page:
        page.goto("/reviews")
        page.keyboard.press("n")
        for number in range(FIFTY + 1):
            page.wait_for_url("**/reviews/*")
            expect(page.get_by_role("heading", name="검토 항목")).to_be_visible()
            place = page.url
            if number == SKIPPED:
                page.keyboard.press("s")
            elif number % 10 == 3:
                page.keyboard.press("e")
                expect(page.locator("#answer")).to_be_focused()
                page.keyboard.type("고친 답변. ")
                page.keyboard.press("Control+Enter")
            elif number % 5 == 4:
                page.keyboard.press("r")
                expect(page.locator("#reason")).to_be_focused()
                page.keyboard.press("Tab")
                page.keyboard.press("Enter")
            else:
                page.keyboard.press("a")
            page.wait_for_function("place => location.href !== place", arg=place)
            if number == FIFTY:
                assert f"/reviews/{made[SKIPPED]}" in place
        expect(page.get_by_text("지금 검토할 항목이 더 없습니다.")).to_be_visible()
    states = [platform.item(item_id).state for item_id in made]
    assert [states.count(state) for state in ("first_approved", "rejected", "proposed")] == [35, 10, 5]


def test_rows_are_walked_and_the_last_item_is_gone_back_to_by_keyboard(browser: Browser, platform: Platform) -> None:
    made = platform.add_items(3, "줄마다")
    platform.work(lambda session: _leave_only(session, set(made)))
    with browsing(browser, platform, "approver2") as page:
        page.goto("/reviews")
        for key, row in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
            page.keyboard.press(key)
            expect(page.locator("tr[aria-current] a")).to_have_text(f"줄마다 {row}")
        page.keyboard.press("Enter")
        page.wait_for_url(f"**/reviews/{made[1]}*")
        page.keyboard.press("e")
        expect(page.locator("#answer")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#answer")).to_be_hidden()
        page.keyboard.press("a")
        page.wait_for_url(f"**/reviews/{made[0]}*")
        page.keyboard.press("u")
        page.wait_for_url(f"**/reviews/{made[1]}*")
        expect(page.get_by_text("한 사람 승인").first).to_be_visible()


def _leave_only(session: Session, wanted: set[str]) -> None:
    for item in session.query(ReviewItem).filter(ReviewItem.state.in_(review.OPEN_STATES)):
        if item.id not in wanted:
            item.state, item.rejected_by, item.rejection_reason = "rejected", "test", "duplicate"
            item.first_approver, item.first_approved_at = None, None


def test_shortcuts_go_by_the_place_of_the_key_and_leave_typing_alone(browser: Browser, platform: Platform) -> None:
    (item_id,) = platform.add_items(1, "한글 자판")
    with browsing(browser, platform, "reviewer") as page:
        page.goto(f"/reviews/{item_id}")
        # Under a Hangul input method the key E says ㄷ; its place is the same.
        page.evaluate(
            "document.body.dispatchEvent(new KeyboardEvent('keydown', {code: 'KeyE', key: 'ㄷ', bubbles: true}))"
        )
        expect(page.locator("#answer")).to_be_focused()
        page.keyboard.type("a r s")
        expect(page.locator("#answer")).to_have_value("a r s한글 자판 0의 답입니다.")
        page.keyboard.press("Escape")
        page.locator("h1").click()
        page.keyboard.press("Shift+Slash")
        expect(page.get_by_role("dialog")).to_be_visible()


def test_shortcuts_can_be_remapped_and_switched_off(browser: Browser, platform: Platform) -> None:
    (item_id,) = platform.add_items(1, "다른 자판")
    with browsing(browser, platform, "reviewer") as page:
        page.goto("/profile")
        page.get_by_label("고치기").press("q")
        expect(page.get_by_text("저장했습니다.")).to_be_visible()
        page.goto(f"/reviews/{item_id}")
        page.keyboard.press("e")
        expect(page.locator("#answer")).to_be_hidden()
        page.keyboard.press("q")
        expect(page.locator("#answer")).to_be_focused()
        page.goto("/profile")
        page.get_by_label("단축키 사용").uncheck()
        page.goto(f"/reviews/{item_id}")
        page.keyboard.press("q")
        expect(page.locator("#answer")).to_be_hidden()


def test_a_second_factor_is_set_up_with_a_code_to_scan(
    browser: Browser, platform: Platform, screenshots: Path | None
) -> None:
    login = newcomer(platform)
    token = begun(platform, login, "enrolment")
    with browsing(browser, platform, None) as page:
        page.context.add_cookies([{"name": platform.settings.cookie_name, "value": token, "url": platform.url}])
        page.goto("/login/second-factor")
        expect(page.get_by_role("img", name="인증 앱으로 읽는 QR 코드")).to_be_visible()
        assert violations(page) == []
        if screenshots is not None:
            page.screenshot(path=screenshots / "enrolment.png", full_page=True)
        page.set_viewport_size({"width": 320, "height": 720})
        assert sideways(page) <= 0


def test_a_search_of_conversations_goes_on_without_loading_the_page(browser: Browser, platform: Platform) -> None:
    for number in range(31):
        asked(platform, f"이어서 찾기 {number}")
    with browsing(browser, platform, "agent") as page:
        page.goto("/conversations")
        page.get_by_label("찾을 말").fill("이어서 찾기")
        page.keyboard.press("Enter")
        expect(page.locator("#found tr[data-item]")).to_have_count(30)
        page.get_by_role("button", name="다음 항목").click()
        expect(page.locator("#found tr[data-item]")).to_have_count(1)
        expect(page.get_by_label("찾을 말")).to_have_value("이어서 찾기")
        assert "이어서" not in page.url
        assert violations(page) == []


def test_an_item_is_answered_anew_beside_what_is_proposed(browser: Browser, platform: Platform) -> None:
    with browsing(browser, platform, "reviewer") as page:
        page.goto(f"/reviews/{corrected(platform)}")
        page.get_by_role("button", name="다시 물어보기").click()
        expect(page.locator("#compared").get_by_role("heading", name="바탕 모델")).to_be_visible()
        expect(page.get_by_role("heading", name="검토 항목")).to_be_visible()
        assert violations(page) == []


def test_markup_that_somebody_stored_stays_words(browser: Browser, platform: Platform) -> None:
    item_id = hostile(platform)
    with browsing(browser, platform, "approver") as page:
        page.on("dialog", lambda dialog: pytest.fail("a stored script ran"))
        page.goto(f"/reviews/{item_id}")
        assert page.locator("main img").count() == 0
        expect(page.get_by_text("<img src=x onerror=alert(1)>").first).to_be_visible()


def test_a_filter_changes_the_list_without_loading_the_page(browser: Browser, platform: Platform) -> None:
    corrected(platform)
    with browsing(browser, platform, "approver") as page:
        page.goto("/reviews")
        page.evaluate("window.stays = true")
        page.get_by_label("승인됨", exact=True).check()
        page.wait_for_url("**/reviews?state=approved&*")
        assert page.evaluate("window.stays") is True


def test_an_upload_says_how_far_it_is_and_what_came_of_it(browser: Browser, platform: Platform) -> None:
    with browsing(browser, platform, "admin") as page:
        page.goto("/documents")
        page.get_by_text("문서 올리기").click()
        page.locator("#file").set_input_files(
            {
                "name": "안내.md",
                "mimeType": "text/markdown",
                "buffer": "# 예금 안내\n\n예금은 5천만원까지 보호됩니다.".encode(),
            }
        )
        expect(page.locator("#path")).to_have_value("안내.md")
        page.get_by_role("button", name="올리기", exact=True).click()
        expect(page.get_by_role("status")).to_contain_text("올렸습니다.")
        page.goto("/documents?q=안내")
        page.get_by_role("link", name="예금 안내").or_(page.get_by_role("link", name="안내")).first.click()
        expect(page.get_by_text("첫 판이라 바뀐 조항이 없습니다.")).to_be_visible()
        assert violations(page) == []


def test_a_person_logs_in_and_out_by_keyboard(browser: Browser, platform: Platform) -> None:
    with browsing(browser, platform, None) as page:
        page.goto("/login")
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="본문으로 건너뛰기")).to_be_focused()
        page.get_by_label("아이디").fill("nobody")
        page.get_by_label("비밀번호").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("아이디나 비밀번호가 맞지 않습니다.")
        assert violations(page) == []
