"""The chat in another engine: asked, answered, a source opened, judged, closed, under the bank's policy."""

import os
import shutil

import pytest

from tests.e2e.bidi import firefox
from tests.e2e.scripted import Platform

pytestmark = pytest.mark.browser

CHAT = "document.querySelector('haechi-chat').shadowRoot"
PROGRAM = os.environ.get("HAECHI_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")


@pytest.mark.skipif(PROGRAM is None, reason="NOT TRIED IN FIREFOX: apt-get install firefox-esr")
async def test_a_conversation_is_had_in_firefox(scripted: Platform) -> None:
    assert PROGRAM is not None
    scripted.llm_service.pieces = ["**동의**가 ", "있어야 합니다. [1]"]
    async with firefox(PROGRAM) as browser:
        await browser.go(scripted.site)
        await browser.until("document.documentElement.dataset.ready")
        await browser.evaluate(
            "window.violations = []; document.addEventListener('securitypolicyviolation', (event) =>"
            " window.violations.push(event.violatedDirective)); null"
        )
        await browser.evaluate(f"{CHAT}.querySelector('.launcher').click()")
        await browser.until(f"{CHAT}.activeElement?.id === 'question'")
        await browser.type("가족에게 알려도 되나요?", "Enter")
        await browser.until(f"{CHAT}.querySelector('.feedback')")
        assert await browser.evaluate(f"{CHAT}.querySelector('.words').textContent") == "동의가 있어야 합니다. 1"
        await browser.evaluate(f"{CHAT}.querySelector('.citation').click()")
        await browser.until(f"{CHAT}.querySelector('details[open] blockquote').checkVisibility()")
        before = len(scripted.llm_service.feedback)
        await browser.evaluate(f"{CHAT}.querySelector('[data-verdict=up]').click()")
        await browser.until(f"{CHAT}.querySelector('.outcome .note')")
        assert len(scripted.llm_service.feedback) == before + 1
        await browser.type("Escape")
        await browser.until(f"{CHAT}.activeElement?.matches('.launcher')")
        assert await browser.evaluate("window.violations.join()") == ""
