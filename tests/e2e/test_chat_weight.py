"""What the chat costs a page: one request within its budget, little script time, no long task while an answer grows."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from bot.gateway import assets
from tests.e2e.scripted import Platform

pytestmark = pytest.mark.browser

BUDGET_BYTES = 25_000
EVALUATION_MILLISECONDS = 50
RENDER_MILLISECONDS = 5
LONGEST_TASK_MILLISECONDS = 50
# About 3,000 characters of paragraphs, lists and citations, in tokens of a word each.
ANSWER = [
    f"{word} "
    for number in range(30)
    for word in (
        f"**{number}.** 금융회사는 명의인의 서면상의 요구나 동의를 받지 아니하고는 거래정보를 줄 수 없습니다. [1]\n\n"
        f"- 위임장과 `신분증` 사본을 확인합니다. [2]\n- 자세한 것은 영업점에서 안내합니다.\n\n"
    ).split(" ")
]


def test_loading_the_chat_is_one_request_within_its_budget(browser: Browser, scripted: Platform) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{scripted.site}/empty")
    asked.clear()
    page.evaluate("import('/widget/haechi-chat.js').then(() => null)")
    page.evaluate("document.body.append(document.createElement('haechi-chat'))")
    page.locator(".launcher").click()
    page.locator("#question").wait_for()
    page.close()
    assert asked == [f"{scripted.site}/widget/haechi-chat.js"]
    assert len(gzip.compress((assets.DIRECTORY / "haechi-chat.js").read_bytes(), 9)) <= BUDGET_BYTES


def test_the_script_is_evaluated_quickly(browser: Browser, scripted: Platform, tmp_path: Path) -> None:
    page = browser.new_page()
    page.goto(f"{scripted.site}/empty")
    with traced(browser, page, tmp_path / "trace.json", ["devtools.timeline", "v8"]) as events:
        page.evaluate("import('/widget/haechi-chat.js').then(() => null)")
    page.close()
    names = ("v8.compileModule", "v8.evaluateModule", "V8.CompileModule")
    spent = sum(processor_milliseconds(event) for event in events if event["name"] in names)
    print(f"{spent:.1f} ms to compile and evaluate")
    assert 0 < spent <= EVALUATION_MILLISECONDS


def test_a_growing_answer_is_drawn_in_little_time_without_long_tasks(
    browser: Browser, site: Page, tmp_path: Path
) -> None:
    assert 2_800 <= len("".join(ANSWER)) <= 3_800
    site.evaluate(
        """() => {
          window.drawn = [];
          const chat = document.querySelector("haechi-chat");
          const update = chat.performUpdate;
          chat.performUpdate = function () {
            const begun = performance.now(); update.call(this); window.drawn.push(performance.now() - begun);
          };
        }"""
    )
    site.evaluate(STREAM_SCRIPT, ANSWER)
    site.locator("#question").fill("길게 알려 주세요")
    with traced(browser, site, tmp_path / "trace.json", ["disabled-by-default-devtools.timeline"]) as events:
        site.keyboard.press("Enter")
        expect(site.get_by_role("status")).to_have_text("답변이 완료되었습니다.", timeout=30_000)
    tasks = [processor_milliseconds(event) for event in events if event["name"] == "RunTask"]
    # The slowest twentieth is what other processes make of it.
    drawn = sorted(site.evaluate("window.drawn"))
    usual = drawn[: len(drawn) * 19 // 20]
    print(f"{len(drawn)} updates, {sum(usual) / len(usual):.2f} ms on average; longest task {max(tasks):.0f} ms")
    assert len(drawn) >= len(ANSWER)
    assert sum(usual) / len(usual) <= RENDER_MILLISECONDS
    assert max(tasks) <= LONGEST_TASK_MILLISECONDS


@contextmanager
def traced(browser: Browser, page: Page, path: Path, categories: list[str]) -> Iterator[list[dict[str, Any]]]:
    """Chromium's own trace of a block; the list is filled when the block ends."""
    events: list[dict[str, Any]] = []
    browser.start_tracing(page=page, path=path, categories=categories)
    yield events
    browser.stop_tracing()
    whole = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    events += [event for event in whole if event.get("ph") == "X"]


def processor_milliseconds(event: dict[str, Any]) -> float:
    """The time a task had the processor: waiting for other processes is not the script's. Traces count microseconds."""
    return float(event.get("tdur", event["dur"])) / 1000


# A stream inside the page, one token a task: what is measured is the drawing and not this machine's network.
STREAM_SCRIPT = """(tokens) => {
  const events = [["turn", { turn_id: "t", masked: false }], ...tokens.map((text) => ["token", { text }]),
    ["done", { turn_id: "t", state: "answered", refused: false, engine: "model", timings: {} }]];
  const real = window.fetch;
  window.fetch = async (url, options) => {
    if (!String(url).endsWith("/v1/chat")) return real(url, options);
    const encoder = new TextEncoder();
    let sent = 0;
    const body = new ReadableStream({
      async pull(controller) {
        await new Promise((next) => {
          const { port1, port2 } = new MessageChannel();
          port1.onmessage = () => { port1.close(); next(); };
          port2.postMessage(null);
        });
        if (sent === events.length) { controller.close(); return; }
        const [event, data] = events[sent];
        controller.enqueue(encoder.encode(`id: ${sent}\\nevent: ${event}\\ndata: ${JSON.stringify(data)}\\n\\n`));
        sent += 1;
      },
    }, { highWaterMark: 0 });
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  };
}"""
