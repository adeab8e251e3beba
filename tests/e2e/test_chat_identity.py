"""The bank's site says who is there: tokens fetched when needed, refused with a reason, kept apart by person."""

import hashlib
import time

import jwt
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.scripted import TOKEN_KEY, Platform

pytestmark = pytest.mark.browser

ALICE, BORA = (hashlib.sha256(name).hexdigest() for name in (b"alice", b"bora"))


def token(subject: str, age_seconds: int = 0) -> str:
    begun = int(time.time()) - age_seconds
    claims = {"aud": "haechi-chat", "sub": subject, "kind": "customer", "iat": begun, "exp": begun + 600}
    return jwt.encode(claims, TOKEN_KEY, algorithm="HS256")


def ask(page: Page, question: str = "예금은요?") -> None:
    page.locator("#question").fill(question)
    page.keyboard.press("Enter")


def test_an_expired_token_is_fetched_anew_and_the_customer_is_the_banks(site: Page, scripted: Platform) -> None:
    scripted.llm_service.pieces = ["됐습니다."]
    tokens = [token(ALICE, age_seconds=700), token(ALICE)]
    site.evaluate(
        """(tokens) => { window.fetched = 0;
          document.querySelector("haechi-chat").tokenProvider = async () => tokens[window.fetched++]; }""",
        tokens,
    )
    ask(site)
    expect(site.locator(".words")).to_have_text("됐습니다.")
    assert site.evaluate("window.fetched") == len(tokens)
    assert scripted.llm_service.conversation_keys[-1]["user"] == f"customer:{ALICE}"


def test_a_refused_token_says_why_to_the_person_and_to_the_page(site: Page) -> None:
    site.evaluate("addEventListener('haechi-chat-error', ({ detail }) => { window.code = detail.code; })")
    site.evaluate("(token) => { document.querySelector('haechi-chat').userToken = token }", token(ALICE, 700))
    ask(site)
    expect(site.locator(".controls .error")).to_contain_text("로그인 확인 시간이 지났습니다")
    assert site.evaluate("window.code") == "identity_expired"


def test_with_another_persons_token_nothing_of_the_first_stays_on_the_screen(site: Page, scripted: Platform) -> None:
    scripted.llm_service.pieces = ["됐습니다."]
    chat = "document.querySelector('haechi-chat')"
    site.evaluate(f"(token) => {{ {chat}.userToken = token }}", token(ALICE))
    ask(site)
    expect(site.locator(".words")).to_have_text("됐습니다.")
    site.evaluate(f"(token) => {{ {chat}.userToken = token }}", token(ALICE, age_seconds=60))
    expect(site.locator(".words")).to_have_text("됐습니다.")
    site.evaluate(f"(token) => {{ {chat}.userToken = token }}", token(BORA))
    expect(site.locator(".turn")).to_have_count(0)
