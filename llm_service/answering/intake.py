"""Takes in what people say: check, find what must be masked, then name and store in one transaction.

Text and the values behind its placeholders are kept together or not at all, and nothing unmasked is ever kept.

Knows no HTTP and no answer. A message of a channel is one turn, however often the channel delivers it.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from sqlalchemy.orm import Session

from llm_service.answering import handing_over
from llm_service.answering.masking_desk import MaskingDesk, TimedDetection
from llm_service.answering.text_rules import require_question, require_readable
from llm_service.answering.views import turn_view
from llm_service.client import AcceptedTurn, ConversationKey, Route, TurnView
from llm_service.errors import Conflict
from llm_service.masked import RawText
from llm_service.masking.vault import Detected, Vault
from llm_service.metrics import Metrics
from llm_service.store import conversations
from llm_service.store.conversations import RoutedBy
from llm_service.store.identities import Identities
from llm_service.store.models import Conversation, Turn
from llm_service.store.transactions import Transactions


@dataclass(frozen=True)
class _Keys:
    """The hashed names of one conversation."""

    channel: str
    thread_key: str
    user_key: str
    audience: str
    groups: tuple[str, ...]
    locale: str


class TurnIntake:
    """Stores questions, and the replies that need no documents."""

    def __init__(
        self,
        transactions: Transactions,
        masking: MaskingDesk,
        vault: Vault,
        identities: Identities,
        metrics: Metrics,
        maximum_characters: int,
        reply_owed: timedelta,
    ) -> None:
        """`reply_owed` is how soon a person of the bank who has the conversation owes words to a further message."""
        self._transactions = transactions
        self._masking = masking
        self._vault = vault
        self._identities = identities
        self._metrics = metrics
        self._maximum_characters = maximum_characters
        self._reply_owed = reply_owed

    async def accept(self, event_id: str, conversation: ConversationKey, raw: RawText) -> AcceptedTurn:
        """Mask and store a question; the same event of the same thread returns the turn it made before.

        Raises `InvalidInput`, `TooLarge` (text_*), `MaskingUnavailable` and `VaultUnavailable`: nothing is kept then.
        """
        require_question(raw, self._maximum_characters)
        keys = self._keys_of(conversation)
        timed = await self._masking.detect(raw)
        accepted = await self._transactions.run(
            partial(_store, vault=self._vault, keys=keys, event_id=event_id, timed=timed, reply_owed=self._reply_owed)
        )
        if not accepted.replayed:
            self._metrics.turn(accepted.state, None)
        return accepted

    async def reply(self, turn_id: str, conversation_id: str, route: Route, raw: RawText) -> None:
        """Keep a deterministic reply, masked, as the turn's answer; said again, the first one stays.

        Placeholders of the conversation that it repeats stay. Raises `NotFound` (turn_not_found), `Conflict`
        (turn_already_answered), `MaskingUnavailable` and `VaultUnavailable`.
        """
        require_readable(raw)
        timed = await self._masking.detect(raw, is_reply=True)
        stored = await self._transactions.run(
            partial(
                _reply,
                vault=self._vault,
                turn_id=turn_id,
                conversation_id=conversation_id,
                route=route,
                reply=timed.detected,
            )
        )
        if stored:
            self._metrics.turn("replied", route.intent)
            self._metrics.routed(route.by, route.reason)

    async def view(self, turn_id: str, conversation_id: str) -> TurnView:
        """A turn as it is kept. Raises `NotFound` (turn_not_found)."""
        return await self._transactions.read(partial(_view, turn_id=turn_id, conversation_id=conversation_id))

    def find_or_create(self, session: Session, key: ConversationKey) -> Conversation:
        """The conversation of a key, locked until the transaction ends."""
        keys = self._keys_of(key)
        return conversations.find_or_create_conversation(
            session, keys.channel, keys.thread_key, keys.user_key, keys.audience, keys.locale, keys.groups
        )

    def find(self, session: Session, key: ConversationKey) -> Conversation | None:
        """The conversation of a key, if there is one."""
        keys = self._keys_of(key)
        return conversations.of_thread(session, keys.channel, keys.thread_key)

    def _keys_of(self, key: ConversationKey) -> _Keys:
        return _Keys(
            channel=key.channel,
            thread_key=self._identities.thread_key(key.channel, key.thread, key.user, key.audience, key.groups),
            user_key=self._identities.user_key(key.channel, key.user),
            audience=key.audience,
            groups=key.groups,
            locale=key.locale,
        )


def _store(
    session: Session, vault: Vault, keys: _Keys, event_id: str, timed: TimedDetection, reply_owed: timedelta
) -> AcceptedTurn:
    conversation = conversations.find_or_create_conversation(
        session, keys.channel, keys.thread_key, keys.user_key, keys.audience, keys.locale, keys.groups
    )
    if not conversations.has_just_begun(session, conversation):
        known = conversations.turn_by_event(session, keys.channel, keys.thread_key, event_id)
        if known is not None:
            return _accepted(known, replayed=True)
        with_a_person = handing_over.message_of(session, vault, conversation, event_id, timed.detected, reply_owed)
        if with_a_person is not None:
            return with_a_person
    masked = vault.mask(session, conversation, timed.detected)
    turn = conversations.add_turn(
        session, conversation, event_id, masked.text, masked.counts, {"mask": timed.milliseconds}
    )
    return _accepted(turn, replayed=False)


def _reply(session: Session, vault: Vault, turn_id: str, conversation_id: str, route: Route, reply: Detected) -> bool:
    turn = conversations.owned_turn(session, turn_id, conversation_id)
    conversation = conversations.locked(session, conversation_id)
    if turn.state == "replied":
        return False
    masked = vault.mask(session, conversation, reply)
    if conversations.store_reply(session, turn_id, _routed(route), masked.text):
        turn.timings = {**turn.timings, "route": route.milliseconds}
        return True
    if turn.state != "replied":
        raise Conflict("turn_already_answered", "the turn is being answered from documents, or was")
    return False


def _routed(route: Route) -> RoutedBy:
    return RoutedBy(route.intent, route.confidence, route.by, route.reason)


def _view(session: Session, turn_id: str, conversation_id: str) -> TurnView:
    return turn_view(session, conversations.owned_turn(session, turn_id, conversation_id))


def _accepted(turn: Turn, replayed: bool) -> AcceptedTurn:
    return AcceptedTurn(
        turn_id=turn.id,
        conversation_id=turn.conversation_id,
        masked_text=turn.question,
        entity_counts=turn.entity_counts,
        replayed=replayed,
        state=turn.state,
        timings=turn.timings,
    )
