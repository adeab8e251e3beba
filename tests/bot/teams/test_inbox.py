"""The way from the DMZ into the bank, with the rights that the guide gives the door in Redis."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import redis.asyncio as redis
from redis.exceptions import NoPermissionError

from bot.teams_door.activity import activity_of, message_of
from bot.teams_door.inbox import SEEN, STREAM, InboxDoor, InboxWorker, KeyPair, new_keys
from bot.teams_door.message import TeamsMessage
from tests.bot.teams.microsoft import payload

GUIDE = Path(__file__).parents[3] / "docs" / "teams.md"
MESSAGE = message_of(activity_of(json.dumps(payload("personal_message")).encode()))


def numbered(number: int) -> TeamsMessage:
    assert MESSAGE is not None
    return replace(MESSAGE, activity_id=f"a{number}")


@pytest.fixture
async def door(redis_url: str, inbox_keys: KeyPair) -> AsyncIterator[InboxDoor]:
    door = InboxDoor(redis_url, inbox_keys.public, 100)
    yield door
    await door.close()


@pytest.fixture
async def worker(redis_url: str, inbox_keys: KeyPair) -> AsyncIterator[InboxWorker]:
    worker = InboxWorker(redis_url, inbox_keys.private, "w1", abandoned_milliseconds=200, wait_milliseconds=20)
    await worker.prepare()
    yield worker
    await worker.close()


async def test_messages_come_out_once_in_their_order_and_leave_nothing(
    door: InboxDoor, worker: InboxWorker, redis_url: str
) -> None:
    for number in range(3):
        assert await door.put(numbered(number)) == "new"
    for number in range(3):
        taken = await worker.take()
        assert taken is not None
        entry = worker.open(taken)
        assert (entry.message, entry.handed_out_before) == (numbered(number), 0)
        await worker.done(entry.id)
    assert await worker.take() is None
    async with redis.from_url(redis_url) as client:
        assert await client.xlen(STREAM) == 0


async def test_a_message_left_behind_is_handed_out_again_and_one_being_worked_on_is_not(
    door: InboxDoor, worker: InboxWorker, redis_url: str, inbox_keys: KeyPair
) -> None:
    await door.put(numbered(1))
    taken = await worker.take()
    assert taken is not None
    other = InboxWorker(redis_url, inbox_keys.private, "w2", abandoned_milliseconds=200, wait_milliseconds=250)
    await worker.still_busy(taken[0])
    assert await other.take() is None
    again = await other.take()
    assert again is not None
    assert other.open(again).handed_out_before == 1
    await other.close()


async def test_after_a_rotation_messages_for_either_key_are_opened(redis_url: str, inbox_keys: KeyPair) -> None:
    new = new_keys()
    worker = InboxWorker(redis_url, f"{new.private},{inbox_keys.private}", "w", wait_milliseconds=20)
    await worker.prepare()
    for number, public in enumerate((inbox_keys.public, new.public)):
        door = InboxDoor(redis_url, public, 100)
        await door.put(numbered(number))
        await door.close()
        taken = await worker.take()
        assert taken is not None
        assert worker.open(taken).message == numbered(number)
    await worker.close()


async def test_the_user_of_the_guide_can_leave_messages_and_nothing_else(redis_url: str, inbox_keys: KeyPair) -> None:
    (rule,) = re.findall(r"^ACL SETUSER (.+)$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    async with redis.from_url(redis_url) as admin:
        await admin.execute_command("ACL", "SETUSER", *rule.split())
        where = urlsplit(redis_url)
        url = f"redis://teams-door:PASSWORD@{where.hostname}:{where.port}/0"
        door = InboxDoor(url, inbox_keys.public, 100)
        assert await door.is_reachable()
        assert [await door.put(numbered(1)), await door.put(numbered(1))] == ["new", "seen"]
        await door.close()
        async with redis.from_url(url) as as_door:
            for forbidden in (
                ("XRANGE", STREAM, "-", "+"),
                ("XREAD", "STREAMS", STREAM, "0"),
                ("XDEL", STREAM, "0-1"),
                ("DEL", STREAM),
                ("KEYS", "*"),
                ("GET", SEEN + "x"),
                ("SET", "haechi:vault", "x"),
                ("FLUSHALL",),
                ("CONFIG", "GET", "*"),
                ("ACL", "LIST"),
            ):
                with pytest.raises(NoPermissionError):
                    await as_door.execute_command(*forbidden)
        await admin.execute_command("ACL", "DELUSER", "teams-door")
