"""Every state of the chat, for everybody: axe in each scheme, language and width, the keyboard alone, targets."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import open_chat
from tests.e2e.scripted import Platform, tell

pytestmark = pytest.mark.browser

AXE_FILE: Final = Path(axe_playwright_python.__file__).with_name("axe.min.js")
TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Off by themselves: one is young, one experimental (visible words that the name of a control lacks).
SWITCHED_ON: Final = {rule: {"enabled": True} for rule in ("target-size", "label-content-name-mismatch")}
SCHEMES: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "forced_colors": "none"},
    "dark": {"color_scheme": "dark", "forced_colors": "none"},
    "forced": {"color_scheme": "light", "forced_colors": "active"},
}
TARGET_PIXELS = 44
PICTURES: Final = {
    ("source_open", 1280): "chat-answer.png",
    ("warned", 1280): "chat-warning.png",
    ("person", 320): "chat-person-narrow.png",
    ("answered", 320): "chat-answer-narrow.png",
}
ANSWER = (
    "**예금자보호**는 예금보험공사가 보장합니다. [1]\n\n",
    "| 구분 | 한도 |\n|---|---|\n| 은행 | 1억 원 |\n\n",
    "- 원금과 이자를 합한 금액 [2]\n- 자세한 내용은 [예금보험공사](https://www.kdic.or.kr)\n\n```\n코드\n```",
)
CLOSED: Final = {
    "state": "none",
    "ahead": None,
    "rating": None,
    "last_event_id": 0,
    "office": {"enabled": True, "open": False, "opens_at": "2026-11-23T00:00:00+00:00"},
    "text": "지금은 상담 시간이 아닙니다. 월요일 오전 9시에 다시 시작합니다.",
}
OPEN: Final = {**CLOSED, "office": {"enabled": True, "open": True, "opens_at": None}, "text": ""}


def welcome(page: Page) -> None:
    expect(page.locator(".welcome")).to_be_visible()


def answered(page: Page) -> None:
    tell(page, ANSWER)
    page.locator("#question").fill("예금자보호는 얼마까지 되나요?")
    page.keyboard.press("Enter")
    expect(page.locator(".feedback")).to_be_visible()


def source_open(page: Page) -> None:
    page.locator(".citation").first.click()
    expect(page.locator("details[open] blockquote")).to_be_visible()


def feedback_form(page: Page) -> None:
    page.locator("[data-verdict=down]").click()
    expect(page.locator(".feedback-form")).to_be_visible()


def warned(page: Page) -> None:
    page.locator("#question").fill("제 번호는 010-1234-5678입니다")
    page.keyboard.press("Enter")
    expect(page.locator(".warning")).to_be_visible()


def person(page: Page) -> None:
    page.keyboard.press("Escape")
    page.locator("#question").fill("")
    page.route("**/v1/handoff?*", lambda route: route.fulfill(json=CLOSED))
    page.locator("#person").click()
    expect(page.locator(".office")).to_be_visible()


def offline(page: Page) -> None:
    page.keyboard.press("Escape")
    page.context.set_offline(True)
    expect(page.locator(".banner")).to_be_visible()


def failed(page: Page) -> None:
    page.context.set_offline(False)
    expect(page.locator(".banner")).to_have_count(0)
    refusal = {"error": {"code": "llm_service_unreachable", "message": "Down.", "message_ko": "연결할 수 없습니다."}}
    page.unroute_all()
    page.route("**/v1/chat", lambda route: route.fulfill(status=503, json=refusal))
    page.locator("#question").fill("다시")
    page.keyboard.press("Enter")
    expect(page.locator(".controls .error")).to_be_visible()


def closed(page: Page) -> None:
    page.locator("#close").click()
    expect(page.locator(".launcher")).to_be_visible()


STATES: Final[list[Callable[[Page], None]]] = [
    welcome,
    answered,
    source_open,
    feedback_form,
    warned,
    person,
    offline,
    failed,
]


@pytest.fixture
def opened(browser: Browser, scripted: Platform, request: pytest.FixtureRequest) -> Iterator[Page]:
    locale, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 800}, locale=locale, reduced_motion="reduce")
    context.set_default_timeout(15_000)
    context.add_init_script(path=AXE_FILE)
    page = context.new_page()
    open_chat(page, scripted)
    if locale == "en-US":
        page.locator("#language").click()
    yield page
    context.close()


def violations(page: Page, within: str = "document.querySelector('haechi-chat')") -> list[str]:
    options = json.dumps(
        {"runOnly": {"type": "tag", "values": TAGS}, "rules": SWITCHED_ON, "resultTypes": ["violations"]}
    )
    found = page.evaluate(f"axe.run({within}, {options}).then((result) => result.violations)")
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found]


def small_targets(page: Page) -> list[str]:
    """What is smaller than a finger, but for citations, which stand in a sentence (WCAG 2.5.8, exception Inline)."""
    small: list[str] = page.evaluate(
        """(least) => [...document.querySelector("haechi-chat").shadowRoot
            .querySelectorAll("button, summary, label.reason, textarea")]
          .filter((element) => element.checkVisibility() && !element.matches(".citation"))
          .map((element) => [element.className || element.id, element.getBoundingClientRect()])
          .filter(([, { width, height }]) => width < least || height < least)
          .map(([name]) => name)""",
        TARGET_PIXELS,
    )
    return small


def take_picture(page: Page, state: str, pictures: Path | None) -> None:
    """The guide's pictures: Korean, by day on a wide screen and by night on a narrow one."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    named = PICTURES.get((state, width))
    if pictures is None or named is None or page.locator("#language").inner_text() != "English":
        return
    page.emulate_media(color_scheme="dark" if width == 320 else "light", forced_colors="none", reduced_motion="reduce")
    page.screenshot(path=pictures / named)


@pytest.mark.parametrize(
    "opened", [("ko-KR", 1280), ("ko-KR", 320), ("en-US", 1280), ("en-US", 320)], indirect=True, ids=str
)
def test_axe_finds_nothing_in_any_state_and_every_target_can_be_hit(opened: Page, pictures: Path | None) -> None:
    found: dict[str, list[str]] = {}
    for state in STATES:
        state(opened)
        take_picture(opened, state.__name__, pictures)
        for name, media in SCHEMES.items():
            opened.emulate_media(**media, reduced_motion="reduce")
            if wrong := violations(opened):
                found[f"{state.__name__} {name}"] = wrong
        if small := small_targets(opened):
            found[f"{state.__name__} targets"] = small
        wide = opened.locator(".scroller").evaluate_all("(all) => all.map((e) => e.scrollWidth - e.clientWidth)")
        assert all(over <= 0 for over in wide), state.__name__
    closed(opened)
    if wrong := violations(opened, "document"):
        found["closed, with the page around"] = wrong
    assert found == {}


def test_a_conversation_is_had_with_the_keyboard_alone(browser: Browser, scripted: Platform) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="ko-KR", reduced_motion="reduce")
    page = context.new_page()
    page.goto(scripted.site)
    page.wait_for_selector("html[data-ready]")
    tell(page, ANSWER)
    tab_to(page, ".launcher")
    page.keyboard.press("Enter")
    expect(page.locator("#question")).to_be_focused()
    page.keyboard.type("예금자보호는?")
    page.keyboard.press("Enter")
    expect(page.locator(".feedback")).to_be_visible()
    tab_to(page, ".citation", back=True)
    page.keyboard.press("Enter")
    expect(page.locator("details[open] summary")).to_be_focused()
    tab_to(page, "[data-verdict=down]")
    page.keyboard.press("Enter")
    expect(page.locator(".feedback-form input").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.type("1억 원까지입니다.")
    page.keyboard.press("Escape")
    expect(page.locator("[data-verdict=down]")).to_be_focused()
    tab_to(page, "#person", back=True)
    page.route("**/v1/handoff?*", lambda route: route.fulfill(json=CLOSED))
    page.keyboard.press("Enter")
    expect(page.locator(".office")).to_contain_text("월요일 오전 9시")
    page.keyboard.press("Escape")
    expect(page.locator("#person")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".launcher")).to_be_focused()
    context.close()


def tab_to(page: Page, selector: str, *, back: bool = False) -> None:
    """Presses Tab until the element has the focus; thirty times are too many."""
    for _ in range(30):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if page.locator(selector).first.evaluate("(element) => element === element.getRootNode().activeElement"):
            return
    pytest.fail(f"{selector} cannot be reached by the keyboard")


def test_on_a_small_screen_the_page_behind_the_window_cannot_be_reached(browser: Browser, scripted: Platform) -> None:
    context = browser.new_context(viewport={"width": 320, "height": 640}, locale="ko-KR")
    page = context.new_page()
    open_chat(page, scripted)
    box = page.locator("dialog.window").bounding_box()
    assert box == {"x": 0, "y": 0, "width": 320, "height": 640}
    for _ in range(20):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.localName") in ("haechi-chat", "body")
    page.keyboard.press("Escape")
    expect(page.locator(".launcher")).to_be_focused()
    context.close()


def test_a_person_is_asked_for_answers_and_is_rated(site: Page) -> None:
    """The calls of docs/handoff.md, answered here: what the page makes of them is what is tested."""
    waiting = {**OPEN, "state": "waiting", "ahead": 2, "text": "상담원을 부르고 있습니다."}
    told = [
        ("state", {"state": "taken", "at": "", "text": "상담원이 대화를 이어받았습니다."}),
        ("message", {"author": "agent", "message_id": "m1", "text": "무엇을 **도와**드릴까요?", "at": ""}),
        ("state", {"state": "closed", "at": "", "text": "상담이 끝났습니다."}),
    ]
    body = "".join(
        f"id: {number}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
        for number, (name, data) in enumerate(told, 1)
    )
    rated: list[Any] = []
    site.route("**/v1/handoff?*", lambda route: route.fulfill(json=OPEN))
    site.route("**/v1/handoff", lambda route: route.fulfill(status=201, json=waiting))
    site.route("**/v1/handoff/events?*", lambda route: route.fulfill(content_type="text/event-stream", body=body))

    def rate(route: Any) -> None:
        rated.append(route.request.post_data_json["rating"])
        route.fulfill(json={**OPEN, "state": "closed", "rating": 4})

    site.route("**/v1/handoff/rate", rate)
    site.locator("#person").click()
    expect(site.locator(".office")).to_have_text("지금은 상담 시간입니다.")
    site.get_by_role("button", name="상담원 부르기").click()
    expect(site.locator("#log")).to_contain_text("상담원이 대화를 이어받았습니다.")
    expect(site.locator(".answer .words")).to_have_text("무엇을 도와드릴까요?")
    expect(site.locator(".answer .label")).to_have_text("상담원")
    site.get_by_role("button", name="5점 만점에 4점").click()
    expect(site.locator(".rating")).to_have_text("평가해 주셔서 감사합니다.")
    assert rated == [4]


def test_the_page_around_hears_what_happens_and_nobodys_words(site: Page) -> None:
    site.evaluate(
        """() => { window.heard = [];
          for (const kind of ["toggle", "message", "feedback", "error"])
            document.addEventListener(`haechi-chat-${kind}`, ({ detail }) => window.heard.push([kind, detail])); }"""
    )
    answered(site)
    site.locator("#close").click()
    heard = site.evaluate("window.heard")
    assert [kind for kind, _ in heard] == ["message", "message", "toggle"]
    assert "예금" not in json.dumps(heard, ensure_ascii=False)


def test_a_page_themes_the_chat_by_properties_and_parts(site: Page) -> None:
    site.evaluate(
        """() => { const sheet = new CSSStyleSheet();
          sheet.replaceSync(`haechi-chat { --haechi-accent: rgb(10, 20, 120); }
            haechi-chat::part(header) { padding: 7px; }`);
          document.adoptedStyleSheets = [sheet]; }"""
    )
    assert site.locator("#send").evaluate("(e) => getComputedStyle(e).backgroundColor") == "rgb(10, 20, 120)"
    assert site.locator(".header").evaluate("(e) => getComputedStyle(e).padding") == "7px"
