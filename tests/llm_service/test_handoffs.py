"""A hand-off end to end over HTTP: a person asks, an agent takes it, both write masked, it ends and is rated."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from llm_service.client import ConversationKey, LlmServiceClient, ServiceError, StreamEvent
from llm_service.handoff_client import AgentHandoffs, PersonHandoffs
from llm_service.masked import MaskedText
from llm_service.store import handoffs
from llm_service.store.models import Conversation, now

ALWAYS = "mon-sun 00:00-24:00"
PHONE = "010-1234-5678"
AGENT, OTHER = "agent-kim", "agent-lee"


def key(channel: str = "web", user: str = "guest-1") -> ConversationKey:
    return ConversationKey(channel, f"thread-{uuid4().hex}", user, "customer")


@pytest.fixture
def hours() -> str:
    return ALWAYS


@pytest.fixture
async def client(make_settings: Any, run_service: Any, analysers: Any, hours: str) -> Any:
    settings = make_settings(handoff_hours=hours)
    async with run_service(settings, analysers) as running:
        client = LlmServiceClient(running.url, settings.service_token.get_secret_value())
        yield client
        await client.close()


@pytest.fixture
def people(client: LlmServiceClient) -> PersonHandoffs:
    return PersonHandoffs(client)


@pytest.fixture
def agent(client: LlmServiceClient) -> AgentHandoffs:
    return AgentHandoffs(client, AGENT, ["agent"])


async def told(people: PersonHandoffs, handoff_id: str, conversation_id: str, after: int = 0) -> list[StreamEvent]:
    """Every event until the hand-off ends."""
    async with asyncio.timeout(15), aclosing(people.events(handoff_id, conversation_id, after)) as events:
        return [event async for event in events]


def short(events: list[StreamEvent]) -> list[str]:
    return [str(event.data.get("state") or f"{event.data['author']}: {event.data['text']}") for event in events]


async def refusal(awaitable: Any) -> tuple[int, str]:
    with pytest.raises(ServiceError) as refused:
        await awaitable
    return refused.value.status, refused.value.code


async def test_a_person_is_heard_answered_and_asked_for_a_rating(
    client: LlmServiceClient, people: PersonHandoffs, agent: AgentHandoffs
) -> None:
    who = key()
    asked = await people.ask(who, "asked")
    assert (asked.state, asked.is_new, asked.ahead, asked.office.open) == ("waiting", True, 0, True)
    assert not (await people.ask(who, "complaint")).is_new

    [waiting] = await agent.queue()
    assert (waiting.id, waiting.state, waiting.channel, waiting.mine) == (asked.handoff_id, "waiting", "web", False)
    taken = await agent.take(waiting.id)
    assert (taken.state, taken.mine) == ("taken", True)

    handed = await client.create_turn("event-1", who, f"제 번호는 {PHONE}입니다")
    again = await client.create_turn("event-1", who, f"제 번호는 {PHONE}입니다")
    assert (handed.state, handed.replayed, again.replayed, again.turn_id) == ("handed_off", False, True, handed.turn_id)
    assert PHONE not in handed.masked_text

    seen = await agent.reply(waiting.id, "reply-1", "<PHONE_1> 로 전화드리겠습니다. 제 번호는 02-123-4567 입니다.")
    await agent.reply(waiting.id, "reply-1", "같은 말")
    assert (seen.state, seen.due_at) == ("answered", None)
    assert [(one.author, PHONE in one.text) for one in seen.said if one.author != "state"] == [
        ("person", False),
        ("agent", False),
    ]
    assert await people.write(waiting.id, asked.conversation_id, "event-2", "감사합니다") > 0
    closed = await agent.close(waiting.id)
    assert (closed.state, closed.ended_by) == ("closed", "agent")

    events = await told(people, waiting.id, asked.conversation_id)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert short(events) == [
        "waiting",
        "taken",
        "person: 제 번호는 <PHONE_1>입니다",
        "agent: <PHONE_1> 로 전화드리겠습니다. 제 번호는 <PHONE_2> 입니다.",
        "person: 감사합니다",
        "closed",
    ]
    assert short(await told(people, waiting.id, asked.conversation_id, after=3)) == short(events)[3:]

    rated = await people.rate(waiting.id, asked.conversation_id, 5)
    assert (rated.rating, (await people.status(who)).rating) == (5, 5)
    assert await refusal(people.rate(waiting.id, asked.conversation_id, 1)) == (409, "handoff_rated")
    after = await client.create_turn("event-3", who, "다시 봇에게 묻습니다")
    assert after.state == "received"
    replayed = await client.create_turn("event-1", who, f"제 번호는 {PHONE}입니다")
    assert (replayed.state, replayed.replayed) == ("handed_off", True)


async def test_while_nobody_has_taken_it_the_bot_still_answers(
    client: LlmServiceClient, people: PersonHandoffs, agent: AgentHandoffs
) -> None:
    who = key()
    asked = await people.ask(who, "asked")
    turn = await client.create_turn("event-1", who, "수수료는 얼마인가요?")
    assert turn.state == "received"
    seen = await agent.handoff(asked.handoff_id)
    assert ("person", "수수료는 얼마인가요?") in [(one.author, one.text) for one in seen.said]


async def test_two_agents_who_take_at_once_are_one_who_has_it(client: LlmServiceClient, people: PersonHandoffs) -> None:
    asked = await people.ask(key(), "asked")
    agents = [AgentHandoffs(client, f"agent-{number}", ["agent"]) for number in range(4)]

    results = await asyncio.gather(*(one.take(asked.handoff_id) for one in agents), return_exceptions=True)

    assert [getattr(result, "code", "taken") for result in results].count("handoff_taken") == 3
    assert sum(not isinstance(result, BaseException) for result in results) == 1


async def test_only_the_one_who_has_it_writes_closes_or_gives_it_back(
    client: LlmServiceClient, people: PersonHandoffs, agent: AgentHandoffs
) -> None:
    other = AgentHandoffs(client, OTHER, ["agent"])
    handoff_id = (await people.ask(key(), "asked")).handoff_id
    assert await refusal(agent.reply(handoff_id, "reply-1", "안녕하세요")) == (409, "handoff_taken")
    await agent.take(handoff_id)
    for attempt in (other.take(handoff_id), other.close(handoff_id), other.release(handoff_id)):
        assert await refusal(attempt) == (409, "handoff_taken")
    released = await agent.release(handoff_id)
    assert (released.state, released.taken_by) == ("waiting", None)
    assert (await other.take(handoff_id)).mine


@pytest.mark.parametrize("roles", [["reviewer"], ["admin"], ["auditor"]])
async def test_who_is_no_agent_takes_nothing(
    client: LlmServiceClient, people: PersonHandoffs, roles: list[str]
) -> None:
    handoff_id = (await people.ask(key(), "asked")).handoff_id
    assert await refusal(AgentHandoffs(client, "somebody", roles).take(handoff_id)) == (403, "role_missing")


async def test_another_conversation_reaches_nothing(people: PersonHandoffs) -> None:
    mine, theirs = await people.ask(key(), "asked"), await people.ask(key(user="guest-2"), "asked")
    assert theirs.ahead == 1
    for attempt in (
        people.write(mine.handoff_id, theirs.conversation_id, "event-1", "안녕하세요"),
        people.leave(mine.handoff_id, theirs.conversation_id),
        people.rate(mine.handoff_id, theirs.conversation_id, 5),
        told(people, mine.handoff_id, theirs.conversation_id),
    ):
        assert await refusal(attempt) == (404, "handoff_not_found")


async def test_who_gives_up_waiting_is_with_the_bot_and_rates_nothing(
    client: LlmServiceClient, people: PersonHandoffs
) -> None:
    who = key()
    asked = await people.ask(who, "asked")
    left = await people.leave(asked.handoff_id, asked.conversation_id)
    assert left.state == "abandoned"
    assert await refusal(people.rate(asked.handoff_id, asked.conversation_id, 3)) == (409, "handoff_not_closed")
    assert (await people.ask(who, "asked")).is_new
    assert (await client.create_turn("event-1", who, "안녕하세요")).state == "received"


@pytest.mark.parametrize("hours", ["", "mon-mon 00:00-00:01"])
async def test_outside_of_the_hours_nobody_is_made_to_wait(people: PersonHandoffs, hours: str) -> None:
    status = await people.ask(key(), "asked")
    assert (status.state, status.is_new, status.office.enabled) == ("none", False, bool(hours))


async def test_every_step_is_an_audit_row_without_words(
    client: LlmServiceClient, people: PersonHandoffs, agent: AgentHandoffs
) -> None:
    asked = await people.ask(key(), "asked")
    await AgentHandoffs(client, OTHER, ["auditor"]).handoff(asked.handoff_id)
    await agent.take(asked.handoff_id)
    await agent.handoff(asked.handoff_id)
    await agent.reply(asked.handoff_id, "reply-1", "안녕하세요, 상담원입니다.")
    await agent.close(asked.handoff_id)
    await people.rate(asked.handoff_id, asked.conversation_id, 4)

    rows = [row for row in await client.audit_events(limit=50) if row.subject_id == asked.handoff_id]

    assert [row.action for row in reversed(rows)] == [
        f"handoff.{step}" for step in ("asked", "read", "taken", "replied", "closed", "rated")
    ]
    assert "상담원" not in str(rows)
    assert (await client.verify_audit()).fault is None


async def test_a_channel_that_is_written_to_gets_every_word_in_order_until_it_says_so(
    people: PersonHandoffs, agent: AgentHandoffs
) -> None:
    asked = await people.ask(key("slack"), "asked", reply_to="C1:17.01")
    await agent.take(asked.handoff_id)
    await agent.reply(asked.handoff_id, "reply-1", "첫 번째 답입니다")
    await agent.close(asked.handoff_id)

    first = await people.undelivered("slack")
    assert [(one.kind, one.text, one.reply_to) for one in first] == [
        ("taken", "", "C1:17.01"),
        ("message", "첫 번째 답입니다", "C1:17.01"),
        ("closed", "", "C1:17.01"),
    ]
    assert await people.undelivered("slack") == []
    assert await people.undelivered("teams") == []
    for one in first:
        await people.delivered(one.id)
        await people.delivered(one.id)


async def test_the_place_of_a_person_is_forgotten_once_the_last_word_is_delivered(
    people: PersonHandoffs, agent: AgentHandoffs, database: Engine
) -> None:
    asked = await people.ask(key("slack"), "asked", reply_to="C1:17.01")
    await agent.take(asked.handoff_id)
    await agent.close(asked.handoff_id)
    for one in await people.undelivered("slack"):
        await people.delivered(one.id)
    with database.connect() as connection:
        assert connection.execute(text("SELECT reply_to FROM handoffs")).scalars().all() == [None]


async def test_what_nobody_took_and_what_both_left_ends_by_itself_and_says_so(database: Engine) -> None:
    times = {"waiting_since": now() - timedelta(minutes=30), "silent_since": now() - timedelta(minutes=30)}
    with Session(database) as session:
        rows = [
            Conversation(channel="web", thread_key=str(n), user_key="k", audience="customer", locale="ko")
            for n in range(3)
        ]
        session.add_all(rows)
        session.flush()
        fresh, untaken, left = (handoffs.ask(session, row, "asked", "C1", now()) for row in rows)
        handoffs.take(session, "agent", left.id)
        untaken.touched_at = left.touched_at = now() - timedelta(minutes=31)
        session.flush()
        assert set(handoffs.end_silent(session, **times)) == {untaken.id, left.id}
        assert handoffs.end_silent(session, **times) == []
        states = [(one.state, one.ended_by, one.due_at is None) for one in (fresh, untaken, left)]
        handoffs.forget_places(session, now() + timedelta(seconds=1))
        session.expire_all()
        places = [one.reply_to for one in (fresh, untaken, left)]
    assert states == [("waiting", None, False), ("abandoned", "silence", True), ("closed", "silence", True)]
    assert places == ["C1", None, None]


async def test_a_conversation_that_cannot_be_reached_holds_up_no_other(database: Engine) -> None:
    with Session(database) as session:
        rows = [
            Conversation(channel="slack", thread_key=str(n), user_key="k", audience="staff", locale="ko")
            for n in range(2)
        ]
        session.add_all(rows)
        session.flush()
        stuck, other = (handoffs.ask(session, row, "asked", "C1", now()) for row in rows)
        handoffs.take(session, "agent", stuck.id)
        for number in range(5):
            handoffs.reply(session, "agent", stuck.id, f"reply-{number}", MaskedText("답"))
        handoffs.take(session, "agent", other.id)
        later = now() + timedelta(minutes=1)
        first = handoffs.claim_undelivered(session, "slack", later, limit=3)
        second = handoffs.claim_undelivered(session, "slack", later, limit=3)
        assert {event.handoff_id for event in first} == {stuck.id}
        assert [event.handoff_id for event in second] == [other.id]


async def test_an_erased_person_leaves_no_hand_off(
    client: LlmServiceClient, people: PersonHandoffs, agent: AgentHandoffs, database: Engine
) -> None:
    asked = await people.ask(key(), "asked")
    await agent.take(asked.handoff_id)
    await people.write(asked.handoff_id, asked.conversation_id, "event-1", "안녕하세요")
    await client.erase_channel_user("web", "guest-1", "data_subject_request", dry_run=False)
    with database.connect() as connection:
        for table in ("handoffs", "handoff_events"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0
