"""Connections that break: an answer is read on to its last byte, generated once, and the person is told."""

import random
import re
import time

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import open_chat
from tests.e2e.scripted import Platform

pytestmark = pytest.mark.browser

CUTS = 20
BANNER_SECONDS = 1.0
RECOVERY_SECONDS = 3.0
OFFLINE_MILLISECONDS = 10_000
PIECES = [f"{number}번째 말, " if number % 9 else f"{number}번째\n\n" for number in range(120)]


def ask(page: Page) -> None:
    page.locator("#question").fill("길게 알려 주세요")
    page.keyboard.press("Enter")


def copied(page: Page, scripted: Platform) -> str:
    """The answer as the person copies it: the very characters, where what is drawn folds line breaks."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=scripted.site)
    page.locator(".copy").click()
    expect(page.get_by_role("status")).to_have_text("답변을 복사했습니다.")
    read: str = page.evaluate("navigator.clipboard.readText()")
    return read


def test_an_answer_cut_at_twenty_tokens_arrives_byte_for_byte_and_is_generated_once(
    site: Page, scripted: Platform
) -> None:
    scripted.llm_service.pieces, scripted.llm_service.pace_seconds = PIECES, 0.002
    scripted.cutter.after, scripted.cutter.cuts = set(random.Random(20261121).sample(range(2, 118), CUTS)), 0
    generations = scripted.llm_service.generations
    ask(site)
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.", timeout=20_000)
    assert scripted.cutter.cuts == CUTS
    assert copied(site, scripted) == "".join(PIECES)
    assert scripted.llm_service.generations == generations + 1


def test_offline_is_said_at_once_and_the_answer_goes_on_when_the_network_is_back(
    site: Page, scripted: Platform
) -> None:
    scripted.llm_service.pieces, scripted.llm_service.pace_seconds = PIECES, 0.01
    scripted.cutter.after = {30}
    generations = scripted.llm_service.generations
    ask(site)
    expect(site.locator(".words")).not_to_be_empty()
    gone = time.monotonic()
    site.context.set_offline(True)
    expect(site.locator(".banner")).to_contain_text("인터넷에 연결되어 있지 않습니다", timeout=1_000)
    assert time.monotonic() - gone <= BANNER_SECONDS
    site.wait_for_timeout(OFFLINE_MILLISECONDS)
    back = time.monotonic()
    site.context.set_offline(False)
    expect(site.locator(".banner")).to_have_count(0)
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.", timeout=4_000)
    assert time.monotonic() - back <= RECOVERY_SECONDS
    assert copied(site, scripted) == "".join(PIECES)
    assert scripted.llm_service.generations == generations + 1


def test_an_unreachable_gateway_is_tried_again_after_growing_pauses_or_at_once_on_demand(
    site: Page, scripted: Platform
) -> None:
    scripted.llm_service.pieces, scripted.llm_service.pace_seconds = ["됐습니다."], 0
    site.route("**/v1/**", lambda route: route.abort())
    ask(site)
    banner = site.locator(".banner")
    expect(banner).to_contain_text(re.compile("초 안에 다시 연결합니다"))
    site.unroute("**/v1/**")
    banner.get_by_role("button", name="지금 다시 연결").click()
    expect(site.locator(".words")).to_have_text("됐습니다.")
    expect(banner).to_have_count(0)


def test_a_reload_brings_back_the_masked_conversation_and_its_feedback(site: Page, scripted: Platform) -> None:
    scripted.llm_service.pieces = ()
    site.evaluate(
        "document.querySelector('haechi-chat').suggestions = ['제 번호는 010-1234-5678인데 가족이 와도 되나요?']"
    )
    site.get_by_role("button", name=re.compile("제 번호는")).click()
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.")
    assert "1234" in site.locator(".question p").inner_text()
    assert "5678" not in site.evaluate("JSON.stringify({ ...sessionStorage })")
    site.reload()
    expect(site.locator(".words")).to_be_visible()
    assert site.evaluate("document.activeElement.localName") == "body"
    expect(site.locator(".question p")).to_have_text("제 번호는 <KR_PHONE_1>인데 가족이 와도 되나요?")
    expect(site.locator(".words")).to_contain_text("위임을 받은 경우에는")
    before = len(scripted.llm_service.feedback)
    site.get_by_role("button", name="도움이 됐어요").click()
    expect(site.locator(".outcome")).to_contain_text("의견 감사합니다")
    assert len(scripted.llm_service.feedback) == before + 1


def test_what_was_kept_is_forgotten_after_half_an_hour(site: Page, scripted: Platform) -> None:
    scripted.llm_service.pieces = ["됐습니다."]
    ask(site)
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.")
    site.evaluate(
        """() => {
          const kept = JSON.parse(sessionStorage.getItem("haechi-chat"));
          if (kept.until - Date.now() > 30 * 60 * 1000) throw new Error("kept for too long");
          sessionStorage.setItem("haechi-chat", JSON.stringify({ ...kept, until: Date.now() - 1 }));
          document.querySelector("haechi-chat").remove();
        }"""
    )
    open_chat(site, scripted)
    assert site.locator(".turn").count() == 0


def test_an_answer_is_read_on_although_the_gateway_asks_for_a_pause(site: Page, scripted: Platform) -> None:
    scripted.llm_service.pieces, scripted.llm_service.pace_seconds = PIECES, 0.002
    scripted.cutter.after = {40}
    refusal = {"error": {"code": "too_many_questions", "message": "Later.", "message_ko": "나중에."}}
    refused: list[str] = []

    def once(route: Route) -> None:
        if "last-event-id" in route.request.headers and not refused:
            refused.append("once")
            route.fulfill(status=429, json=refusal, headers={"Access-Control-Allow-Origin": scripted.site})
        else:
            route.continue_()

    site.route("**/v1/chat", once)
    ask(site)
    expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.")
    assert refused == ["once"]
    assert copied(site, scripted) == "".join(PIECES)
