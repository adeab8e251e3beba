"""What is masked, kept, streamed in any pieces and restored is, to the letter, what was said."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from bot.gateway.restore import Restorer
from bot.gateway.turn import ChatEvent
from llm_service.client import LlmServiceClient
from llm_service.masked import RawText
from llm_service.masking.masker import MAX_MASK_CHARACTERS, Entity, Masker
from llm_service.masking.placeholders import normalised_value
from llm_service.masking.vault import Detected, Vault
from llm_service.masking.vault_keys import KeyRing, new_vault_key, write_vault_keys
from llm_service.store.models import Base, Conversation, new_id
from llm_service.store.session import open_database

KEYS = write_vault_keys([new_vault_key()])
VAULT = Vault(KeyRing(lambda: KEYS), b"index key", b"mention key", timedelta(minutes=30))

VALUES = [
    *("홍길동", "남궁민수", "010-1234-5678", "010-9876-5432", "+82 10-5555-6666", "02-123-4567", "900101-1234567"),
    *("hong@example.com", "4111-1111-1111-1111", "서울특별시 중구 세종대로 110", "12가 3456", "192.168.0.1"),
]
WORDS = [
    *("고객 ", "님", "입니다. ", "으로 ", "연락처 ", "제 이름은 ", "이고 ", "\n", " ", ", ", "금리는 "),
    *("계좌번호 110-234-567890 ", "<개정 2024. 1. 1.>", "[1]", "😀", "가나다", "3.5%", "1억원"),
    # A whole typed placeholder would be made inert, which is another test's subject; its parts are left alone.
    *("<", ">", "[", "]", "&lt;", "&", "(PERSON_1)", "PERSON_1 님"),
]
TEXTS = st.lists(st.sampled_from([*VALUES, *WORDS]), max_size=20).map("".join).filter(lambda text: len(text) < 2000)
CUTS = st.lists(st.integers(0, 2000), max_size=30)


@pytest.fixture(scope="module")
def session() -> "Session":  # type: ignore[misc]
    engine = open_database("sqlite://")
    Base.metadata.create_all(engine)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


class OpenVault(LlmServiceClient):
    """The service's restore call on a vault of this process."""

    def __init__(self, session: Session, conversation: Conversation) -> None:
        self._session = session
        self._conversation = conversation

    async def restore(self, conversation_id: str, owner: str, placeholders: Sequence[str]) -> dict[str, str]:
        restored = VAULT.restore(self._session, self._conversation, placeholders)
        return {placeholder: value.reveal() for placeholder, value in restored.values.items()}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=TEXTS, cuts=CUTS)
def test_masked_streamed_and_restored_is_what_was_said(
    session: Session, analysers: object, said: str, cuts: list[int]
) -> None:
    masker: Masker = analysers.masker  # type: ignore[attr-defined]
    assert len(said) <= MAX_MASK_CHARACTERS
    entities = masker.detect(RawText(said))
    conversation = Conversation(channel="web", thread_key=new_id(), user_key=new_id(), audience="customer", locale="ko")
    session.add(conversation)
    session.flush()
    masked = VAULT.mask(session, conversation, Detected(RawText(said), entities))
    assert _restored(session, conversation, masked.text, cuts) == _in_first_spellings(said, entities)


def _in_first_spellings(said: str, entities: Sequence[Entity]) -> str:
    """What was said, but for values written in two ways: one placeholder has one value, the one written first."""
    first: dict[tuple[str, str], str] = {}
    parts, at = [], 0
    for entity in entities:
        value = said[entity.start : entity.end]
        key = (entity.type, normalised_value(entity.type, value))
        parts += [said[at : entity.start], first.setdefault(key, value)]
        at = entity.end
    return "".join([*parts, said[at:]])


def _restored(session: Session, conversation: Conversation, text: str, cuts: list[int]) -> str:
    places = sorted({0, len(text), *(place for place in cuts if place < len(text))})
    pieces = [text[start:end] for start, end in pairwise(places)]

    async def source() -> AsyncIterator[ChatEvent]:
        for number, piece in enumerate(pieces, start=1):
            yield ChatEvent(number, "token", {"text": piece})

    async def collect() -> str:
        restorer = Restorer(OpenVault(session, conversation), conversation.id, "guest")
        return "".join([event.data["text"] async for event in restorer.restored(source())])

    return asyncio.run(collect())
