"""The story of one message from Teams: a question answered where it was asked, a thumb stored, a newcomer greeted.

Whatever goes wrong ends in a sentence in Teams; only Teams itself being away does not, and is raised. Knows neither the
inbox nor HTTP.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Protocol

from microsoft_teams.api.activities.message import MessageActivityInput

from bot.gateway.channel import (
    AnswerEnded,
    AnswerFailed,
    AnswerText,
    AnswerWithdrawn,
    ChannelQuestion,
    ChannelTurns,
    Notice,
    TurnOpened,
)
from bot.gateway.conversation_queue import ConversationQueue
from bot.gateway.directory import Person
from bot.gateway.errors import Declined
from bot.gateway.outbound import OutboundGate, OutboundText
from bot.gateway.sessions import OwnedTurn
from bot.gateway.teams import activities
from bot.gateway.teams.connector import Connector, NotSent, Place, StreamStopped
from bot.gateway.teams.handoff import reply_place
from bot.gateway.teams.kept import KeptMessages, event_id_of
from bot.gateway.teams.streamed_message import StreamedMessage
from bot.teams_door.message import TeamsMessage
from llm_service.client import LlmServiceClient, ServiceError, Verdict
from llm_service.logs import get_logger

CHANNEL: Final = "teams"
MAXIMUM_WAITING: Final = 4
MakeMessage = Callable[..., StreamedMessage]
_log = get_logger("gateway.teams.answering")


class People(Protocol):
    """Who a channel's user is to the bank."""

    async def person_of(self, channel: str, external_id: str) -> Person: ...


@dataclass(frozen=True)
class TeamsParts:
    """What answering is handed by `app.py`."""

    turns: ChannelTurns
    llm_service: LlmServiceClient
    gate: OutboundGate
    people: People
    connector: Connector
    kept: KeptMessages
    message: MakeMessage = StreamedMessage


class TeamsAnswers:
    """Handles messages; raises `NotSent` where Teams did not take what was to be said, and `RedisError`."""

    def __init__(self, parts: TeamsParts) -> None:
        self._parts = parts
        self._queue = ConversationQueue(MAXIMUM_WAITING)

    async def handle(self, message: TeamsMessage, *, is_second_try: bool = False) -> None:
        """Do what a message asks for. A second try ends the message that the first one began."""
        person = await self._parts.people.person_of(CHANNEL, message.user_id)
        person = replace(person, locale=message.locale or person.locale)
        match message.kind:
            case "question":
                await self._answer(message, person, is_second_try=is_second_try)
            case "feedback":
                await self._store(message, person)
            case "installed":
                await self._say(Place.of(message), self._own("welcome", person))

    async def give_up(self, message: TeamsMessage) -> None:
        """Say that a message could not be handled, after all tries. Raises `NotSent`."""
        text = self._parts.turns.failure_sentence("service_failed", message.locale or "ko")
        await self._say(Place.of(message), text)

    async def _answer(self, message: TeamsMessage, person: Person, *, is_second_try: bool) -> None:
        place = Place.of(message)
        lane = (
            place.conversation_id if place.conversation_type == "personal" else f"{place.conversation_id} {person.id}"
        )
        try:
            async with self._queue.turn_of(lane):
                known = await self._parts.kept.begun(*_names(message)) if is_second_try else None
                await _Answer(self._parts, message, person, place, known).tell()
        except Declined as declined:
            await self._say(place, self._parts.turns.failed(declined, person.locale).text)

    async def _store(self, message: TeamsMessage, person: Person) -> None:
        place = Place.of(message)
        turn = await self._parts.kept.turn_of(message.conversation_id, message.reply_to_id or "")
        if turn is None:
            await self._say(place, self._own("feedback_too_late", person))
            return
        verdict: Verdict = "up" if message.reaction == "like" else "down"
        event_id = event_id_of(*_names(message))
        try:
            await self._parts.llm_service.give_feedback(
                turn.turn_id, turn.conversation_id, event_id, verdict, message.reason, message.correction
            )
        except ServiceError as error:
            reason = self._parts.turns.failure_sentence(error.code, person.locale)
            await self._say(place, self._own("feedback_failed", person) + reason)
            return
        _log.info("feedback_stored", verdict=verdict, has_correction=message.correction is not None)
        if verdict == "down" and place.conversation_type == "personal":
            await self._say(place, self._parts.gate.own("replies", "feedback", person.locale))

    async def _say(self, place: Place, text: OutboundText) -> None:
        await self._parts.connector.post(place, activities.said(text))

    def _own(self, code: str, person: Person) -> OutboundText:
        return self._parts.gate.own("teams", code, person.locale)


class _Answer:
    """One question on its way to its answer."""

    def __init__(
        self, parts: TeamsParts, message: TeamsMessage, person: Person, place: Place, known_id: str | None
    ) -> None:
        self._parts = parts
        self._names = _names(message)
        self._person = person
        self._place = place
        self._question = ChannelQuestion(
            CHANNEL,
            event_id_of(*self._names),
            thread=place.conversation_id,
            person=person,
            text=message.text,
            reply_to=reply_place(place),
        )
        working = parts.gate.own("teams", "working", person.locale)
        self._message = parts.message(parts.connector, place, working, self._keep_begun, known_id)
        self._turn: OwnedTurn | None = None
        self._notices: list[OutboundText] = []

    async def tell(self) -> None:
        """Show the answer as it comes; the Stop button ends it where it is written. Raises `NotSent`."""
        telling = asyncio.create_task(self._tell())
        attending = asyncio.create_task(self._attend())
        try:
            await asyncio.wait({telling, attending}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                await telling
            else:
                await attending
        except StreamStopped:
            await self._stop()
        finally:
            for task in (telling, attending):
                task.cancel()
            # What a sign of life still had to say counts no more; the telling's own end was looked at above.
            await asyncio.gather(telling, attending, return_exceptions=True)

    async def _tell(self) -> None:
        async with aclosing(self._parts.turns.answer(self._question)) as pieces:
            async for piece in pieces:
                match piece:
                    case TurnOpened(turn):
                        self._turn = turn
                    case Notice(_, text, private=True):
                        await self._tell_privately(text)
                    case Notice(_, text):
                        self._notices.append(text)
                    case AnswerText(_, whole):
                        await self._message.show(whole)
                    case AnswerEnded():
                        await self._end(piece)
                    case AnswerWithdrawn(_, shown, private):
                        await self._withdraw(shown, private)
                    case AnswerFailed(code, text):
                        _log.warning("answer_failed", code=code)
                        await self._message.finish(activities.said(text))
        for text in self._notices:
            await self._parts.connector.post(self._place, activities.said(text))

    async def _attend(self) -> None:
        try:
            await self._message.attend()
        except NotSent as refused:
            # The answer itself will meet the same fate, or not; a sign of life is worth no failure.
            _log.info("no_sign_of_life", code=refused.code)
            await asyncio.Event().wait()

    async def _end(self, ended: AnswerEnded) -> None:
        if not ended.text:
            await self._message.finish(activities.said(self._parts.gate.own("teams", "stopped", self._person.locale)))
            return
        message_id = await self._message.finish(self._finished(ended))
        if message_id is not None and ended.state != "replied":
            await self._parts.kept.keep_answer(self._place.conversation_id, message_id, ended.turn)
            if self._place.conversation_type == "personal":
                # A thumb that names no message is about the last answer of its chat.
                await self._parts.kept.keep_answer(self._place.conversation_id, "", ended.turn)

    def _finished(self, ended: AnswerEnded) -> MessageActivityInput:
        if ended.state == "replied":
            return activities.said(ended.text)
        title = self._parts.gate.own("teams", "sources", self._person.locale)
        return activities.answer(ended, title, self._person.locale)

    async def _withdraw(self, shown: OutboundText, private: OutboundText) -> None:
        if self._place.conversation_type == "personal":
            await self._message.finish(activities.said(private))
            return
        told = await self._tell_alone(private)
        await self._message.finish(activities.said(shown if told else private))

    async def _tell_privately(self, text: OutboundText) -> None:
        if self._place.conversation_type == "personal" or not await self._tell_alone(text):
            await self._parts.connector.post(self._place, activities.said(text))

    async def _tell_alone(self, text: OutboundText) -> bool:
        """Whether the person could be told in their own chat; they may not have added the bot there."""
        try:
            alone = await self._parts.connector.private_place(self._place, self._person.id)
            await self._parts.connector.post(alone, activities.said(text))
        except NotSent as refused:
            _log.info("not_told_privately", code=refused.code, status=refused.status)
            return False
        return True

    async def _stop(self) -> None:
        _log.info("stopped_by_person", had_turn=self._turn is not None)
        if self._turn is not None:
            await self._parts.turns.stop(self._turn)

    async def _keep_begun(self, message_id: str) -> None:
        await self._parts.kept.keep_begun(*self._names, message_id)


def _names(message: TeamsMessage) -> tuple[str, str]:
    return message.conversation_id, message.activity_id
