"""A Redis that hangs or dies: calls end with a code within a stated time, and so does every open stream."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import pytest

from llm_service.answering.stream import RedisAnswerLog
from llm_service.client import CONVERSATION_HEADER, ConversationKey, ServiceError
from llm_service.errors import Unavailable

CUSTOMER = ConversationKey(channel="web", thread="thread-1", user="user-1", audience="customer")
HEARTBEAT_SECONDS = 0.05
PATIENCE_SECONDS = 15.0


class Door:
    """A way to Redis that can be shut, and that can swallow what is sent instead of passing it on."""

    def __init__(self, redis_url: str, swallows: bytes | None = None) -> None:
        self._inside = urlsplit(redis_url)
        self._swallows = swallows
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> str:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://:{self._inside.password}@127.0.0.1:{port}/0"

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = await asyncio.open_connection(self._inside.hostname, self._inside.port)
        self._open |= {writer, inside[1]}
        await asyncio.gather(self._pump(reader, inside[1], self._swallows), self._pump(inside[0], writer, None))

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, swallows: bytes | None) -> None:
        try:
            while piece := await source.read(65_536):
                if swallows is None or swallows not in piece:
                    sink.write(piece)
        except ConnectionError:
            return
        finally:
            sink.transport.abort()


@pytest.fixture
async def door_to_redis(redis_url: str) -> AsyncIterator[Callable[..., Awaitable[Door]]]:
    doors: list[Door] = []

    async def make(swallows: bytes | None = None) -> Door:
        doors.append(Door(redis_url, swallows))
        return doors[-1]

    yield make
    for door in doors:
        await door.shut()


CALLS: dict[str, Callable[[RedisAnswerLog], Awaitable[object]]] = {
    "append": lambda log: log.append("turn", "token", {"text": "a"}),
    "read": lambda log: log.read("turn", 0, 0),
    "finished": lambda log: log.finished("turn"),
    "ping": lambda log: log.ping(),
}


@pytest.mark.parametrize("call", CALLS)
async def test_a_redis_that_accepts_and_never_answers_is_unavailable(call: str, door_to_redis) -> None:
    door = await door_to_redis(swallows=b"")
    log = RedisAnswerLog(await door.open(), kept_seconds=60, longest_wait_seconds=HEARTBEAT_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(Unavailable, match="redis_unavailable"):
            await CALLS[call](log)
    await log.close()


async def test_a_redis_that_hangs_while_a_reader_waits_is_unavailable(door_to_redis) -> None:
    door = await door_to_redis(swallows=b"BLOCK")
    log = RedisAnswerLog(await door.open(), kept_seconds=60, longest_wait_seconds=HEARTBEAT_SECONDS)
    assert await log.append("turn", "token", {"text": "a"}) == 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(Unavailable, match="redis_unavailable"):
            await log.read("turn", 1, HEARTBEAT_SECONDS)
    await log.close()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_stream_that_cannot_begin_is_declined(make_settings, analysers, run_service) -> None:
    async with run_service(make_settings(redis_url="redis://127.0.0.1:1/0"), analysers) as service:
        accepted = await service.client.create_turn("event-1", CUSTOMER, "한도가 얼마인가요?")
        with pytest.raises(ServiceError) as refused:
            await anext(service.client.events(accepted.turn_id, accepted.conversation_id))
    assert (refused.value.status, refused.value.code) == (503, "redis_unavailable")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_stream_whose_redis_dies_ends_with_an_error_event(
    make_settings, analysers, run_service, door_to_redis
) -> None:
    door = await door_to_redis()
    settings = make_settings(redis_url=await door.open(), stream_heartbeat_seconds=HEARTBEAT_SECONDS)
    async with run_service(settings, analysers) as service:
        accepted = await service.client.create_turn("event-1", CUSTOMER, "한도가 얼마인가요?")
        headers = {"Authorization": "Bearer " + settings.service_token.get_secret_value()}
        headers[CONVERSATION_HEADER] = accepted.conversation_id
        address = f"{service.url}/v1/turns/{accepted.turn_id}/events"
        async with httpx.AsyncClient() as http, http.stream("GET", address, headers=headers) as reply:
            lines = reply.aiter_lines()
            assert await anext(lines) == ": waiting"
            await door.shut()
            told = [line async for line in lines if line and line != ": waiting"]
        assert told[:2] == ["id: 0", "event: error"]
        assert '"code": "redis_unavailable"' in told[2]
        assert "ended by a fault" not in service.logs.getvalue()
        assert "RuntimeError" not in service.logs.getvalue()
