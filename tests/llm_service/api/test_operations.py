"""Running the platform over HTTP: the kill switch, how long things are kept, hourly counts, conversations found."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from llm_service.client import ConversationKey, Route, ServiceError
from llm_service.operations_client import FoundTurns, OperationsClient, Place, Sought
from llm_service.store import conversation_search, statistics
from llm_service.store.control_models import Control, HourCount
from llm_service.store.models import AuditEvent, Conversation, Feedback, Turn, VaultEntry, now
from llm_service.store.transactions import Transactions
from tests.conftest import RunningService

ROUTE = Route("ask_knowledge", 0.98, "rasa")
KEY = ConversationKey("web", "thread", "guest", "customer")
LAW = "# 예금자보호 안내\n\n## 보호 한도\n\n예금자보호 한도는 원금과 이자를 합하여 1인당 1억원입니다.\n"


def acting(service: RunningService, *roles: str) -> OperationsClient:
    return OperationsClient(service.client, f"the-{roles[0]}", roles)


async def say(service: RunningService, text: str, event: str = "1", key: ConversationKey = KEY) -> tuple[str, str]:
    """A question with a deterministic reply; its turn and its conversation."""
    turn = await service.client.create_turn(event, key, text)
    await service.client.store_reply(turn.turn_id, turn.conversation_id, ROUTE, "영업점에 문의해 주세요.")
    return turn.turn_id, turn.conversation_id


async def ask(service: RunningService, event: str, locale: str = "ko") -> list[dict[str, Any]]:
    """What a person who asks the documents sees, until the end."""
    key = ConversationKey("web", f"thread-{event}", "guest", "customer", locale)  # type: ignore[arg-type]
    turn = await service.client.create_turn(event, key, "예금자보호 한도는 얼마인가요?")
    await service.client.start_answer(turn.turn_id, turn.conversation_id, ROUTE)
    return [
        {"event": event.event, **event.data}
        async for event in service.client.events(turn.turn_id, turn.conversation_id)
    ]


def rows(service: RunningService, action: str) -> list[AuditEvent]:
    with Session(service.database) as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.action == action).order_by(AuditEvent.id)))


# The kill switch


async def test_while_answers_are_off_people_get_a_person_and_no_answer(service: RunningService) -> None:
    await service.client.upload_document("예금/예금자보호.md", LAW.encode(), ["customer", "staff"])
    answered = await ask(service, "before")
    assert (answered[-1]["state"], any("1억원" in one.get("text", "") for one in answered)) == ("answered", True)
    shown = await acting(service, "admin").switch_answers(is_on=False, reason="incident", note="전화 010-1234-5678")
    assert (shown.answers.value, shown.answers.reason, shown.answers.version) == (False, "incident", 1)
    assert "010-1234-5678" not in (shown.answers.note or "")
    told = await ask(service, "during")
    assert [one["event"] for one in told] == ["notice", "token", "done"]
    assert (told[0]["code"], "담당 직원" in told[0]["text"], "상담원 연결" in told[1]["text"]) == (
        "answers_off",
        True,
        True,
    )
    assert (told[-1]["state"], told[-1]["refused"]) == ("refused", True)
    english = await ask(service, "english", "en")
    assert english[0]["text"].startswith("Answers from documents are switched off")
    await acting(service, "admin").switch_answers(is_on=True, reason="resolved", version=1)
    assert (await ask(service, "after"))[-1]["state"] == "answered"


async def test_who_switched_why_and_when_is_audited_with_the_switch_itself(service: RunningService) -> None:
    approver, admin = acting(service, "approver"), acting(service, "admin")
    await approver.switch_answers(is_on=False, reason="wrong_answers")
    again = await admin.switch_answers(is_on=False, reason="drill")
    assert again.answers.reason == "wrong_answers"
    with pytest.raises(ServiceError, match="role_missing"):
        await approver.switch_answers(is_on=True, reason="resolved")
    with pytest.raises(ServiceError, match="control_changed"):
        await admin.switch_answers(is_on=True, reason="resolved", version=0)
    await admin.switch_answers(is_on=True, reason="resolved", version=1)
    off, on = rows(service, "answers.switched_off"), rows(service, "answers.switched_on")
    assert [row.details for row in (*off, *on)] == [
        {"reason": "wrong_answers", "version": 1},
        {"reason": "resolved", "version": 2},
    ]
    assert off[0].actor != on[0].actor


async def test_a_switch_without_a_reason_is_refused(service: RunningService) -> None:
    with pytest.raises(ServiceError, match="invalid_request"):
        await acting(service, "admin").switch_answers(is_on=False, reason="")
    with Session(service.database) as session:
        assert session.scalars(select(Control)).all() == []


async def test_another_instance_reads_the_switch_when_its_own_reading_is_old(service: RunningService) -> None:
    switch = service.parts.switch
    assert await switch.is_on()
    # As another instance writes it: not through this process.
    await Transactions(service.database).run(lambda session: session.add(_off()))
    switch._clock = lambda: switch._read_at + 1.9
    assert await switch.is_on()
    switch._clock = lambda: switch._read_at + 2.1
    assert not await switch.is_on()
    assert service.parts.metrics.registry.get_sample_value("haechi_answers_off") == 1


def _off() -> Control:
    return Control(name="answers", value=False, reason="incident", changed_by="x" * 64)


# How long things are kept


async def test_days_that_an_admin_sets_are_what_the_purge_goes_by(service: RunningService) -> None:
    admin = acting(service, "admin")
    turn_id, conversation_id = await say(service, "안녕하세요")
    await service.client.give_feedback(turn_id, conversation_id, "1", "up")
    with Session(service.database) as session:
        session.execute(update(Turn).values(created_at=now() - timedelta(days=40)))
        session.execute(update(Conversation).values(last_turn_at=now() - timedelta(days=40)))
        session.execute(update(Feedback).values(created_at=now() - timedelta(days=20)))
        session.commit()
    assert (await service.client.purge()).turns == 0
    shown = await admin.set_control("retention_days_feedback", 10, "policy", "", 0)
    control = shown.controls["retention_days_feedback"]
    assert (control.value, control.environment, control.is_set, control.version) == (10, 180, True, 1)
    assert ((await service.client.purge()).feedback, _count(service, Turn)) == (1, 1)
    await admin.set_control("retention_days_turns", 30, "law", "", 0)
    assert (await service.client.purge()).turns == 1
    back = await admin.set_control("retention_days_turns", None, "policy", "", 1)
    assert (back.controls["retention_days_turns"].value, back.controls["retention_days_turns"].is_set) == (180, False)
    (row,) = [row for row in rows(service, "control.changed") if row.details["after"] == 30]
    assert row.details == {"name": "retention_days_turns", "before": None, "after": 30, "reason": "law", "version": 1}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("retention_days_audit", 729, "control_out_of_limits"),
        ("retention_days_turns", 0, "control_out_of_limits"),
        ("retention_days_turns", 1826, "control_out_of_limits"),
        ("vault_seconds", 59, "control_out_of_limits"),
        ("refusal_threshold", 1, "control_not_found"),
    ],
)
async def test_what_is_outside_the_limits_is_refused_and_changes_nothing(
    service: RunningService, name: str, value: int, code: str
) -> None:
    with pytest.raises(ServiceError, match=code):
        await acting(service, "admin").set_control(name, value, "policy", "", 0)
    assert _count(service, Control) == 0


async def test_a_shorter_life_of_the_vault_holds_for_what_it_has_already(service: RunningService) -> None:
    await say(service, "제 번호는 010-1234-5678 이에요")
    await acting(service, "admin").set_control("vault_seconds", 60, "policy", "", 0)
    with Session(service.database) as session:
        (first,) = session.scalars(select(VaultEntry.expires_at)).all()
    assert first <= now() + timedelta(seconds=60)
    await say(service, "제 번호는 010-8765-4321 이에요", "2")
    with Session(service.database) as session:
        assert all(at <= now() + timedelta(seconds=60) for at in session.scalars(select(VaultEntry.expires_at)))


# Counts


async def test_counts_of_closed_hours_and_of_this_hour_add_up_by_channel(service: RunningService) -> None:
    slack = ConversationKey("slack", "thread", "u", "staff")
    turn_id, conversation_id = await say(service, "제 번호는 010-1234-5678, 010-8765-4321 이에요")
    await say(service, "안녕하세요", "2")
    await say(service, "안녕하세요", "3", slack)
    await service.client.give_feedback(turn_id, conversation_id, "1", "down")
    with Session(service.database) as session:
        earlier = statistics.hour_of(now()) - timedelta(hours=3)
        session.execute(update(Turn).where(Turn.id == turn_id).values(created_at=earlier, cut_sentences=2))
        session.execute(update(statistics.HourCounting).values(counted_until=earlier))
        session.execute(update(HourCount).values(turns=0))
        session.commit()
    assert await service.parts.statistics.count() >= 2
    found = await acting(service, "agent").statistics(24)
    assert [(one.name, one.turns) for one in found.channels] == [("slack", 1), ("web", 2)]
    total = found.total
    assert (total.turns, total.replied, total.masked_values, total.turns_with_masked) == (3, 3, 2, 1)
    assert (total.cut_sentences, total.turns_with_cuts, total.thumbs_down, total.down_share) == (2, 1, 1, 1.0)
    assert (len(found.points), found.step_hours, sum(point.turns for point in found.points)) == (24, 1, 3)
    assert (await acting(service, "agent").statistics(720, "slack")).total.turns == 1
    assert found.oldest_waiting is not None


async def test_an_hour_is_counted_once_however_many_count(service: RunningService) -> None:
    await say(service, "안녕하세요")
    with Session(service.database) as session:
        earlier = statistics.hour_of(now()) - timedelta(hours=5)
        session.execute(update(Turn).values(created_at=earlier))
        session.execute(update(statistics.HourCounting).values(counted_until=earlier))
        session.commit()
    await service.parts.statistics.count()
    assert await service.parts.statistics.count() == 0
    with Session(service.database) as session:
        assert [(row.hour, row.turns) for row in session.scalars(select(HourCount))] == [(earlier, 1)]


# Conversations


async def search(service: RunningService, after: Place | None = None, limit: int = 30, **sought: Any) -> FoundTurns:
    return await acting(service, "agent").search_conversations(Sought(**sought), after, limit)


async def test_turns_are_found_by_masked_words_and_by_what_is_known_of_them(service: RunningService) -> None:
    turn_id, conversation_id = await say(service, "Visa 카드를 010-1234-5678 로 재발급해 주세요")
    other, _ = await say(service, "100%_금리 안내", "2", ConversationKey("slack", "t", "u", "staff"))
    await service.client.give_feedback(turn_id, conversation_id, "1", "down")
    assert [turn.id for turn in (await search(service, text="visa 카드")).turns] == [turn_id]
    assert [turn.id for turn in (await search(service, text="<PHONE_1>")).turns] == [turn_id]
    assert [turn.id for turn in (await search(service, text="100%_금")).turns] == [other]
    assert (await search(service, text="100_")).turns == []
    assert (await search(service, text="010-1234-5678")).turns == []
    assert [turn.id for turn in (await search(service, rating="down")).turns] == [turn_id]
    assert [turn.id for turn in (await search(service, rating="none")).turns] == [other]
    assert [turn.id for turn in (await search(service, channel="slack", audience="staff")).turns] == [other]
    assert (await search(service, state="refused")).turns == []
    assert len((await search(service, intent="ask_knowledge", text="영업점")).turns) == 2
    (mine,) = (await search(service, text="visa")).turns
    assert [turn.id for turn in (await search(service, person=mine.person)).turns] == [turn_id]
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert (await search(service, since=tomorrow)).turns == []
    assert len((await search(service, until=tomorrow)).turns) == 2


async def test_pages_follow_each_other_without_a_gap_or_a_repeat(service: RunningService) -> None:
    made = [(await say(service, f"질문 {number}", str(number)))[0] for number in range(7)]
    with Session(service.database) as session:
        # The same moment for several, so that only the id orders them.
        session.execute(update(Turn).where(Turn.id.in_(made[:4])).values(created_at=now()))
        session.commit()
    seen: list[str] = []
    place = None
    while True:
        page = await search(service, place, 2)
        seen += [turn.id for turn in page.turns]
        if page.next is None:
            break
        place = page.next
    assert (sorted(seen), len(seen)) == (sorted(made), 7)


async def test_a_page_looks_at_so_many_turns_and_says_how_far_it_came(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation_search, "TURNS_LOOKED_AT", 3)
    wanted, _ = await say(service, "드문 말")
    for number in range(5):
        await say(service, f"흔한 말 {number}", f"e{number}")
    first = await search(service, text="드문")
    assert (first.turns, first.looked_back_to is None, first.next is None) == ([], False, False)
    second = await search(service, first.next, text="드문")
    assert [turn.id for turn in second.turns] == [wanted]


async def test_a_search_and_an_opening_are_audited_with_the_reader_and_without_the_words(
    service: RunningService,
) -> None:
    _, conversation_id = await say(service, "카드 한도 문의")
    await say(service, "두 번째 질문", "2")
    await search(service, text="카드", channel="web")
    opened = await acting(service, "auditor").conversation(conversation_id)
    assert [turn.question for turn in opened.turns] == ["카드 한도 문의", "두 번째 질문"]
    await search(service, text="010-1234-5678 카드")
    assert "010-1234-5678" not in service.logs.getvalue()
    (searched, _), (read,) = rows(service, "conversation.searched"), rows(service, "conversation.read")
    assert (searched.details, searched.actor != read.actor) == ({"by": ["channel", "text"], "turns": 1}, True)
    assert (read.subject_id, read.details) == (conversation_id, {"view": "conversation", "from": 1, "turns": 2})
    with pytest.raises(ServiceError, match="conversation_not_found"):
        await acting(service, "agent").conversation("0" * 32)
    with pytest.raises(ServiceError, match="role_missing"):
        await acting(service, "trainer").conversation(conversation_id)


def _count(service: RunningService, model: type) -> int:
    with Session(service.database) as session:
        return len(session.scalars(select(model)).all())
