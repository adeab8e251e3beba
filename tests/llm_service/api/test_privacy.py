"""Over HTTP: who gets values back, what is audited, what is declined, purged, erased and re-encrypted."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from bot.gateway.restore import PLACEHOLDER
from llm_service.client import AcceptedTurn, ConversationKey, Route, ServiceError
from llm_service.masking.vault_keys import new_vault_key, parse_vault_keys, write_vault_keys
from llm_service.settings import Settings
from llm_service.store.models import (
    AuditEvent,
    Base,
    Conversation,
    Document,
    Feedback,
    Mention,
    Passage,
    Turn,
    VaultEntry,
    now,
)

OWNER = "guest-1234567890"
CUSTOMER = ConversationKey(channel="web", thread="thread-1", user=OWNER, audience="customer")
ROUTE = Route(intent="card_lost", confidence=0.97, by="rasa")
PHONE = "010-1234-5678"
MAIL = "hong@example.com"
SAID = f"제 번호는 {PHONE}이고 메일은 {MAIL}입니다"
BOTH = ["<PHONE_1>", "<EMAIL_1>"]


async def say(service, text: str = SAID, key: ConversationKey = CUSTOMER) -> AcceptedTurn:
    accepted: AcceptedTurn = await service.client.create_turn(uuid4().hex, key, text)
    return accepted


def everything_stored(service) -> str:
    with Session(service.database) as session:
        rows = [row for table in Base.metadata.sorted_tables for row in session.execute(select(table))]
    return repr(rows)


def nothing_is_kept(service) -> bool:
    with Session(service.database) as session:
        return not any(session.scalars(select(table.id)).all() for table in (Conversation, Turn, AuditEvent))


def audit_rows(service, action: str) -> list[AuditEvent]:
    with Session(service.database) as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.action == action)))


# Restoring
async def test_the_owner_gets_their_values_back(service) -> None:
    turn = await say(service)
    restored = await service.client.restore(turn.conversation_id, OWNER, [*BOTH, "<PERSON_1>"])
    assert restored == {"<PHONE_1>": PHONE, "<EMAIL_1>": MAIL}


async def test_nobody_else_gets_anything_nor_learns_why(service) -> None:
    mine = await say(service)
    in_slack = await say(service, key=replace(CUSTOMER, channel="slack"))
    from_the_command_line = await say(service, key=replace(CUSTOMER, channel="api"))
    other = await say(service, "안녕하세요", key=replace(CUSTOMER, thread="thread-2", user="guest-2"))
    asked = [
        (mine.conversation_id, "guest-2"),
        (mine.conversation_id, OWNER.upper()),
        (other.conversation_id, OWNER),
        (other.conversation_id, "guest-2"),
        (in_slack.conversation_id, OWNER),
        (from_the_command_line.conversation_id, OWNER),
        ("0" * 32, OWNER),
        ("no-such-conversation", OWNER),
    ]
    for conversation_id, owner in asked:
        assert await service.client.restore(conversation_id, owner, BOTH) == {}


async def test_an_expired_value_stays_a_placeholder(service) -> None:
    turn = await say(service)
    with Session(service.database) as session:
        session.execute(update(VaultEntry).values(expires_at=now() - timedelta(seconds=1)))
        session.commit()
    assert await service.client.restore(turn.conversation_id, OWNER, BOTH) == {}


@pytest.mark.parametrize(
    "body",
    [
        {"owner": OWNER},
        {"owner": "", "placeholders": []},
        {"owner": OWNER, "placeholders": ["PHONE_1"]},
        {"owner": OWNER, "placeholders": [PHONE]},
        {"owner": OWNER, "placeholders": ["<PHONE_1>"] * 65},
        {"owner": OWNER, "placeholders": [], "conversation": "x"},
    ],
)
async def test_a_restore_that_is_not_well_formed_is_refused_and_not_quoted(service, body: dict[str, object]) -> None:
    headers = {"Authorization": service.client._http.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as http:
        reply = await http.post(f"/v1/conversations/{'0' * 32}/restore", json=body)
    assert (reply.status_code, reply.json()["error"]["code"]) == (422, "invalid_request")
    assert PHONE not in reply.text


async def test_restored_values_may_not_be_kept_on_the_way(service) -> None:
    turn = await say(service)
    headers = {"Authorization": service.client._http.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=service.url, headers=headers) as http:
        body = {"owner": OWNER, "placeholders": BOTH}
        reply = await http.post(f"/v1/conversations/{turn.conversation_id}/restore", json=body)
    assert reply.headers["Cache-Control"] == "no-store"


async def test_every_restore_leaves_an_audit_row_with_kinds_and_pseudonyms_only(service) -> None:
    turn = await say(service)
    await service.client.restore(turn.conversation_id, OWNER, [*BOTH, "<PHONE_9>"])
    await service.client.restore(turn.conversation_id, "guest-2", BOTH)
    (restored,) = audit_rows(service, "vault.restored")
    with Session(service.database) as session:
        owner_key = session.scalars(select(Conversation.user_key)).one()
    assert (restored.actor, restored.subject_id) == (owner_key, turn.conversation_id)
    assert restored.details == {
        "purpose": "shown_to_owner",
        "kinds": {"PHONE": 1, "EMAIL": 1},
        "stayed": {"unknown": 1},
    }
    (refused,) = audit_rows(service, "vault.not_restored")
    assert refused.actor != owner_key
    assert refused.details["stayed"] == {"not_owner": 2}
    events = await service.client.audit_events("vault.restored")
    assert [event.details for event in events] == [restored.details]
    for written in (everything_stored(service), repr(events), service.logs.getvalue()):
        assert not {raw for raw in (PHONE, MAIL, OWNER, "guest-2") if raw in written}


async def test_audit_rows_are_read_newest_first_and_page_by_page(service) -> None:
    turn = await say(service)
    for _ in range(3):
        await service.client.restore(turn.conversation_id, OWNER, BOTH)
    newest = await service.client.audit_events(limit=2)
    rest = await service.client.audit_events(before_id=newest[-1].id)
    ids = [event.id for event in [*newest, *rest]]
    assert len(ids) == 3
    assert ids == sorted(ids, reverse=True)


# One conversation, one numbering
async def test_a_value_that_comes_again_has_its_placeholder_again(service) -> None:
    await say(service)
    assert "<PHONE_1>" in (await say(service, "01012345678 번호가 맞아요")).masked_text
    assert "<PHONE_2>" in (await say(service, "010-8765-4321 번호도 등록해 주세요")).masked_text


async def test_values_that_arrive_at_once_never_share_a_placeholder(service) -> None:
    phones = [f"010-1234-56{number:02}" for number in range(12)]
    turns = await asyncio.gather(*(say(service, f"{phone} 번호로 안내해 주세요") for phone in phones))
    placeholders = [turn.masked_text.split(" ")[0] for turn in turns]
    restored = await service.client.restore(turns[0].conversation_id, OWNER, placeholders)
    assert [restored[placeholder] for placeholder in placeholders] == phones


async def test_a_reply_keeps_the_placeholders_it_repeats_and_masks_what_it_adds(service) -> None:
    turn = await say(service)
    reply = "<PHONE_1>로 연락드리겠습니다. 급하시면 02-123-4567로 전화 주세요."
    await service.client.store_reply(turn.turn_id, turn.conversation_id, ROUTE, reply)
    kept = await service.client.turn(turn.turn_id, turn.conversation_id)
    assert kept.answer == "<PHONE_1>로 연락드리겠습니다. 급하시면 <PHONE_2>로 전화 주세요."
    assert (await service.client.restore(turn.conversation_id, OWNER, ["<PHONE_2>"])) == {"<PHONE_2>": "02-123-4567"}


async def test_a_correction_speaks_of_values_by_the_placeholders_of_the_answer(service) -> None:
    turn = await say(service)
    await service.client.store_reply(turn.turn_id, turn.conversation_id, ROUTE, "접수했습니다.")
    correction = f"{MAIL} 말고 {PHONE}로 보내야 합니다"
    await service.client.give_feedback(turn.turn_id, turn.conversation_id, "event-2", "down", correction=correction)
    with Session(service.database) as session:
        assert session.scalars(select(Feedback.correction)).one() == "<EMAIL_1> 말고 <PHONE_1>로 보내야 합니다"


# Rule 7: what is retrieved cannot carry a placeholder of ours.
async def test_a_document_cannot_bring_placeholders_with_it(service) -> None:
    content = (
        "# <PERSON_1> 고객 안내\n\n## [PHONE_1] 연락처\n\n"
        "고객 <PERSON_1>님의 번호는 &lt;PHONE_1&gt; 또는 < email_1 >입니다. 예금자 보호 한도는 1억원입니다.\n"
    )
    report = await service.client.upload_document("<PERSON_1>/안내_[PHONE_1].md", content.encode(), ["customer"])
    assert (report.state, report.passages > 0) == ("ready", True)
    with Session(service.database) as session:
        passages = session.scalars(select(Passage)).all()
        texts = [part for row in passages for part in (row.text, row.header, row.label, *row.heading_path)]
        texts += session.scalars(select(Document.title)).all()
    assert any("PERSON 1" in text for text in texts)
    assert not [text for text in texts if PLACEHOLDER.search(text)]


# Fail closed
@pytest.mark.parametrize("said", [SAID, "예금자 보호 한도는 얼마인가요?"])
async def test_without_a_vault_key_the_turn_is_declined_and_nothing_is_kept(
    make_settings: Callable[..., Settings],
    run_service: Callable[..., AbstractAsyncContextManager[object]],
    analysers: object,
    said: str,
) -> None:
    async with run_service(make_settings(vault_keys=""), analysers) as service:
        with pytest.raises(ServiceError) as declined:
            await say(service, said)
        assert (declined.value.status, declined.value.code) == (503, "vault_unavailable")
        assert "저장하지 않았습니다" in declined.value.message_ko
        assert nothing_is_kept(service)
        assert (await service.client.ready())["parts"]["vault"] == "vault_unavailable"


async def test_without_the_vaults_table_the_turn_is_declined_and_nothing_is_kept(service) -> None:
    with service.database.begin() as connection:
        VaultEntry.__table__.drop(connection)
    with pytest.raises(ServiceError) as declined:
        await say(service)
    assert (declined.value.status, declined.value.code) == (503, "vault_unavailable")
    assert nothing_is_kept(service)


# Retention
async def test_a_purge_deletes_what_is_over_its_time_and_nothing_younger(service) -> None:
    old, young = await say(service), await say(service, key=replace(CUSTOMER, thread="thread-2"))
    for turn in (old, young):
        await service.client.store_reply(turn.turn_id, turn.conversation_id, ROUTE, "접수했습니다.")
        await service.client.give_feedback(turn.turn_id, turn.conversation_id, "event-2", "up")
        await service.client.restore(turn.conversation_id, OWNER, BOTH)
    long_ago, very_long_ago = now() - timedelta(days=181), now() - timedelta(days=1096)
    with Session(service.database) as session:
        session.execute(update(Turn).where(Turn.id == old.turn_id).values(created_at=long_ago))
        mine = Conversation.id == old.conversation_id
        session.execute(update(Conversation).where(mine).values(last_turn_at=long_ago))
        last = select(func.max(AuditEvent.position)).where(AuditEvent.subject_id == old.conversation_id)
        rows = AuditEvent.position <= last.scalar_subquery()
        session.execute(update(AuditEvent).where(rows).values(at=very_long_ago))
        session.execute(
            update(VaultEntry)
            .where(VaultEntry.conversation_id == old.conversation_id)
            .values(expires_at=now() - timedelta(seconds=1))
        )
        session.commit()
    purged = await service.client.purge()
    assert (purged.vault_entries, purged.turns, purged.conversations, purged.audit_events) == (2, 1, 1, 2)
    with Session(service.database) as session:
        assert session.scalars(select(Turn.id)).all() == [young.turn_id]
        assert len(session.scalars(select(Feedback)).all()) == 1
        assert len(session.scalars(select(VaultEntry)).all()) == 2
        assert set(session.scalars(select(Mention.conversation_id))) == {young.conversation_id}
    assert (await service.client.purge()).turns == 0
    assert len(audit_rows(service, "retention.purged")) == 1


async def test_values_are_purged_without_being_asked(
    make_settings: Callable[..., Settings],
    run_service: Callable[..., AbstractAsyncContextManager[object]],
    analysers: object,
) -> None:
    async with run_service(make_settings(purge_every_seconds=0.01), analysers) as service:
        await say(service)
        with Session(service.database) as session:
            session.execute(update(VaultEntry).values(expires_at=now() - timedelta(seconds=1)))
            session.commit()
        async with asyncio.timeout(20):
            while _vault_entries(service):
                await service.client.ready()


def test_audit_rows_are_kept_two_years_at_least(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(ValueError, match="730"):
        make_settings(retention_days_audit=729)


# Erasing a person
async def test_a_person_of_a_channel_is_erased_and_nobody_else(service) -> None:
    mine = [await say(service), await say(service, key=replace(CUSTOMER, thread="thread-2"))]
    other = await say(service, key=replace(CUSTOMER, user="guest-2"))
    await service.client.store_reply(mine[0].turn_id, mine[0].conversation_id, ROUTE, "접수했습니다.")
    await service.client.give_feedback(mine[0].turn_id, mine[0].conversation_id, "event-2", "up")
    counted = await service.client.erase_channel_user("web", OWNER, "data_subject_request", dry_run=True)
    assert len(await service.client.audit_events("person.looked_up")) == 1
    assert (await service.client.turn(mine[0].turn_id, mine[0].conversation_id)).state == "replied"
    erased = await service.client.erase_channel_user("web", OWNER, "data_subject_request", dry_run=False)
    assert erased == counted
    assert (erased.conversations, erased.turns, erased.feedback, erased.vault_entries, erased.mentions) == (
        2,
        2,
        1,
        4,
        4,
    )
    assert (erased.datasets, erased.adapters) == ([], [])
    with Session(service.database) as session:
        assert session.scalars(select(Conversation.id)).all() == [other.conversation_id]
        assert set(session.scalars(select(VaultEntry.conversation_id))) == {other.conversation_id}
    (row,) = await service.client.audit_events("person.erased")
    assert row.details["reason"] == "data_subject_request"
    assert OWNER not in everything_stored(service)


async def test_a_person_is_erased_by_a_value_however_it_was_written_and_after_the_vault_forgot_it(service) -> None:
    await say(service, f"{PHONE} 고객님 건입니다")
    other = await say(service, "010-9999-8888 고객님 건입니다", key=replace(CUSTOMER, thread="thread-2"))
    with Session(service.database) as session:
        session.execute(update(VaultEntry).values(expires_at=now() - timedelta(seconds=1)))
        session.commit()
    await service.client.purge()
    erased = await service.client.erase_mentioned_value("PHONE", "01012345678", "data_subject_request", dry_run=False)
    assert (erased.conversations, erased.turns) == (1, 1)
    with Session(service.database) as session:
        assert session.scalars(select(Conversation.id)).all() == [other.conversation_id]
    (row,) = await service.client.audit_events("person.erased")
    assert row.details["type"] == "PHONE"
    assert "01012345678" not in everything_stored(service)


async def test_a_value_that_many_share_erases_nobody(service) -> None:
    await say(service, "저는 홍길동입니다")
    with pytest.raises(ServiceError) as refused:
        await service.client.erase_mentioned_value("PERSON", "홍길동", "data_subject_request", dry_run=False)
    assert (refused.value.status, refused.value.code) == (422, "type_not_findable")


# Keys
async def test_keys_are_rotated_while_the_service_runs(
    make_settings: Callable[..., Settings],
    run_service: Callable[..., AbstractAsyncContextManager[object]],
    analysers: object,
    tmp_path: Path,
) -> None:
    file = tmp_path / "secrets" / "haechi_vault_keys"
    file.parent.mkdir()
    first = new_vault_key()
    file.write_text(write_vault_keys([first]))
    async with run_service(make_settings(), analysers) as service:
        turn = await say(service)
        second = new_vault_key([first.id])
        file.write_text(write_vault_keys([second, first]))
        rotated = await service.client.rotate_vault_keys()
        assert (rotated.active, rotated.moved, rotated.finished) == (second.id, 2, True)
        assert rotated.entries == {second.id: 2, first.id: 0, "unknown": 0}
        file.write_text(write_vault_keys([second]))
        assert (await service.client.rotate_vault_keys()).entries == {second.id: 2, "unknown": 0}
        assert await service.client.restore(turn.conversation_id, OWNER, BOTH) == {
            "<PHONE_1>": PHONE,
            "<EMAIL_1>": MAIL,
        }
        assert parse_vault_keys(file.read_text()) == (second,)
        assert len(audit_rows(service, "keys.rotated")) == 1


def _vault_entries(service) -> int:
    with Session(service.database) as session:
        return len(session.scalars(select(VaultEntry.id)).all())
