"""Answers are a model's words: 300 attempts to make more of them than words, under the policy a bank's page has."""

import json
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.scripted import tell

pytestmark = pytest.mark.browser

ALLOWED = ["P", "STRONG", "EM", "CODE", "PRE", "UL", "OL", "LI", "TABLE", "TR", "TH", "TD", "A", "SUP", "DIV"]
CHARACTERS_A_TOKEN = 11
PAYLOADS_AN_ANSWER = 40

BAD_ADDRESSES = (
    "javascript:window.pwned=1",
    "JaVaScRiPt:window.pwned=1",
    "java\tscript:window.pwned=1",
    "&#106;avascript:window.pwned=1",
    "%6aavascript:window.pwned=1",
    "\u0001javascript:window.pwned=1",
    "data:text/html,<script>window.pwned=1</script>",
    "data:image/svg+xml;base64,PHN2Zy8+",
    "vbscript:msgbox(1)",
    "file:///etc/passwd",
    "blob:https://bank.example/1",
    "http://plain.example/",
    "//protocol.example/",
    "/relative",
    "https://user:password@evil.example/",
    "ftp://files.example/",
)
LINK_FORMS = (
    "[더 보기]({})",
    "![그림]({})",
    "[![그림]({})](x)",
    '[**굵게**]({} "title")',
    "<{}>",
    "[a]: {}\n[a]",
    "| [표]({}) |\n|---|\n| [칸]({}) |",
    "- [목록]({})",
    "> [인용]({})",
    "`code` [뒤]({})",
)
MARKUP = (
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<svg onload=window.pwned=1>",
    "<svg><animate onbegin=window.pwned=1 attributeName=x dur=1s>",
    "<svg><script>window.pwned=1</script></svg>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'></iframe>",
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.pwned=1&gt;">',
    '<noscript><p title="</noscript><img src=x onerror=window.pwned=1>">',
    "<template><img src=x onerror=window.pwned=1></template>",
    "<details open ontoggle=window.pwned=1>",
    "<a href=javascript:window.pwned=1>x</a>",
    "<form action=javascript:window.pwned=1><button>x</button></form>",
    "<style>*{background:url(javascript:window.pwned=1)}</style>",
    "<!--?lit$012345678$--><img src=x onerror=window.pwned=1>",
    "{{constructor.constructor('window.pwned=1')()}}",
    "${window.pwned=1}",
)
MARKUP_FORMS = (
    "{}",
    "**{}**",
    "`{}`",
    "```\n{}\n```",
    "| {} | b |\n|---|---|\n| {} | d |",
    "- {}",
    "1. {}",
    "# {}",
    "[{}](https://bank.example)",
)
PAYLOADS = [form.replace("{}", bad) for form, bad in product(LINK_FORMS, BAD_ADDRESSES)]
PAYLOADS += [form.replace("{}", bad) for form, bad in product(MARKUP_FORMS, MARKUP)]
WATCH_SCRIPT = """(allowed) => {
  window.seen = new Set(); window.addresses = new Set(); window.pwned = 0;
  const chat = document.querySelector("haechi-chat").shadowRoot;
  // Every step of the answer that grows; the whole of them all is looked at in the end.
  const look = (selector = ".turn:last-child .words *") => {
    for (const element of chat.querySelectorAll(selector)) {
      const ours = element.matches("sup > button.citation") && /^\\d+$/.test(element.textContent);
      if (!allowed.includes(element.tagName) && !ours) window.seen.add(element.tagName);
      if (element.href) window.addresses.add(element.href);
      for (const { name } of element.attributes) if (name.startsWith("on") || name === "style") window.seen.add(name);
    }
  };
  window.look = look;
  const everything = { childList: true, subtree: true, attributes: true, characterData: true };
  new MutationObserver(() => look()).observe(chat, everything);
}"""


def test_three_hundred_payloads_leave_words_and_nothing_else(site: Page) -> None:
    assert len(PAYLOADS) >= 300
    site.evaluate(WATCH_SCRIPT, ALLOWED)
    for start in range(0, len(PAYLOADS), PAYLOADS_AN_ANSWER):
        text = "\n\n".join(PAYLOADS[start : start + PAYLOADS_AN_ANSWER])
        tell(site, [text[at : at + CHARACTERS_A_TOKEN] for at in range(0, len(text), CHARACTERS_A_TOKEN)])
        site.locator("#question").fill(f"{start}번째부터")
        site.keyboard.press("Enter")
        expect(site.locator(".words")).to_have_count(start // PAYLOADS_AN_ANSWER + 1)
        expect(site.locator("#send")).to_be_visible()
    site.evaluate("window.look('.words *')")
    assert site.evaluate("[...window.seen]") == []
    addresses = set(site.evaluate("[...window.addresses]"))
    assert {address.split(":")[0] for address in addresses} <= {"https", "tel", "mailto"}
    assert not [address for address in addresses if "evil" in address or "script" in address]
    assert site.evaluate("window.pwned") == 0


DRAWN = [
    ("**굵게** *기울임* `코드`", "<p><strong>굵게</strong> <em>기울임</em> <code>코드</code></p>"),
    ("계좌_번호_확인과 2 * 3 * 4", "<p>계좌_번호_확인과 2 * 3 * 4</p>"),
    ("[은행](https://bank.example/a_(b)) 끝)", '<p><a href="https://bank.example/a_(b)">은행</a> 끝)</p>'),
    ("(https://bank.example/a) 참고.", '<p>(<a href="https://bank.example/a">https://bank.example/a</a>) 참고.</p>'),
    ("[전화](tel:1588-0000)", '<p><a href="tel:1588-0000">전화</a></p>'),
    ("[나쁜](javascript:alert(1)) 링크", "<p>나쁜 링크</p>"),
    ("3. 셋째\n4. 넷째", '<ol start="3"><li>셋째</li><li>넷째</li></ol>'),
    ("- 하나\n  - 안쪽\n- 둘", "<ul><li>하나<ul><li>안쪽</li></ul></li><li>둘</li></ul>"),
    (
        "| 가 | 나 |\n|---|---|\n| 1 | 2 |",
        "<div><table><tr><th>가</th><th>나</th></tr><tr><td>1</td><td>2</td></tr></table></div>",
    ),
    ("```\n<b>&amp;\n```", "<pre><code>&lt;b&gt;&amp;amp;</code></pre>"),
    ("# 제목\n본문", "<p><strong>제목</strong></p><p>본문</p>"),
    ("첫 줄\n둘째 줄", "<p>첫 줄\n둘째 줄</p>"),
    ("근거 [1]와 [9]", "<p>근거 <sup><button>1</button></sup>와 [9]</p>"),
    ("\\*별\\*", "<p>*별*</p>"),
    ("**열린 채", "<p>**열린 채</p>"),
]
OUTLINE_SCRIPT = """(words) => {
  const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const outline = (node) => {
    if (node.nodeType === Node.TEXT_NODE) return escape(node.data);
    if (node.nodeType !== Node.ELEMENT_NODE) return "";
    const kept = ["href", "start"].filter((name) => node.hasAttribute(name));
    const attributes = kept.map((name) => ` ${name}="${node.getAttribute(name)}"`).join("");
    const name = node.localName;
    return `<${name}${attributes}>${[...node.childNodes].map(outline).join("")}</${name}>`;
  };
  return [...words.childNodes].map(outline).join("");
}"""


def test_markdown_becomes_these_elements(site: Page) -> None:
    for number, (written, drawn) in enumerate(DRAWN):
        tell(site, [written])
        site.locator("#question").fill(json.dumps(number))
        site.keyboard.press("Enter")
        expect(site.locator(".words")).to_have_count(number + 1)
        expect(site.locator("#send")).to_be_visible()
        assert site.locator(".words").last.evaluate(OUTLINE_SCRIPT) == drawn, written
