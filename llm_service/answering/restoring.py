"""Gives the values behind placeholders back to the person who wrote them, in that person's own web conversation.

Anybody else is answered as if there were nothing behind them, so that asking tells nobody anything. Every look behind
a placeholder leaves an audit row in the same transaction.
"""

import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.masked import RawText
from llm_service.masking.vault import Restored, Vault
from llm_service.metrics import Metrics
from llm_service.store import audit
from llm_service.store.conversations import IDENTIFIER
from llm_service.store.identities import Identities
from llm_service.store.models import Conversation
from llm_service.store.transactions import Transactions

RESTORING_CHANNEL: Final = "web"
"""The only channel whose conversation stays between the bank and the person. Slack and Teams keep what they show."""
PURPOSE: Final = "shown_to_owner"


@dataclass(frozen=True)
class _Asked:
    conversation_id: str
    owner_key: str
    placeholders: Collection[str]


class RestoreDesk:
    """Restores for owners. `owner` is the person's id as the channel knows it; it is hashed here and not kept."""

    def __init__(self, transactions: Transactions, vault: Vault, identities: Identities, metrics: Metrics) -> None:
        self._transactions = transactions
        self._vault = vault
        self._identities = identities
        self._metrics = metrics

    async def restore(self, conversation_id: str, owner: str, placeholders: Collection[str]) -> Mapping[str, RawText]:
        """The value of each placeholder that has one for this owner; the others are left out.

        Raises `VaultUnavailable` and `Unavailable`.
        """
        asked = _Asked(conversation_id, self._identities.user_key(RESTORING_CHANNEL, owner), placeholders)
        restored = await self._transactions.run(partial(_restore, vault=self._vault, asked=asked))
        self._metrics.restored(restored.kinds, restored.stayed)
        return restored.values


def _restore(session: Session, vault: Vault, asked: _Asked) -> Restored:
    conversation = (
        session.get(Conversation, asked.conversation_id) if IDENTIFIER.fullmatch(asked.conversation_id) else None
    )
    if conversation is None:
        return Restored({}, {"not_found": len(asked.placeholders)})
    if not _belongs_to(conversation, asked.owner_key):
        restored = Restored({}, {"not_owner": len(asked.placeholders)})
    else:
        restored = vault.restore(session, conversation, asked.placeholders)
    audit.record(
        session,
        actor=asked.owner_key,
        action="vault.restored" if restored.values else "vault.not_restored",
        subject_kind="conversation",
        subject_id=conversation.id,
        details={"purpose": PURPOSE, "kinds": restored.kinds, "stayed": dict(restored.stayed)},
    )
    return restored


def _belongs_to(conversation: Conversation, owner_key: str) -> bool:
    is_owner = hmac.compare_digest(conversation.user_key, owner_key)
    return is_owner and conversation.channel == RESTORING_CHANNEL
