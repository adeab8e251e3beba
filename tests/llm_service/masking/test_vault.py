"""What the vault promises on both databases: who gets a value back, who does not, for how long, and under which key."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, text, update
from sqlalchemy.orm import Session

from llm_service.errors import InvalidInput, Misconfigured, VaultUnavailable
from llm_service.masked import RawText
from llm_service.masking.masker import Entity, Masked
from llm_service.masking.vault import Detected, Restored, Vault, associated_data
from llm_service.masking.vault_keys import KeyRing, VaultKey, new_vault_key, parse_vault_keys, write_vault_keys
from llm_service.store.models import Conversation, Mention, VaultEntry, new_id, now
from llm_service.store.session import open_database

KEPT = timedelta(minutes=30)
OWNER = "a" * 64
PHONE = "010-1234-5678"
FIRST_KEY = VaultKey("k1", b"1" * 32)
SECOND_KEY = VaultKey("k2", b"2" * 32)


def vault_with(*keys: VaultKey, finds_by_value: bool = True) -> Vault:
    return Vault(
        KeyRing(lambda: write_vault_keys(keys)), b"index key", b"mention key" if finds_by_value else None, KEPT
    )


VAULT = vault_with(FIRST_KEY)


def conversation(session: Session, owner: str = OWNER) -> Conversation:
    made = Conversation(channel="web", thread_key=new_id() * 2, user_key=owner, audience="customer", locale="ko")
    session.add(made)
    session.flush()
    return made


def detected(said: str, *values: tuple[str, str], is_reply: bool = False) -> Detected:
    entities = [Entity(type_, said.index(value), said.index(value) + len(value), 1.0) for type_, value in values]
    return Detected(RawText(said), tuple(sorted(entities, key=lambda entity: entity.start)), is_reply)


def mask(session: Session, made: Conversation, said: str, *values: tuple[str, str], vault: Vault = VAULT) -> Masked:
    masked = vault.mask(session, made, detected(said, *values))
    session.flush()
    return masked


def revealed(restored: Restored) -> dict[str, str]:
    return {placeholder: value.reveal() for placeholder, value in restored.values.items()}


@pytest.fixture
def session(database: Engine) -> "Session":  # type: ignore[misc]
    with Session(database) as opened:
        yield opened


def test_the_owner_gets_every_value_back_exactly(session: Session) -> None:
    mine = conversation(session)
    masked = mask(session, mine, f"홍길동 {PHONE}", ("PERSON", "홍길동"), ("PHONE", PHONE))
    assert masked.text == "<PERSON_1> <PHONE_1>"
    assert revealed(VAULT.restore(session, mine, ["<PERSON_1>", "<PHONE_1>"])) == {
        "<PERSON_1>": "홍길동",
        "<PHONE_1>": PHONE,
    }


# Rule 4
def test_an_unknown_placeholder_stays(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    restored = VAULT.restore(session, mine, ["<PHONE_2>", "<PERSON_9>", "PHONE_1", "anything"])
    assert (restored.values, restored.stayed) == ({}, {"unknown": 4})


# Rule 6
def test_a_value_of_another_conversation_stays_a_placeholder(session: Session) -> None:
    mine, other = conversation(session), conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    assert VAULT.restore(session, other, ["<PHONE_1>"]).values == {}


@pytest.mark.parametrize("moved", ["conversation", "owner", "placeholder"])
def test_a_row_moved_to_another_place_opens_for_nobody(session: Session, moved: str) -> None:
    mine, other = conversation(session), conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    place, asked, placeholder = update(VaultEntry), mine, "<PHONE_1>"
    if moved == "conversation":
        session.execute(place.values(conversation_id=other.id))
        asked = other
    elif moved == "owner":
        mine.user_key = "b" * 64
    else:
        session.execute(place.values(placeholder="<PHONE_7>"))
        placeholder = "<PHONE_7>"
    session.flush()
    session.expire_all()
    restored = VAULT.restore(session, asked, [placeholder])
    assert (restored.values, restored.stayed) == ({}, {"damaged": 1})


def test_the_same_value_in_two_conversations_cannot_be_told_from_two_values(session: Session) -> None:
    for _ in range(2):
        mask(session, conversation(session), PHONE, ("PHONE", PHONE))
    first, second = session.scalars(select(VaultEntry)).all()
    assert first.value_key != second.value_key
    assert first.nonce != second.nonce
    assert first.ciphertext != second.ciphertext


def test_what_a_ciphertext_is_bound_to_is_written_unambiguously() -> None:
    assert associated_data("ab", "c", "<PHONE_1>") != associated_data("a", "bc", "<PHONE_1>")
    assert associated_data("a", "b<", "PHONE_1>") != associated_data("a", "b", "<PHONE_1>")


# Rule 8
@pytest.mark.parametrize(
    ("type_", "first", "again"),
    [
        ("PHONE", "010-1234-5678", "01012345678"),
        ("PHONE", "010 1234 5678", "０１０－１２３４－５６７８"),
        ("PHONE", "010-1234-5678", "+82 10-1234-5678"),
        ("KR_RRN", "900101-1234567", "9001011234567"),
        ("EMAIL", "Hong@Example.com", "hong@example.com"),
        ("PERSON", "홍길동", "홍 길동"),
    ],
)
def test_one_value_in_two_spellings_has_one_placeholder(session: Session, type_: str, first: str, again: str) -> None:
    mine = conversation(session)
    mask(session, mine, first, (type_, first))
    assert mask(session, mine, f"또 {again}", (type_, again)).text == f"또 <{type_}_1>"
    assert revealed(VAULT.restore(session, mine, [f"<{type_}_1>"])) == {f"<{type_}_1>": first}


# Rule 9
def test_an_expired_value_stays_a_placeholder(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    _expire(session)
    assert VAULT.restore(session, mine, ["<PHONE_1>"]).stayed == {"unknown": 1}


@pytest.mark.parametrize("use", ["a turn", "a restore"])
def test_a_use_of_the_conversation_lets_its_values_live_on(session: Session, use: str) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    session.execute(update(VaultEntry).values(expires_at=now() + timedelta(seconds=60)))
    if use == "a turn":
        mask(session, mine, "안녕하세요")
    else:
        VAULT.restore(session, mine, ["<PHONE_1>"])
    session.expire_all()
    assert session.scalars(select(VaultEntry)).one().expires_at > now() + KEPT - timedelta(seconds=30)


def test_an_expired_value_is_not_brought_back_to_life_by_the_next_turn(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    _expire(session)
    assert mask(session, mine, f"다시 {PHONE}", ("PHONE", PHONE)).text == "다시 <PHONE_2>"
    assert revealed(VAULT.restore(session, mine, ["<PHONE_1>", "<PHONE_2>"])) == {"<PHONE_2>": PHONE}


def test_the_purge_deletes_what_has_expired_and_nothing_else(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    assert VAULT.purge(session) == 0
    _expire(session)
    mask(session, conversation(session), PHONE, ("PHONE", PHONE))
    assert VAULT.purge(session) == 1
    assert session.scalars(select(VaultEntry)).one().conversation_id != mine.id


def test_a_number_is_never_given_twice_even_when_its_value_is_gone(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    _expire(session)
    VAULT.purge(session)
    assert mask(session, mine, "010-9999-8888", ("PHONE", "010-9999-8888")).text == "<PHONE_2>"


def test_no_raw_value_is_in_the_database_or_its_write_ahead_log(tmp_path: Path) -> None:
    values = {"PERSON": "남궁민수", "PHONE": PHONE, "KR_RRN": "900101-1234567", "EMAIL": "canary@example.com"}
    engine = open_database(f"sqlite:///{tmp_path / 'haechi.db'}")
    Conversation.metadata.create_all(engine)
    with Session(engine) as session:
        mine = conversation(session)
        mask(session, mine, " ".join(values.values()), *values.items())
        session.commit()
        assert len(revealed(VAULT.restore(session, mine, [f"<{type_}_1>" for type_ in values]))) == len(values)
        written = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    engine.dispose()
    assert b"<PHONE_1>" in written
    digits = ["01012345678", "9001011234567"]
    for value in [*values.values(), *digits]:
        for encoding in ("utf-8", "utf-16-le", "cp949"):
            encoded = value.encode(encoding)
            assert encoded not in written
            assert base64.b64encode(encoded)[:-4] not in written
            assert encoded.hex().encode() not in written


# Keys
def test_without_a_key_nothing_is_masked_and_nothing_kept(session: Session) -> None:
    with pytest.raises(VaultUnavailable):
        mask(session, conversation(session), "안녕하세요", vault=vault_with())
    assert session.scalars(select(VaultEntry)).all() == []


def test_without_its_table_the_vault_says_that_it_is_unavailable(session: Session) -> None:
    mine = conversation(session)
    session.execute(text("DROP TABLE vault_entries"))
    with pytest.raises(VaultUnavailable):
        mask(session, mine, PHONE, ("PHONE", PHONE))


def test_a_value_under_a_key_that_nobody_has_stays_and_is_counted(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    stranger = vault_with(SECOND_KEY)
    assert stranger.restore(session, mine, ["<PHONE_1>"]).stayed == {"unknown_key": 1}
    assert stranger.entries_by_key(session) == {"k2": 0, "unknown": 1}


def test_after_a_rotation_the_old_key_can_be_thrown_away(session: Session) -> None:
    mine = conversation(session)
    phones = [f"010-1234-567{digit}" for digit in range(5)]
    mask(session, mine, " ".join(phones), *(("PHONE", phone) for phone in phones))
    both = vault_with(SECOND_KEY, FIRST_KEY)
    moved, last_id = 0, 0
    # Stopped after every batch of two and begun again: nothing is lost and nothing is moved twice.
    while (batch := both.reencrypt(session, last_id, limit=2)).last_id is not None:
        session.flush()
        moved, last_id = moved + batch.moved, 0
    assert moved == len(phones)
    assert both.entries_by_key(session) == {"k2": 5, "k1": 0, "unknown": 0}
    placeholders = [f"<PHONE_{number}>" for number in range(1, 6)]
    assert list(revealed(vault_with(SECOND_KEY).restore(session, mine, placeholders)).values()) == phones


def test_a_value_keeps_its_placeholder_over_a_rotation(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    rotated = vault_with(SECOND_KEY, FIRST_KEY)
    assert mask(session, mine, PHONE, ("PHONE", PHONE), vault=rotated).text == "<PHONE_1>"


def test_an_entry_that_cannot_be_opened_is_left_and_counted_by_a_rotation(session: Session) -> None:
    mask(session, conversation(session), PHONE, ("PHONE", PHONE))
    session.execute(update(VaultEntry).values(ciphertext=b"0" * 32))
    session.expire_all()
    batch = vault_with(SECOND_KEY, FIRST_KEY).reencrypt(session, after=0, limit=10)
    assert (batch.moved, batch.damaged) == (0, 1)


@pytest.mark.parametrize(
    "written",
    ["k1", "k1:", "k1:c2hvcnQ=", ":" + "A" * 44, "K 1:" + "A" * 44, "k1:not base64 at all"],
)
def test_keys_that_cannot_be_read_are_refused_without_being_quoted(written: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        parse_vault_keys(written)
    assert refused.value.code == "vault_keys_invalid"
    assert "A" * 8 not in str(refused.value)
    assert "c2hvcnQ" not in str(refused.value)


def test_two_keys_of_one_name_are_refused() -> None:
    with pytest.raises(Misconfigured):
        parse_vault_keys(write_vault_keys([FIRST_KEY, VaultKey("k1", b"3" * 32)]))


def test_keys_are_read_as_they_are_written() -> None:
    assert parse_vault_keys(write_vault_keys([SECOND_KEY, FIRST_KEY])) == (SECOND_KEY, FIRST_KEY)
    assert parse_vault_keys(write_vault_keys([SECOND_KEY, FIRST_KEY]).replace("\n", ", ")) == (SECOND_KEY, FIRST_KEY)


def test_a_new_key_follows_the_highest_one() -> None:
    assert new_vault_key(["k2", "k10", "bank-hsm"]).id == "k11"
    assert len(new_vault_key().secret) == 32


def test_a_key_never_shows_itself() -> None:
    assert "1111" not in repr(FIRST_KEY)


def test_a_reload_that_fails_keeps_the_old_keys() -> None:
    answers = iter([write_vault_keys([FIRST_KEY]), "broken"])
    ring = KeyRing(lambda: next(answers))
    with pytest.raises(Misconfigured):
        ring.reload()
    assert ring.active == FIRST_KEY


# Replies of our own
def test_a_reply_keeps_the_placeholders_of_its_conversation_and_no_others(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    said = detected("<PHONE_1>로 연락드립니다. <PHONE_2> <PERSON_1>", is_reply=True)
    assert VAULT.mask(session, mine, said).text == "<PHONE_1>로 연락드립니다. ‹PHONE 2› ‹PERSON 1›"


# Rule 3
def test_a_person_cannot_type_a_placeholder_of_the_conversation(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    assert mask(session, mine, "<PHONE_1>의 값은?").text == "‹PHONE 1›의 값은?"


def test_a_value_in_a_reply_gets_a_number_of_its_own(session: Session) -> None:
    mine = conversation(session)
    mask(session, mine, PHONE, ("PHONE", PHONE))
    said = detected("지점 02-123-4567, 고객님 <PHONE_1>", ("PHONE", "02-123-4567"), is_reply=True)
    assert VAULT.mask(session, mine, said).text == "지점 <PHONE_2>, 고객님 <PHONE_1>"


# Mentions
@pytest.mark.parametrize(
    ("type_", "value", "is_kept"),
    [("PHONE", PHONE, True), ("PERSON", "홍길동", False), ("ADDRESS", "세종대로 1", False)],
)
def test_only_values_that_point_at_one_person_leave_a_lasting_hash(
    session: Session, type_: str, value: str, is_kept: bool
) -> None:
    mask(session, conversation(session), value, (type_, value))
    assert len(session.scalars(select(Mention)).all()) == int(is_kept)


def test_a_mention_is_found_in_any_spelling_and_is_no_hash_of_the_index(session: Session) -> None:
    mask(session, conversation(session), PHONE, ("PHONE", PHONE))
    mention = session.scalars(select(Mention)).one()
    assert VAULT.mention_key("PHONE", RawText("01012345678")) == mention.mention_key
    assert mention.mention_key != session.scalars(select(VaultEntry)).one().value_key


@pytest.mark.parametrize(
    "ask",
    [
        lambda: VAULT.mention_key("PERSON", RawText("홍길동")),
        lambda: vault_with(FIRST_KEY, finds_by_value=False).mention_key("PHONE", RawText(PHONE)),
    ],
)
def test_what_leaves_no_hash_cannot_be_searched_for(ask: Callable[[], str]) -> None:
    with pytest.raises(InvalidInput):
        ask()


def test_where_finding_by_value_is_off_no_lasting_hash_is_kept(session: Session) -> None:
    mask(session, conversation(session), PHONE, ("PHONE", PHONE), vault=vault_with(FIRST_KEY, finds_by_value=False))
    assert session.scalars(select(Mention)).all() == []


def _expire(session: Session) -> None:
    session.execute(update(VaultEntry).values(expires_at=now() - timedelta(seconds=1)))
    session.expire_all()
