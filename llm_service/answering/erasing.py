"""Erases a person: finds the conversations, by the person's channel id or by a value they mention, and deletes them.

Both ways search by keyed hash; neither the id nor the value is kept, logged or audited.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from llm_service.answering.dataset_erasing import finish_erasures
from llm_service.masked import RawText
from llm_service.masking.vault import Vault
from llm_service.store import audit, erasure, learning_erasure
from llm_service.store import vault as vault_rows
from llm_service.store.dataset_files import DatasetFiles
from llm_service.store.erasure import Holdings
from llm_service.store.identities import Identities
from llm_service.store.learning_erasure import Learnt
from llm_service.store.models import new_id
from llm_service.store.transactions import Transactions

ACTOR: Final = "service"


@dataclass(frozen=True)
class ChannelUser:
    """A person as a channel names them."""

    channel: str
    user: str


@dataclass(frozen=True)
class MentionedValue:
    """A value of a type that points at one person, such as a telephone number."""

    type: str
    value: RawText


@dataclass(frozen=True)
class Erased:
    """What was deleted, or would be. `datasets` and `adapters` are those made from what the person wrote."""

    holdings: Holdings
    datasets: tuple[str, ...] = ()
    adapters: tuple[str, ...] = ()

    def as_object(self) -> dict[str, Any]:
        return {**asdict(self.holdings), "datasets": list(self.datasets), "adapters": list(self.adapters)}


class EraseDesk:
    """Erases, or says what would be erased."""

    def __init__(
        self, transactions: Transactions, vault: Vault, identities: Identities, dataset_files: DatasetFiles
    ) -> None:
        self._transactions = transactions
        self._vault = vault
        self._identities = identities
        self._dataset_files = dataset_files

    async def erase(self, person: ChannelUser | MentionedValue, reason: str, *, dry_run: bool) -> Erased:
        """Delete every conversation of a person, in one transaction with its audit row; a dry run only looks.

        Datasets made from them are then written anew without their rows, and the files that held them deleted. `reason`
        is a code. Raises `InvalidInput` for a value that conversations are not found by.
        """
        match person:
            case ChannelUser(channel, user):
                user_key = self._identities.user_key(channel, user)
                work = partial(_by_user, user_key=user_key, reason=reason, dry_run=dry_run)
            case MentionedValue(type_, value):
                mention_key = self._vault.mention_key(type_, value)
                work = partial(_by_value, type_=type_, mention_key=mention_key, reason=reason, dry_run=dry_run)
        erased = await self._transactions.run(work)
        if not dry_run:
            await asyncio.to_thread(finish_erasures, self._transactions, self._dataset_files)
        return erased


def _by_user(session: Session, user_key: str, reason: str, dry_run: bool) -> Erased:
    found = erasure.conversations_of_user(session, user_key)
    learnt = learning_erasure.learnt_from(session, found, user_key=user_key)
    return _erase(session, found, learnt, user_key, {"by": "user", "reason": reason}, dry_run)


def _by_value(session: Session, type_: str, mention_key: str, reason: str, dry_run: bool) -> Erased:
    found = vault_rows.conversations_mentioning(session, mention_key)
    # A name of its own for the audit row: the value's hash must not outlive the person's rows.
    learnt = learning_erasure.learnt_from(session, found, mention_key=mention_key)
    return _erase(session, found, learnt, new_id(), {"by": "value", "type": type_, "reason": reason}, dry_run)


def _erase(
    session: Session,
    conversation_ids: list[str],
    learnt: Learnt,
    subject_id: str,
    details: Mapping[str, Any],
    dry_run: bool,
) -> Erased:
    erased = Erased(erasure.holdings_of(session, conversation_ids), learnt.datasets, learnt.adapters)
    if not dry_run:
        learning_erasure.take_out(session, learnt, ACTOR)
        erasure.delete_conversations(session, conversation_ids)
    audit.record(
        session,
        actor=ACTOR,
        action="person.looked_up" if dry_run else "person.erased",
        subject_kind="person",
        subject_id=subject_id,
        details={**details, **erased.as_object()},
    )
    return erased
