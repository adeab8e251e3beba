"""While a person of the bank has a conversation, what is asked in it becomes a message to them instead of a turn."""

from datetime import timedelta
from typing import Final

from sqlalchemy.orm import Session

from llm_service.client import AcceptedTurn
from llm_service.errors import Conflict
from llm_service.masking.vault import Detected, Vault
from llm_service.store import handoffs
from llm_service.store.handoff_models import WITH_A_PERSON, HandoffEvent
from llm_service.store.models import Conversation, now

HANDED_OFF: Final = "handed_off"


def message_of(
    session: Session,
    vault: Vault,
    conversation: Conversation,
    event_id: str,
    detected: Detected,
    reply_owed: timedelta,
) -> AcceptedTurn | None:
    """The message that a text became, or was before; None where no person has the conversation."""
    latest = handoffs.latest_of(session, conversation.id)
    if latest is None:
        return None
    known = handoffs.message_by_event(session, conversation.id, event_id)
    if known is not None:
        return _accepted(known, conversation.id, {}, replayed=True)
    if latest.state not in WITH_A_PERSON:
        return None
    masked = vault.mask(session, conversation, detected)
    try:
        message = handoffs.write(session, latest.id, event_id, masked.text, now() + reply_owed)
    except Conflict:
        # Closed a moment ago: the person is with the bot again.
        return None
    return _accepted(message, conversation.id, dict(masked.counts), replayed=False)


def _accepted(
    message: HandoffEvent, conversation_id: str, entity_counts: dict[str, int], *, replayed: bool
) -> AcceptedTurn:
    assert message.text is not None
    return AcceptedTurn(
        turn_id=message.id,
        conversation_id=conversation_id,
        masked_text=message.text,
        entity_counts=entity_counts,
        replayed=replayed,
        state=HANDED_OFF,
    )
