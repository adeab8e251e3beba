"""Tells the whole story of one turn out of the records: asked, routed, searched, written, checked.

Nothing is searched or written anew. Whoever names the turn's conversation reads their own; an operator reads any turn,
and that reading is audited in the same transaction: without the audit row there is no explanation.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

from sqlalchemy.orm import Session

from llm_service.answering.threads import Threads
from llm_service.answering.views import turn_view
from llm_service.client import Explanation
from llm_service.masked import MaskedText
from llm_service.store import audit, conversations
from llm_service.store.models import Turn
from llm_service.store.transactions import Transactions

READ: Final = "conversation.read"
WordsOf = Callable[[MaskedText], tuple[str, ...]]
"""The words of a question as retrieval reads them."""


class ExplanationDesk:
    """Explains answers. `words_of` runs on `threads`, since it analyses Korean."""

    def __init__(self, transactions: Transactions, words_of: WordsOf, threads: Threads) -> None:
        self._transactions = transactions
        self._words_of = words_of
        self._threads = threads

    async def explain(self, turn_id: str, conversation_id: str, reader: str) -> Explanation:
        """The story of a turn: of its own conversation, or of any where `conversation_id` is empty.

        `reader` is who stands in the audit then: a person's keyed hash, or a service.

        Raises `NotFound` (turn_not_found), for a turn of another conversation too.
        """
        if conversation_id:
            work = partial(_owned, turn_id=turn_id, conversation_id=conversation_id)
            turn, view = await self._transactions.read(work)
        else:
            turn, view = await self._transactions.run(partial(_read_by_operator, turn_id=turn_id, reader=reader))
        terms = await self._threads(partial(self._words_of, MaskedText(view["question"])))
        return Explanation(**view, **turn, query_terms=list(terms))


Parts = tuple[dict[str, Any], dict[str, Any]]


def _owned(session: Session, turn_id: str, conversation_id: str) -> Parts:
    turn = conversations.owned_turn(session, turn_id, conversation_id)
    return _searched(turn), _told(session, turn)


def _read_by_operator(session: Session, turn_id: str, reader: str) -> Parts:
    turn = conversations.any_turn(session, turn_id)
    details = {"conversation_id": turn.conversation_id, "view": "explanation"}
    audit.record(session, reader, READ, "turn", turn.id, details)
    return _searched(turn), _told(session, turn)


def _told(session: Session, turn: Turn) -> dict[str, Any]:
    """What was asked, how it was routed and what was answered."""
    view = turn_view(session, turn)
    return {
        "turn_id": view.turn_id,
        "conversation_id": view.conversation_id,
        "channel": turn.conversation.channel,
        "state": view.state,
        "question": view.question,
        "asked_at": turn.created_at.isoformat(),
        "route": {
            "intent": turn.intent,
            "confidence": turn.intent_confidence,
            "by": turn.routed_by,
            "reason": turn.route_reason,
        },
        "engine": view.engine or None,
        "answer": view.answer,
        "sources": view.sources,
        "error_code": turn.error_code,
        "timings": view.timings,
    }


def _searched(turn: Turn) -> dict[str, Any]:
    """What was searched within which filters, what was found, and what the check said; empty for a turn without."""
    kept = turn.retrieval
    conversation = turn.conversation
    as_of = turn.as_of.isoformat() if turn.as_of else None
    return {
        "filters": {"audience": conversation.audience, "groups": list(conversation.groups), "as_of": as_of},
        "candidates": cast("list[dict[str, Any]]", kept.get("candidates", [])),
        "confidence": kept.get("confidence"),
        "refusal_threshold": kept.get("refusal_threshold"),
        "features": kept.get("features", {}),
        "refusal_reason": kept.get("refusal_reason"),
        "adapter": turn.adapter,
        "prompt_sha256": kept.get("prompt_sha256"),
        "verdicts": kept.get("verdicts", []),
        "fallbacks": kept.get("fallbacks", []),
        "retrieval_timings": kept.get("timings", {}),
    }
