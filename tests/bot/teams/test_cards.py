"""Every card passes the renderer that Teams itself uses, in a browser, with its inputs labelled; the package passes
Microsoft's schema (T6)."""

import asyncio
import io
import json
import os
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from playwright.sync_api import Page, sync_playwright

from bot.gateway.channel import OutboundSource
from bot.gateway.outbound import OutboundGate
from bot.gateway.teams.app_package import TEMPLATE, PackageError, PackageValues, app_package, manifest
from bot.gateway.teams.cards import sources_card
from bot.teams_door.dialogs import REASONS, correction_form
from llm_service.client import LlmServiceClient, Locale
from tests.bot.gateway.stand_ins import SOURCES, LlmServiceStandIn, served
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, chromium_path

RENDERER = Path(__file__).with_name("renderer")
SCRIPT = RENDERER / "node_modules" / "adaptivecards" / "dist" / "adaptivecards.min.js"
SCHEMAS = RENDERER / "node_modules" / "@microsoft" / "app-manifest" / "build" / "json-schemas" / "teams"
VALUES = PackageValues("8A7C3C1E-2f6b-4d3a-9b1e-6d2f1a0c5e44", "해치은행", "https://bank.example/", "1.2.3")
LOCALES: tuple[Locale, ...] = ("ko", "en")
ODD_NAME = "[별표 1] 수수료*표*_2025_ \\ 끝"
RENDER = """card => {
  AdaptiveCards.AdaptiveCard.onProcessMarkdown = (text, result) => {
    const escaped = document.createElement("span");
    escaped.textContent = text.replace(/\\\\([\\\\*_\\[\\]])/g, "$1");
    result.outputHtml = escaped.innerHTML;
    result.didProcess = true;
  };
  const context = new AdaptiveCards.SerializationContext(AdaptiveCards.Versions.v1_5);
  const made = new AdaptiveCards.AdaptiveCard();
  made.parse(card, context);
  const complaints = [];
  for (let i = 0; i < context.eventCount; i++) complaints.push(context.getEventAt(i).message);
  complaints.push(...made.validateProperties().validationEvents.map(event => event.message));
  const shown = made.render();
  document.querySelector("main").replaceChildren(shown);
  const texts = ids => ids.split(" ").map(id => document.getElementById(id)?.textContent ?? "").join(" ").trim();
  const name = element => element.getAttribute("aria-label") || texts(element.getAttribute("aria-labelledby") ?? "")
    || element.labels?.[0]?.textContent || "";
  const inputs = [...shown.querySelectorAll("input, textarea, select, [role=radiogroup]")]
    .map(element => [element.tagName + (element.type ? ":" + element.type : ""), name(element)]);
  const buttons = [...shown.querySelectorAll("button")].map(button => button.innerText);
  return {complaints, inputs, text: shown.innerText, buttons};
}"""
PAGE = """<!doctype html><meta charset=utf-8><style>
body{margin:0;padding:16px;background:#f5f5f5;font:14px/1.45 "Noto Sans CJK KR",sans-serif;color:#242424}
main{background:#fff;border:1px solid #d1d1d1;border-radius:8px;padding:16px;width:440px}
textarea{width:100%;box-sizing:border-box;font:inherit;min-height:72px}
.ac-pushButton{font:inherit;padding:5px 12px;border:1px solid #d1d1d1;border-radius:4px;background:#fff}
.style-positive{background:#5b5fc7;color:#fff}
</style><main></main>"""


@pytest.fixture(scope="module")
def installed() -> None:
    """The renderer and the schemas, by npm and its lock file."""
    if SCRIPT.is_file():
        return
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("NO CARD AND NO MANIFEST IS TESTED: npm is missing; apt-get install npm")
    done = subprocess.run([npm, "ci", "--ignore-scripts"], cwd=RENDERER, capture_output=True, timeout=240, check=False)
    if done.returncode != 0:
        pytest.skip("NO CARD AND NO MANIFEST IS TESTED: run `npm ci` in tests/bot/teams/renderer")


async def sources_of(gate: OutboundGate, locale: Locale, label: str | None = None) -> dict[str, Any]:
    sources = [
        OutboundSource(
            source["number"],
            await gate.literal(label or source["label"], "bank", locale),
            await gate.literal(source["text"], "bank", locale),
        )
        for source in SOURCES
    ]
    card = sources_card(sources, gate.own("teams", "sources", locale), locale)
    return dict(json.loads(card.model_dump_json(by_alias=True, exclude_none=True)))


@pytest.fixture(scope="module")
def cards() -> dict[str, dict[str, Any]]:
    """Cards as the worker makes them; made before there is a browser, which keeps an event loop of its own."""

    async def made(url: str) -> dict[str, dict[str, Any]]:
        client = LlmServiceClient(url, "token")
        gate = OutboundGate(client, [], "https://bank.example/chat")
        found = {locale: await sources_of(gate, locale) for locale in LOCALES}
        found["odd"] = await sources_of(gate, "ko", ODD_NAME)
        await client.close()
        return found

    with served(LlmServiceStandIn().app()) as url:
        return asyncio.run(made(url))


@pytest.fixture(scope="module")
def renderer(installed: None, cards: dict[str, dict[str, Any]]) -> Iterator[Page]:
    executable = chromium_path()
    if executable is None:
        pytest.skip("NO CARD IS TESTED: chromium is missing; apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(device_scale_factor=2, viewport={"width": 520, "height": 900})
        yield page
        browser.close()


def rendered(page: Page, card: dict[str, Any]) -> dict[str, Any]:
    # A fresh page each time: the renderer's check of `lang` remembers where it last looked.
    page.set_content(PAGE)
    page.add_script_tag(path=SCRIPT)
    found: dict[str, Any] = page.evaluate(RENDER, card)
    return found


@pytest.mark.browser
@pytest.mark.parametrize("locale", LOCALES)
def test_t6_the_correction_form_passes_the_renderer_and_its_inputs_are_labelled(renderer: Page, locale: Locale) -> None:
    found = rendered(renderer, correction_form(locale))
    assert found["complaints"] == []
    kinds = [kind for kind, _ in found["inputs"]]
    assert kinds.count("INPUT:radio") == len(REASONS)
    assert kinds.count("TEXTAREA:textarea") == 1
    assert all(label.strip() for _, label in found["inputs"]), found["inputs"]
    assert len(found["buttons"]) == 1
    _picture(renderer, f"teams-correction-{locale}.png")


@pytest.mark.browser
@pytest.mark.parametrize("locale", LOCALES)
def test_t6_the_sources_card_passes_the_renderer_and_names_every_source(
    renderer: Page, cards: dict[str, dict[str, Any]], locale: Locale
) -> None:
    found = rendered(renderer, cards[locale])
    assert found["complaints"] == []
    assert found["buttons"] == ["[1]", "[2]"]
    for source in SOURCES:
        assert f"[{source['number']}] {source['label']}" in found["text"]
        assert str(source["text"])[:20] not in found["text"], "a passage is folded until its number is pressed"
    renderer.get_by_role("button", name="[2]").click()
    assert str(SOURCES[1]["text"])[:20] in renderer.inner_text("main")
    _picture(renderer, f"teams-sources-{locale}.png")


@pytest.mark.browser
def test_t6_marks_in_a_documents_name_stay_what_they_are(renderer: Page, cards: dict[str, dict[str, Any]]) -> None:
    assert ODD_NAME in rendered(renderer, cards["odd"])["text"]


@pytest.mark.browser
@pytest.mark.parametrize(
    "broken",
    [
        {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "Input.Txt", "id": "a"}]},
        {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "Input.Text", "label": "no id"}]},
        {"type": "AdaptiveCard", "version": "1.5", "body": [{"type": "TextBlock", "text": "a", "weight": "Fat"}]},
    ],
)
def test_the_renderer_complains_of_a_card_that_is_wrong(renderer: Page, broken: dict[str, Any]) -> None:
    assert rendered(renderer, broken)["complaints"]


def schema_of(version: str, name: str) -> dict[str, Any]:
    return dict(json.loads((SCHEMAS / f"v{version}" / f"MicrosoftTeams{name}.schema.json").read_text(encoding="utf-8")))


def test_t6_the_manifest_and_its_english_texts_pass_microsofts_schema(installed: None) -> None:
    made = manifest(VALUES)
    jsonschema.Draft4Validator(schema_of(made["manifestVersion"], "")).validate(made)
    english = json.loads((TEMPLATE / "en.json").read_text(encoding="utf-8"))
    jsonschema.Draft4Validator(schema_of(made["manifestVersion"], ".Localization")).validate(english)
    assert "{{" not in json.dumps(made)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(schema_of("1.25", "")).validate({**made, "accentColor": "green"})


def test_the_package_holds_what_the_manifest_names_and_is_the_same_each_time() -> None:
    packed = app_package(VALUES)
    assert packed == app_package(VALUES)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        made = json.loads(archive.read("manifest.json"))
        named = {*made["icons"].values(), *(one["file"] for one in made["localizationInfo"]["additionalLanguages"])}
        assert set(archive.namelist()) == named | {"manifest.json"}
        sizes = {name: struct.unpack(">II", archive.read(name)[16:24]) for name in made["icons"].values()}
    assert sizes == {"color.png": (192, 192), "outline.png": (32, 32)}
    assert made["bots"][0]["botId"] == made["id"] == VALUES.app_id.lower()
    assert made["developer"]["privacyUrl"] == "https://bank.example/privacy"


@pytest.mark.parametrize(
    "wrong",
    [{"app_id": "haechi"}, {"bank": ""}, {"bank": "가" * 33}, {"website": "http://bank.example"}, {"version": "1"}],
)
def test_a_value_that_teams_would_refuse_is_refused_by_name(wrong: dict[str, str]) -> None:
    with pytest.raises(PackageError):
        manifest(PackageValues(**{**vars(VALUES), **wrong}))


def test_a_quotation_mark_in_a_name_stays_a_part_of_it() -> None:
    assert manifest(PackageValues(VALUES.app_id, '"해치"\\은행', VALUES.website))["developer"]["name"] == '"해치"\\은행'


def _picture(page: Page, name: str) -> None:
    """For the guide: `HAECHI_TEAMS_PICTURES=docs/images`."""
    if folder := os.environ.get("HAECHI_TEAMS_PICTURES"):
        page.locator("main").screenshot(path=str(Path(folder) / name))
