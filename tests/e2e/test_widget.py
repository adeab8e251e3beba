"""What a person does on the widget page: asks, watches the answer arrive, opens a source, judges it, stops it."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Page, expect

from tests.bot.gateway.stand_ins import LlmServiceStandIn

pytestmark = pytest.mark.browser

QUESTION = "고객 가족이 와서 거래내역을 달라는데 줘도 되나요?"
SAMPLE_QUESTION = "예금자보호는 얼마까지 되나요?"
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def ask(page: Page, question: str = QUESTION) -> None:
    page.get_by_role("textbox", name=re.compile("질문|Question")).fill(question)
    page.keyboard.press("Enter")


def ask_and_wait(page: Page, question: str = QUESTION) -> None:
    ask(page, question)
    expect(page.get_by_role("status")).to_have_text(re.compile("완료되었습니다|is complete"))


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}})
    return [f"{rule['id']}: {[node['target'] for node in rule['nodes']]}" for rule in found.response["violations"]]


def test_the_answer_arrives_bit_by_bit_and_its_source_opens(
    page: Page, screenshot_path: Path | None, stands_in: bool
) -> None:
    page.evaluate(
        """() => {
          window.lengths = [];
          const chat = document.querySelector("haechi-chat").shadowRoot;
          new MutationObserver(() => window.lengths.push(chat.querySelector(".words")?.textContent.length ?? 0))
            .observe(chat.getElementById("log"), { childList: true, characterData: true, subtree: true });
        }"""
    )
    ask_and_wait(page, QUESTION if stands_in else SAMPLE_QUESTION)
    lengths = page.evaluate("window.lengths")
    assert len(set(lengths)) > 3
    source = page.locator(".sources details").first
    expect(source.locator("blockquote")).to_be_hidden()
    source.locator("summary").click()
    expect(source.locator("blockquote")).to_be_visible()
    if screenshot_path:
        page.set_viewport_size({"width": 1280, "height": 1060})
        page.screenshot(path=screenshot_path)


def test_a_citation_in_the_answer_opens_its_source(page: Page) -> None:
    ask_and_wait(page)
    page.locator(".citation").first.click()
    expect(page.locator(".sources details[open] summary")).to_be_focused()


def test_a_thumb_arrives_as_feedback(page: Page, llm_service: LlmServiceStandIn, stands_in: bool) -> None:
    ask_and_wait(page)
    before = len(llm_service.feedback)
    page.get_by_role("button", name="도움이 됐어요").click()
    expect(page.locator(".outcome")).to_contain_text("의견 감사합니다")
    if stands_in:
        assert [kept["verdict"] for kept in llm_service.feedback[before:]] == ["up"]


def test_a_thumb_down_carries_a_reason_and_a_correction(
    page: Page, llm_service: LlmServiceStandIn, stands_in: bool
) -> None:
    ask_and_wait(page)
    before = len(llm_service.feedback)
    page.get_by_role("button", name="아쉬워요").click()
    page.get_by_label("예전 내용이에요").check()
    page.get_by_label("올바른 내용을 알려 주세요").fill("동의서 없이는 제공할 수 없습니다.")
    page.get_by_role("button", name="의견 보내기").click()
    expect(page.locator(".outcome")).to_contain_text("의견 감사합니다")
    if stands_in:
        (kept,) = llm_service.feedback[before:]
        assert (kept["verdict"], kept["reason"], kept["correction"]) == (
            "down",
            "outdated",
            "동의서 없이는 제공할 수 없습니다.",
        )


def test_stop_ends_the_answer(page: Page, stands_in: bool) -> None:
    if not stands_in:
        pytest.skip("the real engine is too quick to be stopped by hand")
    ask(page, "길게 설명해 주세요")
    expect(page.locator(".words")).not_to_be_empty()
    page.get_by_role("button", name="멈추기").click()
    expect(page.get_by_role("status")).to_have_text("답변을 멈췄습니다.")
    expect(page.get_by_text("여기서 멈췄습니다.")).to_be_visible()
    expect(page.get_by_role("button", name="보내기", exact=True)).to_be_visible()


def test_enter_does_not_send_while_hangul_is_being_composed(page: Page) -> None:
    page.get_by_role("textbox").focus()
    page.locator("#question").evaluate(
        """(box) => box.dispatchEvent(
          new KeyboardEvent("keydown", { key: "Enter", isComposing: true, bubbles: true, cancelable: true }))"""
    )
    assert page.locator(".turn").count() == 0
    page.get_by_role("textbox").press_sequentially("한")
    page.keyboard.press("Shift+Enter")
    assert page.get_by_role("textbox").input_value() == "한\n"


def test_what_was_typed_is_shown_as_text_and_never_as_markup(page: Page) -> None:
    ask(page, "금리가 <b>3%</b> 이상 & 1년짜리 예금은?")
    expect(page.locator(".question p")).to_have_text("금리가 <b>3%</b> 이상 & 1년짜리 예금은?")
    assert page.locator(".question b").count() == 0


def test_a_lost_connection_offers_to_try_again(page: Page, context: BrowserContext) -> None:
    context.route(
        "**/v1/chat",
        lambda route: route.fulfill(
            status=503,
            json={
                "error": {
                    "code": "llm_service_unreachable",
                    "message": "down",
                    "message_ko": "답변 서비스에 연결할 수 없습니다.",
                }
            },
        ),
    )
    ask(page)
    expect(page.locator(".controls .error")).to_have_text("답변 서비스에 연결할 수 없습니다.")
    context.unroute("**/v1/chat")
    page.get_by_role("button", name="다시 시도").click()
    expect(page.get_by_role("status")).to_have_text("답변이 완료되었습니다.")
    assert page.locator(".turn").count() == 1


def test_an_answer_whose_stream_breaks_is_read_on_by_itself(
    page: Page, llm_service: LlmServiceStandIn, stands_in: bool
) -> None:
    if not stands_in:
        pytest.skip("only the stand-in can be told to break off")
    generations = llm_service.generations
    llm_service.cut_after = 8
    ask_and_wait(page)
    expect(page.locator(".words")).to_contain_text("신분증 사본을 확인합니다.")
    assert page.locator(".words").inner_text().count("금융회사등에") == 1
    assert llm_service.generations == generations + 1


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    ask_and_wait(page)
    page.locator("#log").focus()
    page.keyboard.press("Tab")
    expect(page.locator(".citation").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".sources details").first).to_have_attribute("open", "")
    page.get_by_role("button", name="도움이 됐어요").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".feedback-form input").first).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="아쉬워요")).to_be_focused()


def test_the_growing_answer_is_not_read_aloud_but_its_state_is(page: Page) -> None:
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "off")
    ask(page)
    expect(page.get_by_role("status")).to_have_text("답변을 작성하는 중입니다.")
    expect(page.get_by_role("status")).to_have_text("답변이 완료되었습니다.")


def test_the_page_speaks_english(page: Page) -> None:
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", name="How can I help?")).to_be_visible()
    assert page.locator("html").get_attribute("lang") == "en"
    ask_and_wait(page)
    expect(page.get_by_role("button", name="Helpful", exact=True)).to_be_visible()
    expect(page.get_by_text("quoted by AI")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_axe_finds_nothing(page: Page, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size({"width": width, "height": 800})
    assert violations(page) == []
    ask_and_wait(page)
    page.locator(".sources summary").first.click()
    page.get_by_role("button", name="아쉬워요").click()
    assert violations(page) == []


def test_nothing_scrolls_sideways_at_320_pixels(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    ask_and_wait(page)
    page.locator(".sources summary").first.click()
    page.get_by_role("button", name="아쉬워요").click()
    for selector in ("html", "main", ".scroller"):
        assert page.locator(selector).evaluate("(e) => e.scrollWidth - e.clientWidth") <= 0


def test_every_button_is_44_pixels_high_or_stands_in_a_sentence(page: Page) -> None:
    ask_and_wait(page)
    page.get_by_role("button", name="아쉬워요").click()
    small = page.evaluate(
        """() => [...document.querySelector("haechi-chat").shadowRoot.querySelectorAll("button, summary, label.reason")]
          .filter((e) => e.offsetParent && !e.matches(".citation") && e.getBoundingClientRect().height < 44)
          .map((e) => e.outerHTML)"""
    )
    assert small == []
