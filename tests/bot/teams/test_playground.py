"""A question, its answer and a correction in Microsoft's own test client for bots, where somebody asks for it.

The client knows Teams' built-in box for feedback only; the form is tested with the renderer, in `test_cards.py`.
"""

import asyncio
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect, sync_playwright

from bot.gateway.texts import sentence
from bot.teams_door.app import create_app
from bot.teams_door.inbox import KeyPair
from tests.bot.gateway.stand_ins import RASA_TOKEN, SENTENCES, SERVICE_TOKEN, RasaStandIn, served
from tests.bot.teams.bank import TalkingStandIn, in_teams
from tests.bot.teams.conftest import door_settings
from tests.bot.teams.microsoft import KeyServer, Signer
from tests.e2e.conftest import CHROMIUM_ARGUMENTS, chromium_path
from tests.ports import free_port

COPY = os.environ.get("HAECHI_AGENTS_PLAYGROUND", "")
TENANT_OF_THE_PLAYGROUND = "00000000-0000-0000-0000-0000000000001"
pytestmark = [
    pytest.mark.agents_playground,
    pytest.mark.skipif(
        not COPY,
        reason="MICROSOFT'S AGENTS PLAYGROUND DOES NOT RUN: its licence is for evaluation; name the cli.js of a copy of"
        " yours in HAECHI_AGENTS_PLAYGROUND to run against it",
    ),
]


@pytest.fixture
def playground(redis_url: str, inbox_keys: KeyPair, signer: Signer) -> Iterator[tuple[str, TalkingStandIn]]:
    """The client's address, before a door that asks for no token and a worker that answers at its connector."""
    port = free_port()
    with served(KeyServer(signer.key_set()).app()) as keys_url:
        settings = door_settings(
            redis_url,
            inbox_keys,
            keys_url,
            teams_allow_unauthenticated=True,
            teams_service_hosts="localhost,127.0.0.1",
            teams_tenants=TENANT_OF_THE_PLAYGROUND,
        )
        with served(create_app(settings)) as door_url:
            command = [str(shutil.which("node")), COPY, "start", "-e", f"{door_url}/api/messages", "-c", "msteams"]
            url = f"http://localhost:{port}"
            command += ["--dt", "-p", str(port), "--service-url", f"{url}/_connector"]
            environment = {**os.environ, "BROWSER": "none"}
            with subprocess.Popen(
                command, cwd=Path(COPY).parent, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ) as client:
                try:
                    _wait_for(url)
                    with answered_at(url, redis_url, inbox_keys) as engine:
                        yield url, engine
                finally:
                    client.terminate()


class answered_at:  # noqa: N801 - used as a function
    """The worker in a thread of its own: the browser keeps this one."""

    def __init__(self, url: str, redis_url: str, keys: KeyPair) -> None:
        self._url, self._redis_url, self._keys = url, redis_url, keys
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._engine = TalkingStandIn(pace_seconds=0.15)

    def __enter__(self) -> TalkingStandIn:
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._answer(),))
        self._thread.start()
        return self._engine

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(timeout=30)
        self._loop.close()

    async def _answer(self) -> None:
        with served(self._engine.app()) as llm_service_url, served(RasaStandIn().app()) as rasa_url:
            gateway: dict[str, Any] = {
                "llm_service_url": llm_service_url,
                "rasa_url": rasa_url,
                "rasa_token": RASA_TOKEN,
                "service_token": SERVICE_TOKEN,
            }
            async with in_teams(
                gateway,
                self._redis_url,
                self._keys,
                self._engine,
                mounts={self._url: httpx.AsyncHTTPTransport(trust_env=False)},
                teams_service_hosts="localhost,127.0.0.1",
                teams_tenants=TENANT_OF_THE_PLAYGROUND,
            ):
                await self._stop.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("the Agents Playground did not start")


def test_a_question_is_streamed_labelled_and_judged(playground: tuple[str, TalkingStandIn]) -> None:
    url, engine = playground

    def only_here(route: Route) -> None:
        if route.request.url.startswith(url):
            route.continue_()
        else:
            route.abort()

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=CHROMIUM_ARGUMENTS)
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.route("**/*", only_here)
        page.goto(url)
        box = page.get_by_role("textbox").first
        box.click()
        box.press_sequentially("가족이 통장 거래내역을 요청하면 줄 수 있나요?")
        box.press("Enter")
        try:
            expect(page.get_by_text(SENTENCES[3].split(" [")[0])).to_be_visible(timeout=40_000)
            expect(page.get_by_text("AI generated").first).to_be_visible()
            page.get_by_role("button", name="Dislike").first.click()
            page.get_by_role("dialog").get_by_role("textbox").fill("예전 내용입니다.")
            page.get_by_role("button", name="Submit").click()
            expect(page.get_by_text(sentence("replies", "feedback", "ko")).first).to_be_visible(timeout=10_000)
            (stored,) = engine.feedback
            assert (stored["verdict"], stored["correction"]) == ("down", "예전 내용입니다.")
        finally:
            if folder := os.environ.get("HAECHI_TEAMS_PICTURES"):
                page.screenshot(path=f"{folder}/playground.png")
            browser.close()
