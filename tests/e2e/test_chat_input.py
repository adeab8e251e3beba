"""What is typed: Hangul still being composed is not sent, personal data is asked about, nothing unmasked is kept."""

import pytest
from playwright.sync_api import Page, expect

from benchmarks.pii.generate import look_alike_set, plain_set
from tests.e2e.scripted import Platform, tell

pytestmark = pytest.mark.browser

ASKED_ABOUT = {"KR_RRN", "KR_FRN", "PHONE", "CREDIT_CARD", "KR_BANK_ACCOUNT"}
FALSE_WARNINGS = 0.02


def turns(page: Page) -> int:
    return page.locator(".turn").count()


def test_enter_while_hangul_is_composed_sends_nothing_and_afterwards_sends_once(site: Page) -> None:
    tell(site, ["네."])
    keyboard = site.context.new_cdp_session(site)
    site.locator("#question").focus()
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    for composed in ("ㅎ", "하", "한"):
        keyboard.send("Input.imeSetComposition", {"text": composed, "selectionStart": 1, "selectionEnd": 1})
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyDown", **enter})
        keyboard.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    assert turns(site) == 0
    # The key that ends a syllable arrives as 229, in Safari after the composition.
    keyboard.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", "key": "Process", "windowsVirtualKeyCode": 229})
    keyboard.send("Input.insertText", {"text": "한글"})
    assert turns(site) == 0
    site.keyboard.press("Shift+Enter")
    assert site.locator("#question").input_value().endswith("한글\n")
    site.keyboard.press("Enter")
    expect(site.locator(".question p")).to_have_count(1)
    assert turns(site) == 1


def findings(page: Page, texts: list[str]) -> list[list[tuple[int, int]]]:
    found: list[list[tuple[int, int]]] = page.evaluate(
        """async (texts) => {
          const { personalData } = await import("/widget/haechi-chat.js");
          return texts.map((text) => personalData(text).map(({ start, end }) => [start, end]));
        }""",
        texts,
    )
    return found


def test_every_personal_number_of_the_corpus_is_warned_about_and_hardly_anything_else(site: Page) -> None:
    samples = [*plain_set(), *look_alike_set()]
    found = findings(site, [sample["text"] for sample in samples])
    values = [
        (sample["text"], span["start"], span["end"], spans)
        for sample, spans in zip(samples, found, strict=True)
        for span in sample["spans"]
        if span["type"] in ASKED_ABOUT
    ]
    missed = [
        text[start:end]
        for text, start, end, spans in values
        if not any(begin <= start and end <= stop for begin, stop in spans)
    ]
    harmless = [spans for sample, spans in zip(samples, found, strict=True) if not sample["spans"]]
    false = sum(1 for spans in harmless if spans)
    print(f"{len(values)} values, {len(missed)} missed; {len(harmless)} harmless texts, {false} warned about")
    assert len(values) > 500
    assert missed == []
    assert len(harmless) > 1_000
    assert false / len(harmless) <= FALSE_WARNINGS


def test_disguised_numbers_are_seen_through(site: Page) -> None:
    texts = ["제 번호는 ０１０－１２３４－５６７８", "900101–1234568", "010\u200b-1234-5678", "4111 1111 1111 1111"]
    assert all(findings(site, texts))


def test_personal_data_is_edited_or_sent_masked_but_not_sent_as_it_is(site: Page) -> None:
    tell(site, ["네."])
    sent: list[str] = []
    site.on("request", lambda request: sent.append(request.post_data or "") if request.method == "POST" else None)
    box = site.locator("#question")
    box.fill("제 번호는 010-1234-5678이고 카드는 4111-1111-1111-1111입니다")
    site.keyboard.press("Enter")
    warning = site.get_by_role("alertdialog", name="개인정보로 보이는 내용이 있습니다")
    expect(warning).to_contain_text("전화번호, 카드번호")
    expect(warning.get_by_role("button", name="고치기")).to_be_focused()
    site.keyboard.press("Escape")
    expect(warning).to_have_count(0)
    expect(box).to_be_focused()
    assert turns(site) == 0
    site.keyboard.press("Enter")
    warning.get_by_role("button", name="가리고 보내기").click()
    expect(site.locator(".question p")).to_have_text("제 번호는 [전화번호 가림]이고 카드는 [카드번호 가림]입니다")
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.")
    assert not any("5678" in body or "1111" in body for body in sent)
    assert any("전화번호 가림" in body for body in sent)


def test_nothing_unmasked_is_kept_in_the_tab(site: Page, scripted: Platform) -> None:
    """Values that the gateway restores in the person's own stream, and questions no rule of the page knows."""
    site.route(
        "**/v1/chat",
        lambda route: route.fulfill(
            content_type="text/event-stream",
            body="id: 0\nevent: turn\n"
            'data: {"turn_id": "t", "masked": true, "masked_text": "<PERSON_1>입니다"}\n\n'
            'id: 1\nevent: token\ndata: {"text": "홍길동님, 안녕하세요.", "masked": "<PERSON_1>님, 안녕하세요."}\n\n'
            'id: 2\nevent: done\ndata: {"turn_id": "t", "state": "answered", "refused": false, "engine": "model"}\n\n',
        ),
    )
    site.locator("#question").fill("홍길동입니다")
    site.keyboard.press("Enter")
    expect(site.locator(".words")).to_have_text("홍길동님, 안녕하세요.")
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.")
    kept = site.evaluate("JSON.stringify([{ ...sessionStorage }, { ...localStorage }, document.cookie])")
    assert "<PERSON_1>님" in kept
    assert "홍길동" not in kept
