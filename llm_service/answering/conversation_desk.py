"""Conversations as staff look them up: masked, and never without an audit row in the very transaction that reads."""

from datetime import datetime
from functools import partial
from typing import Final

from sqlalchemy.orm import Session

from llm_service.errors import InvalidInput, NotFound
from llm_service.operations_client import ConversationView, FoundTurn, FoundTurns
from llm_service.operations_client import Place as PlaceView
from llm_service.store import audit, conversation_search, conversations
from llm_service.store.conversation_search import Place, Sought
from llm_service.store.models import Conversation, Turn
from llm_service.store.transactions import Transactions

TURNS_PER_PAGE: Final = 50


class ConversationDesk:
    """`reader` is the keyed hash of who reads."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    async def search(self, reader: str, sought: Sought, after: Place | None, limit: int) -> FoundTurns:
        """One page of turns, the newest first. What was searched for is not kept, only by which fields."""
        if sought.text is not None and not sought.text.strip():
            raise InvalidInput("text_empty", "search for words")
        work = partial(_searched, reader=reader, sought=sought, after=after, limit=limit)
        return await self._transactions.run(work)

    async def open(self, reader: str, conversation_id: str, from_position: int) -> ConversationView:
        """A conversation from one of its turns on. Raises `NotFound` (conversation_not_found)."""
        work = partial(_opened, reader=reader, conversation_id=conversation_id, from_position=from_position)
        return await self._transactions.run(work)


def _searched(session: Session, reader: str, sought: Sought, after: Place | None, limit: int) -> FoundTurns:
    found = conversation_search.search(session, sought, after, limit)
    ratings = conversation_search.verdicts_on(session, [turn.id for turn in found.turns])
    turns = [_shown(turn, turn.conversation, ratings.get(turn.id, [])) for turn in found.turns]
    details = {"by": sought.asked, "turns": len(turns)}
    audit.record(session, reader, "conversation.searched", "conversation", "search", details)
    following = PlaceView(found.next.at.isoformat(), found.next.id) if found.next else None
    return FoundTurns(turns, following, _moment(found.looked_back_to))


def _opened(session: Session, reader: str, conversation_id: str, from_position: int) -> ConversationView:
    known = conversations.IDENTIFIER.fullmatch(conversation_id)
    found = session.get(Conversation, conversation_id) if known else None
    if found is None:
        raise NotFound("conversation_not_found", "there is no such conversation")
    turns = conversation_search.turns_of(session, found.id, from_position, TURNS_PER_PAGE + 1)
    shown, following = turns[:TURNS_PER_PAGE], turns[TURNS_PER_PAGE:]
    ratings = conversation_search.verdicts_on(session, [turn.id for turn in shown])
    details = {"view": "conversation", "from": from_position, "turns": len(shown)}
    audit.record(session, reader, "conversation.read", "conversation", found.id, details)
    return ConversationView(
        id=found.id,
        channel=found.channel,
        audience=found.audience,
        groups=list(found.groups),
        locale=found.locale,
        person=found.user_key,
        created_at=found.created_at.isoformat(),
        turns=[_shown(turn, found, ratings.get(turn.id, [])) for turn in shown],
        next_position=following[0].position if following else None,
    )


def _shown(turn: Turn, conversation: Conversation, ratings: list[str]) -> FoundTurn:
    return FoundTurn(
        id=turn.id,
        conversation_id=conversation.id,
        at=turn.created_at.isoformat(),
        channel=conversation.channel,
        audience=conversation.audience,
        person=conversation.user_key,
        question=turn.question,
        answer=turn.answer,
        state=turn.state,
        intent=turn.intent,
        engine=turn.engine,
        adapter=turn.adapter,
        ratings=ratings,
    )


def _moment(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
