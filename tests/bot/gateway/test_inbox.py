"""A messenger's deliveries: queued once, worked on once, not lost with a process, unreadable in Redis."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import redis

from bot.gateway.inbox import GROUP, ChannelInbox, Delivery, InProcessInbox, RedisInbox, Taken

SECRET = "a secret that seals the inboxes of the tests"
MakeInbox = Callable[..., InProcessInbox | RedisInbox]


def delivery(number: int, text: str = "예금자보호 한도는 얼마인가요?") -> Delivery:
    return Delivery(f"C1-{number}", "question", {"text": text, "number": number})


def shared_inbox(url: str, capacity: int = 100, lease_seconds: float = 15.0, secret: str = SECRET) -> RedisInbox:
    return RedisInbox(url, "slack", secret, capacity, lease_seconds)


async def taken_from(inbox: InProcessInbox | RedisInbox) -> Taken:
    async with asyncio.timeout(10):
        while (taken := await inbox.take()) is None:
            pass
    return taken


@pytest.fixture(params=["process", "redis"])
async def inbox(request: pytest.FixtureRequest) -> AsyncIterator[InProcessInbox | RedisInbox]:
    if request.param == "process":
        yield InProcessInbox(capacity=3)
        return
    made = shared_inbox(request.getfixturevalue("redis_url"), capacity=3)
    yield made
    await made.close()


async def test_what_is_put_is_taken_in_order(inbox: InProcessInbox | RedisInbox) -> None:
    for number in range(3):
        assert await inbox.put(delivery(number)) == "queued"
    assert [(await taken_from(inbox)).delivery for _ in range(3)] == [delivery(number) for number in range(3)]


async def test_what_was_delivered_before_is_known_also_after_it_was_finished(
    inbox: InProcessInbox | RedisInbox,
) -> None:
    await inbox.put(delivery(1))
    assert await inbox.put(delivery(1)) == "known"
    await inbox.finish(await taken_from(inbox))
    assert await inbox.put(delivery(1)) == "known"


async def test_a_full_inbox_says_so_and_takes_the_same_delivery_later(inbox: InProcessInbox | RedisInbox) -> None:
    for number in range(3):
        await inbox.put(delivery(number))
    assert await inbox.put(delivery(3)) == "full"
    await inbox.finish(await taken_from(inbox))
    assert await inbox.put(delivery(3)) == "queued"


async def test_a_note_is_found_again(inbox: InProcessInbox | RedisInbox) -> None:
    assert await inbox.remembered("C1-1") is None
    await inbox.remember("C1-1", "1700.1")
    assert await inbox.remembered("C1-1") == "1700.1"


async def test_an_own_inbox_forgets_what_it_saw_an_hour_ago() -> None:
    now = 0.0
    inbox = InProcessInbox(3, clock=lambda: now)
    await inbox.put(delivery(1))
    now = 3601.0
    assert await inbox.put(delivery(1)) == "queued"


async def test_nothing_a_person_wrote_is_readable_in_redis(redis_url: str) -> None:
    inbox = shared_inbox(redis_url)
    await inbox.put(delivery(1, "제 주민번호는 900101-1234568"))
    with redis.Redis.from_url(redis_url) as client:
        entries = str(client.xrange("haechi:{inbox-slack}:waiting"))
    assert "sealed" in entries
    assert "900101" not in entries
    await inbox.close()


async def test_what_was_sealed_with_another_secret_is_dropped_and_said(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs, ours = shared_inbox(redis_url, secret="another secret"), shared_inbox(redis_url)
    await theirs.put(delivery(1))
    await ours.put(delivery(2))
    assert (await taken_from(ours)).delivery == delivery(2)
    assert "delivery_unreadable" in capsys.readouterr().out
    await theirs.close()
    await ours.close()


async def test_what_a_dead_process_took_is_taken_by_another_and_marked_so(redis_url: str) -> None:
    dead, alive = shared_inbox(redis_url, lease_seconds=0.05), shared_inbox(redis_url, lease_seconds=0.05)
    await dead.put(delivery(1))
    await taken_from(dead)
    taken = await taken_from(alive)
    assert (taken.delivery, taken.again) == (delivery(1), True)
    await dead.close()
    await alive.close()


async def test_what_is_being_worked_on_is_kept_from_others(redis_url: str) -> None:
    busy, other = shared_inbox(redis_url, lease_seconds=0.2), shared_inbox(redis_url, lease_seconds=0.2)
    await busy.put(delivery(1))
    taken = await taken_from(busy)
    taking = asyncio.create_task(taken_from(other))
    for _ in range(12):
        await busy.keep()
        await asyncio.wait({taking}, timeout=0.05)
    assert not taking.done()
    await busy.finish(taken)
    await other.put(delivery(2))
    assert (await taking).delivery == delivery(2)
    await busy.close()
    await other.close()


async def test_a_delivery_that_kills_every_process_is_given_up(
    redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = shared_inbox(redis_url, lease_seconds=0.02)
    await first.put(delivery(1))
    await taken_from(first)
    for _ in range(3):
        victim = shared_inbox(redis_url, lease_seconds=0.02)
        for _ in range(3):
            await victim.take()
        await victim.close()
    assert "delivery_given_up" in capsys.readouterr().out
    with redis.Redis.from_url(redis_url) as client:
        assert client.xpending("haechi:{inbox-slack}:waiting", GROUP)["pending"] == 0
    await first.close()


async def worked(inbox: ChannelInbox, deliveries: list[Delivery]) -> list[Delivery]:
    handled: list[Delivery] = []
    everything = asyncio.Event()

    async def handle(taken: Taken) -> None:
        handled.append(taken.delivery)
        if len(handled) == len(deliveries):
            everything.set()

    inbox.start(handle, workers=4)
    for each in deliveries:
        await inbox.put(each)
    async with asyncio.timeout(10):
        await everything.wait()
    await inbox.stop(grace_seconds=5)
    return handled


async def test_workers_handle_each_delivery_once(redis_url: str) -> None:
    deliveries = [delivery(number) for number in range(50)]
    handled = await worked(ChannelInbox(InProcessInbox(100), shared_inbox(redis_url)), deliveries)
    assert sorted(handled, key=lambda each: int(each.body["number"])) == deliveries


async def test_without_redis_deliveries_wait_in_this_process() -> None:
    away = shared_inbox("redis://127.0.0.1:1/0")
    assert await worked(ChannelInbox(InProcessInbox(100), away), [delivery(1)]) == [delivery(1)]


async def test_a_handler_that_fails_does_not_hold_up_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    inbox = ChannelInbox(InProcessInbox(capacity=2))
    second = asyncio.Event()

    async def handle(taken: Taken) -> None:
        if taken.delivery.body["number"] == 1:
            raise RuntimeError("broken")
        second.set()

    inbox.start(handle, workers=1)
    await inbox.put(delivery(1))
    await inbox.put(delivery(2))
    async with asyncio.timeout(5):
        await second.wait()
    await inbox.stop(grace_seconds=1)
    assert "delivery_failed" in capsys.readouterr().out


async def test_what_is_not_finished_within_the_grace_is_left_to_another_replica(redis_url: str) -> None:
    stopping = ChannelInbox(InProcessInbox(10), shared_inbox(redis_url, lease_seconds=0.05))
    begun = asyncio.Event()

    async def never_ends(_taken: Taken) -> None:
        begun.set()
        await asyncio.Event().wait()

    stopping.start(never_ends, workers=1)
    await stopping.put(delivery(1))
    async with asyncio.timeout(5):
        await begun.wait()
    await stopping.stop(grace_seconds=0)
    other = shared_inbox(redis_url, lease_seconds=0.05)
    assert (await taken_from(other)).delivery == delivery(1)
    await other.close()
