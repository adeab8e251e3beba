"""Follows the events of one answer for one reader: from the log while it lasts, from the records afterwards.

A reader who leaves ends nothing, and a reader who comes back generates nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from llm_service.answering.stream import ENDING_EVENTS, AnswerLog
from llm_service.answering.views import done_data, wire_sources
from llm_service.client import EventName, Locale, StreamEvent
from llm_service.errors import Unavailable
from llm_service.logs import get_logger
from llm_service.store import conversations
from llm_service.store.conversations import FINISHED_STATES
from llm_service.store.models import Turn
from llm_service.store.transactions import Transactions
from llm_service.texts import sentence

# The record of an ended answer is written a moment before its last event.
LAST_EVENT_SECONDS: Final = 1.0
RESTATED: Final = "answer_restated"
LocaleOf = Callable[[str, str], Locale | None]
LOG = get_logger(__name__)


class AnswerReader:
    """Opens streams of events. `longest_seconds` ends a stream whose answer never begins; its reader may come back.

    `locale_of` says of a turn and its conversation in which language this process is writing the answer, if it is.
    """

    def __init__(
        self,
        transactions: Transactions,
        log: AnswerLog,
        heartbeat_seconds: float,
        longest_seconds: float,
        locale_of: LocaleOf = lambda _turn_id, _conversation_id: None,
    ) -> None:
        self._locale_of = locale_of
        self._transactions = transactions
        self._log = log
        self._heartbeat_seconds = heartbeat_seconds
        self._longest_seconds = longest_seconds

    async def open(self, turn_id: str, conversation_id: str, after: int) -> AsyncGenerator[StreamEvent | None, None]:
        """Events after the given number until `done` or `error`; None means that nothing has happened for a heartbeat.

        Raises `NotFound` (turn_not_found) and `Unavailable` before anything is streamed. What cannot be reached later
        ends the stream with an `error` under the last number told, so that its reader may come back and miss nothing.

        Where the log has expired, the answer is told again from its beginning, out of the records, under numbers that
        follow `after`; the notice `answer_restated` says so to a reader who has seen a part of it.
        """
        if written_here := self._locale_of(turn_id, conversation_id):
            await self._log.ping()
            return self._while_reachable(turn_id, after, written_here, is_coming=True)
        locale, is_coming = await self._transactions.read(
            partial(_looked_up, turn_id=turn_id, conversation_id=conversation_id)
        )
        await self._log.ping()
        return self._while_reachable(turn_id, after, locale, is_coming)

    async def _while_reachable(
        self, turn_id: str, after: int, locale: Locale, is_coming: bool
    ) -> AsyncGenerator[StreamEvent | None, None]:
        try:
            async with aclosing(self._follow(turn_id, after, is_coming)) as followed:
                async for event in followed:
                    yield event
                    after = after if event is None else event.id
        except Unavailable as error:
            # The status of the response is on its way already; an exception would only tear the stream.
            LOG.warning("stream ended early", turn_id=turn_id, code=error.code, exc_info=error)
            yield StreamEvent(after, "error", {"code": error.code, "message": sentence(error.code, locale)})

    async def _follow(self, turn_id: str, after: int, is_coming: bool) -> AsyncGenerator[StreamEvent | None, None]:
        deadline = asyncio.get_running_loop().time() + self._longest_seconds
        # Of an answer that was unfinished a moment ago the records know nothing to tell: its log is waited for.
        wait_seconds = self._heartbeat_seconds if is_coming else 0.0
        while asyncio.get_running_loop().time() < deadline:
            events = await self._log.read(turn_id, after, wait_seconds)
            if not events:
                if await self._log.finished(turn_id):
                    # Whatever was written since the read above; nothing, for a reader who is behind the end.
                    events = await self._log.read(turn_id, after, 0)
                    if not events:
                        return
                else:
                    events = await self._restate(turn_id, after)
            for event in events:
                yield event
                after = event.id
            if events and events[-1].event in ENDING_EVENTS:
                return
            if not events and wait_seconds:
                yield None
            wait_seconds = self._heartbeat_seconds

    async def _restate(self, turn_id: str, after: int) -> list[StreamEvent]:
        told = await self._transactions.read(partial(_told_again, turn_id=turn_id, to_a_returning_reader=after > 0))
        log_is_alive = bool(told) and bool(await self._log.read(turn_id, 0, 0))
        if log_is_alive and (late := await self._log.read(turn_id, after, LAST_EVENT_SECONDS)):
            return late
        return [StreamEvent(after + place, name, data) for place, (name, data) in enumerate(told, start=1)]


def _looked_up(session: Session, turn_id: str, conversation_id: str) -> tuple[Locale, bool]:
    """The language of a turn's conversation, and whether its end is still to come."""
    turn = conversations.owned_turn(session, turn_id, conversation_id)
    locale: Locale = turn.conversation.locale  # type: ignore[assignment]
    return locale, turn.state not in FINISHED_STATES


def _told_again(session: Session, turn_id: str, to_a_returning_reader: bool) -> list[tuple[EventName, dict[str, Any]]]:
    turn = session.get_one(Turn, turn_id)
    locale: Locale = turn.conversation.locale  # type: ignore[assignment]
    if turn.state not in FINISHED_STATES:
        return []
    if turn.state == "failed":
        code = turn.error_code or "answer_failed"
        return [("error", {"code": code, "message": sentence(code, locale)})]
    told: list[tuple[EventName, dict[str, Any]]] = []
    if to_a_returning_reader:
        told.append(("notice", {"code": RESTATED, "text": sentence(RESTATED, locale)}))
    told.append(("sources", {"sources": wire_sources(session, turn_id)}))
    if turn.answer:
        told.append(("token", {"text": turn.answer}))
    return [*told, ("done", done_data(turn))]
