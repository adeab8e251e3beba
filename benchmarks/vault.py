"""Round trips through the vault: how many come back to the letter, and what keeping and restoring cost.

Run: python -m benchmarks.vault [--texts N]   every text of the evaluation sets is a conversation of its own, masked,
kept, cut into tokens of three characters, restored for its owner; the database file is then searched for the values.
"""

import argparse
import asyncio
import base64
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry
from sqlalchemy.orm import Session

from benchmarks.pii.generate import disguised_set, plain_set
from bot.gateway.restore import Restorer
from bot.gateway.turn import ChatEvent
from llm_service.answering.restoring import RestoreDesk
from llm_service.client import LlmServiceClient
from llm_service.masked import RawText
from llm_service.masking.masker import Masked, build_masker
from llm_service.masking.vault import Detected, Vault
from llm_service.masking.vault_keys import KeyRing, new_vault_key, write_vault_keys
from llm_service.metrics import Metrics
from llm_service.store import conversations
from llm_service.store.identities import Identities
from llm_service.store.models import Base
from llm_service.store.session import open_database
from llm_service.store.transactions import Transactions

TOKEN_CHARACTERS: Final = 3
# Six digits of a birthdate stand by chance in some row's hash or microseconds; eight bytes do not.
SHORTEST_SEARCHED_BYTES: Final = 8
OWNER: Final = "guest"


@dataclass
class Measured:
    """What was counted: texts, values, exact round trips, and milliseconds a call."""

    texts: int = 0
    values: int = 0
    exact: int = 0
    first_spelling: int = 0
    keep_ms: list[float] = field(default_factory=list)
    restore_ms: list[float] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)


class DeskClient(LlmServiceClient):
    """The restore call without the network between."""

    def __init__(self, desk: RestoreDesk, measured: Measured) -> None:
        self._desk = desk
        self._measured = measured

    async def restore(self, conversation_id: str, owner: str, placeholders: Sequence[str]) -> dict[str, str]:
        began = time.perf_counter()
        values = await self._desk.restore(conversation_id, owner, placeholders)
        self._measured.restore_ms.append((time.perf_counter() - began) * 1000)
        return {placeholder: value.reveal() for placeholder, value in values.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=0, help="at most so many texts; 0 for all")
    limit = parser.parse_args().texts
    texts = [str(sample["text"]) for sample in [*plain_set(), *disguised_set()]]
    with tempfile.TemporaryDirectory() as folder:
        measured = asyncio.run(measure(texts[:limit] if limit else texts, Path(folder)))
        found = values_in_files(measured.secrets, Path(folder))
    print(f"texts                              {measured.texts}")
    print(f"values                             {measured.values}")
    print(f"restored to the letter             {measured.exact}")
    print(f"restored in the first spelling     {measured.first_spelling}")
    print(f"keep, transaction   p50 / p99 ms   {quantiles(measured.keep_ms)}")
    print(f"restore, with audit p50 / p99 ms   {quantiles(measured.restore_ms)}")
    print(f"values searched in the files       {len(measured.secrets)}")
    print(f"values found in the files          {found}")


async def measure(texts: Sequence[str], folder: Path) -> Measured:
    """Send every text through masking, vault, stream and restoring."""
    engine = open_database(f"sqlite:///{folder / 'haechi.db'}")
    Base.metadata.create_all(engine)
    transactions = Transactions(engine)
    keys = write_vault_keys([new_vault_key()])
    vault = Vault(KeyRing(lambda: keys), b"i" * 32, b"m" * 32, timedelta(minutes=30))
    identities = Identities(b"k" * 32)
    desk = RestoreDesk(transactions, vault, identities, Metrics(CollectorRegistry()))
    masker = build_masker()
    masker.warm_up()
    measured = Measured()
    for number, text in enumerate(texts):
        detected = Detected(RawText(text), masker.detect(RawText(text)))
        began = time.perf_counter()
        conversation_id, masked = await transactions.run(
            partial(keep, vault=vault, user_key=identities.user_key("web", OWNER), thread=f"{number}", said=detected)
        )
        measured.keep_ms.append((time.perf_counter() - began) * 1000)
        restored = await stream(masked.text, Restorer(DeskClient(desk, measured), conversation_id, OWNER))
        count(measured, text, restored, detected, masked)
    engine.dispose()
    return measured


def keep(session: Session, vault: Vault, user_key: str, thread: str, said: Detected) -> tuple[str, Masked]:
    """One turn's share of the vault: the conversation found or made, the text named, its values kept."""
    conversation = conversations.find_or_create_conversation(session, "web", thread, user_key, "customer", "ko")
    return conversation.id, vault.mask(session, conversation, said)


async def stream(text: str, restorer: Restorer) -> str:
    """The text as a guest reads it, token by token."""

    async def tokens() -> AsyncGenerator[ChatEvent, None]:
        for number, start in enumerate(range(0, len(text), TOKEN_CHARACTERS), start=1):
            yield ChatEvent(number, "token", {"text": text[start : start + TOKEN_CHARACTERS]})

    return "".join([event.data["text"] async for event in restorer.restored(tokens())])


def count(measured: Measured, said: str, restored: str, detected: Detected, masked: Masked) -> None:
    """Exact, or different only where one value is written in two ways and shown as it was written first."""
    measured.texts += 1
    measured.values += len(detected.entities)
    measured.exact += restored == said
    measured.first_spelling += restored != said and len(masked.placeholders) < len(detected.entities)
    spelt = {said[entity.start : entity.end] for entity in detected.entities}
    measured.secrets |= {value for value in spelt if len(value.encode()) >= SHORTEST_SEARCHED_BYTES}


def values_in_files(values: set[str], folder: Path) -> int:
    """How many values stand in any file, plain, in UTF-16, in CP949, in hexadecimal or in base64."""
    written = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    return sum(any(form in written for form in forms(value)) for value in values)


def forms(value: str) -> list[bytes]:
    """A value as it could have been written; a form that its encoding cannot hold whole is left out."""
    plain = [value.encode("utf-8"), value.encode("utf-16-le")]
    with suppress(UnicodeEncodeError):
        plain.append(value.encode("cp949"))
    return [*plain, plain[0].hex().encode(), base64.b64encode(plain[0]).rstrip(b"=")[:-1]]


def quantiles(milliseconds: list[float]) -> str:
    """The median and the 99th percentile."""
    ordered = sorted(milliseconds)
    median, high = (ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] for percent in (50, 99))
    return f"{median:.2f} / {high:.2f}"


if __name__ == "__main__":
    main()
