"""How the Slack process reaches Slack: through a forward proxy alone, and by requests that Slack makes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bot.gateway.slack.http import MAXIMUM_AGE_SECONDS, is_signed
from tests.bot.slack.conftest import Begin, payload
from tests.bot.slack.fake_slack import FakeSlack


@asynccontextmanager
async def forward_proxy(asked: list[str]) -> AsyncIterator[str]:
    """A forward proxy for http and ws that notes whom it was asked for."""
    passing: set[asyncio.Task[None]] = set()

    async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readline()
        target = urlsplit(first.split()[1].decode())
        asked.append(target.path)
        there, out = await asyncio.open_connection(target.hostname, target.port)
        out.write(first)
        await asyncio.gather(pump(reader, out), pump(there, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while part := await reader.read(65_536):
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(passed(reader, writer))
        passing.add(task)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in passing:
            task.cancel()
        if passing:
            await asyncio.wait(passing)


async def test_calls_and_the_socket_go_through_the_forward_proxy(begin: Begin, slack: FakeSlack) -> None:
    asked: list[str] = []
    async with forward_proxy(asked) as proxy, begin(slack_proxy=proxy):
        await slack.deliver("events_api", payload("message_im"))
        await slack.until(lambda: bool(slack.called("chat.stopStream")))
        await slack.deliver("slash_commands", payload("slash_command", response_url=f"{slack.url}/response/1"))
        await slack.until(lambda: len(slack.responses) == 2)
    assert {"/api/auth.test", "/link", "/api/chat.startStream", "/response/1"} <= set(asked)


def test_a_signature_counts_for_five_minutes_to_the_second() -> None:
    # The example of docs.slack.dev, "Verifying requests from Slack".
    secret, timestamp = "8f742231b10e8888abcd99yyyzzz85a5", 1531420618
    body = (
        b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name"
        b"=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
        b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id="
        b"398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
    )
    headers = {
        "x-slack-request-timestamp": str(timestamp),
        "x-slack-signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
    }
    for age, holds in ((0, True), (MAXIMUM_AGE_SECONDS, True), (MAXIMUM_AGE_SECONDS + 1, False), (-301, False)):
        assert is_signed(secret, headers, body, timestamp + age) is holds
    assert not is_signed(secret, headers, body + b"x", timestamp)
