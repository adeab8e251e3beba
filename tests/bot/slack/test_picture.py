"""The pictures of docs/slack.md are drawn by ourselves from the very payloads that the process sent.

They show which words and blocks stand where, not how Slack paints them; the pictures say so.
`HAECHI_DRAW_PICTURES=1` writes them anew.
"""

import html
import os
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import async_playwright

from tests.bot.slack.conftest import Begin, ScriptedLlmService, payload
from tests.bot.slack.fake_slack import FakeSlack
from tests.e2e.conftest import chromium_path

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
STYLE = """
body { font: 15px/1.5 'Noto Sans CJK KR', sans-serif; margin: 0; padding: 20px; width: 640px; color: #1d1c1d }
.what { color: #616061; font-size: 12px; margin-bottom: 12px } .who { font-weight: 700 }
.answer { white-space: pre-wrap } blockquote { margin: 2px 0 8px; padding-left: 10px; border-left: 3px solid #ccc }
.note { color: #616061; font-size: 12px; margin-top: 6px } .button { border: 1px solid #bbb; border-radius: 6px;
padding: 3px 10px; margin-right: 8px; display: inline-block; font-size: 13px; margin-top: 6px }
.field { border: 1px solid #bbb; border-radius: 6px; padding: 8px; margin: 4px 0 12px; min-height: 20px }
h1 { font-size: 18px; margin: 0 0 12px } b { font-weight: 700 }
"""
WHAT = "Drawn from the payload by the project's tests; Slack's own look differs."


def drawn(body: str) -> str:
    return f"<meta charset=utf-8><style>{STYLE}</style><div class=what>{WHAT}</div>{body}"


def answer_page(question: str, text: str, blocks: list[dict[str, Any]]) -> str:
    parts = [f"<div class=who>직원</div><p>@haechi {html.escape(question)}</p><div class=who>haechi · APP</div>"]
    parts.append(f"<div class=answer>{text}</div>")
    for block in blocks:
        match block["type"]:
            case "rich_text":
                parts += [_rich(element) for element in block["elements"]]
            case "context":
                parts.append(f"<div class=note>{html.escape(block['elements'][0]['text'])}</div>")
            case "context_actions":
                buttons = block["elements"][0]
                texts = (buttons[name]["text"]["text"] for name in ("positive_button", "negative_button"))
                parts.append("".join(f"<span class=button>{html.escape(text)}</span>" for text in texts))
    return drawn("".join(parts))


def form_page(view: dict[str, Any]) -> str:
    parts = [f"<h1>{html.escape(view['title']['text'])}</h1>"]
    for block in view["blocks"]:
        options = " · ".join(option["text"]["text"] for option in block["element"].get("options", ()))
        hint = f"<div class=note>{html.escape(block['hint']['text'])}</div>" if "hint" in block else ""
        label = html.escape(block["label"]["text"])
        parts.append(f"<b>{label}</b><div class=field>{html.escape(options)}</div>{hint}")
    parts.append(f"<span class=button>{view['close']['text']}</span><span class=button>{view['submit']['text']}</span>")
    return drawn("".join(parts))


def _rich(element: dict[str, Any]) -> str:
    text = html.escape("".join(part["text"] for part in element["elements"]))
    return f"<blockquote>{text}</blockquote>" if element["type"] == "rich_text_quote" else f"<div><b>{text}</b></div>"


@pytest.mark.browser
async def test_the_pictures_of_the_guide_show_what_is_sent(
    begin: Begin, slack: FakeSlack, llm_service: ScriptedLlmService, tmp_path: Path
) -> None:
    async with begin():
        await slack.deliver("events_api", payload("app_mention"))
        await slack.until(lambda: bool(slack.called("chat.stopStream")))
        handle = re.findall(r'"value": "down:([^"]+)"', "".join(slack.texts()))[0]
        judged = payload("block_actions")
        judged["actions"][0]["value"] = f"down:{handle}"
        await slack.deliver("interactive", judged)
        await slack.until(lambda: bool(slack.views))
    (message,) = slack.messages.values()
    question = "고객 가족이 와서 거래내역을 달라는데 줘도 되나요?"
    pages = {
        "slack-answer.png": answer_page(question, message.text, message.blocks),
        "slack-correction.png": form_page(slack.views[0]),
    }
    folder = IMAGES if os.environ.get("HAECHI_DRAW_PICTURES") else tmp_path
    if (program := chromium_path()) is None:
        pytest.skip("Debian's chromium is missing: apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = await browser.new_page(viewport={"width": 680, "height": 400})
        for name, content in pages.items():
            await page.set_content(content)
            await page.screenshot(path=folder / name, full_page=True)
            assert (IMAGES / name).exists()
        await browser.close()
