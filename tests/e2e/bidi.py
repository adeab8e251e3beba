"""A few words of WebDriver BiDi (W3C), enough to drive Debian's Firefox, which Playwright does not speak to."""

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

START_SECONDS = 60
KEYS = {"Enter": "\ue007", "Escape": "\ue00c"}


class Firefox:
    """One tab. Every call raises `AssertionError` with what the browser said against it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = count(1)
        self.tab = ""

    async def call(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            reply = json.loads((await self._socket.receive()).data)
            if reply.get("id") == number:
                assert reply["type"] == "success", reply
                result: dict[str, Any] = reply["result"]
                return result

    async def go(self, url: str) -> None:
        await self.call("browsingContext.navigate", context=self.tab, url=url, wait="complete")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression; promises are awaited."""
        target = {"context": self.tab}
        reply = await self.call("script.evaluate", expression=expression, target=target, awaitPromise=True)
        assert reply["type"] == "success", reply
        return reply["result"].get("value")

    async def until(self, expression: str) -> None:
        """Waits, in the page, until an expression holds."""
        await self.evaluate(
            "new Promise((done, never) => { const begun = Date.now(); const look = () => {"
            f" if ({expression}) done(); else if (Date.now() - begun > 15000) never(new Error('never'));"
            " else requestAnimationFrame(look); }; look(); })"
        )

    async def type(self, *keys: str) -> None:
        """Presses keys where the focus is: characters, or names of KEYS."""
        pressed = [
            {"type": kind, "value": KEYS.get(key, key)}
            for word in keys
            for key in ([word] if word in KEYS else word)
            for kind in ("keyDown", "keyUp")
        ]
        await self.call(
            "input.performActions", context=self.tab, actions=[{"type": "key", "id": "k", "actions": pressed}]
        )


@asynccontextmanager
async def firefox(program: str) -> AsyncIterator[Firefox]:
    """A headless Firefox with a profile of its own that is gone afterwards."""
    profile = tempfile.mkdtemp(prefix="haechi-firefox-")
    process = await asyncio.create_subprocess_exec(
        program, "--headless", "--remote-debugging-port", "0", "--profile", profile, "--no-remote", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE, env={"HOME": profile, "MOZ_HEADLESS": "1"},
    )  # fmt: skip
    try:
        async with asyncio.timeout(START_SECONDS):
            url = await _listening(process)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url}/session", max_msg_size=0) as socket:
            driven = Firefox(socket)
            await driven.call("session.new", capabilities={})
            tree = await driven.call("browsingContext.getTree")
            driven.tab = tree["contexts"][0]["context"]
            yield driven
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        shutil.rmtree(Path(profile), ignore_errors=True)


async def _listening(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    while line := (await process.stderr.readline()).decode():
        if found := re.search(r"WebDriver BiDi listening on (ws://\S+)", line):
            return found[1]
    raise AssertionError("Firefox ended before it listened")
