"""The story of one question from a messenger: asked as on the web, told in pieces that may leave, ended in a sentence.

Slack and Teams share it. Whatever goes wrong becomes a piece with a sentence, never an exception and never silence.
Knows no messenger: how a piece is shown, and when one has to be taken back, is the channel's matter.
"""

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

from bot.gateway.directory import Person
from bot.gateway.errors import Declined
from bot.gateway.outbound import Blocked, OutboundGate, OutboundStream, OutboundText
from bot.gateway.question import check_question
from bot.gateway.sessions import OwnedTurn
from bot.gateway.texts import UNKNOWN_ERROR_CODE
from bot.gateway.turn import ChatEvent, ChatTurns, Question
from llm_service.client import ConversationKey, Locale, ServiceError
from llm_service.logs import get_logger

MAXIMUM_SOURCES: Final = 10
MAXIMUM_QUOTATION_CHARACTERS: Final = 400
MAXIMUM_LABEL_CHARACTERS: Final = 200
CITATION: Final = re.compile(r"\[(\d{1,2})\]")
ChannelName = Literal["slack", "teams"]
_log = get_logger("gateway.channel")


@dataclass(frozen=True)
class ChannelQuestion:
    """A question as a messenger delivered it. `event_id` is the messenger's own: the same again is the same turn.

    `thread` names the messenger's place of the conversation; every person has a conversation of their own in it.
    `reply_to` is where a person's later words go, should one be asked for (`handoff_ports.py`).
    """

    channel: ChannelName
    event_id: str
    thread: str
    person: Person
    text: str = field(repr=False)
    reply_to: str = field(default="", repr=False)

    @property
    def locale(self) -> Locale:
        return self.person.locale


@dataclass(frozen=True)
class OutboundSource:
    """One source of an answer: the [n] of the text, how a person cites it, what it says."""

    number: int
    label: OutboundText
    quotation: OutboundText


@dataclass(frozen=True)
class TurnOpened:
    """The question is stored, masked, and on its way. `turn` is what can be stopped and judged."""

    turn: OwnedTurn


@dataclass(frozen=True)
class AnswerText:
    """More of the answer, not sooner than the pace after the last piece. `whole` is all of it so far."""

    more: OutboundText
    whole: OutboundText


@dataclass(frozen=True)
class AnswerRestated:
    """The answer begins anew: what was shown of it is to be replaced by what comes."""


@dataclass(frozen=True)
class Notice:
    """Something to say beside the answer; `private` is for the person who asked and nobody else."""

    code: str
    text: OutboundText
    private: bool = False


@dataclass(frozen=True)
class AnswerEnded:
    """The answer is whole. `state` is answered, refused, replied or stopped; `sources` are those it cites."""

    turn: OwnedTurn
    state: str
    refused: bool
    text: OutboundText
    sources: tuple[OutboundSource, ...]


@dataclass(frozen=True)
class AnswerWithdrawn:
    """The answer must not leave: `shown` replaces what is there, `private` tells the person why and where to go."""

    code: str
    shown: OutboundText
    private: OutboundText


@dataclass(frozen=True)
class AnswerFailed:
    """There is no answer, or no more of it, and `text` says why. `code` is stable."""

    code: str
    text: OutboundText


ChannelPiece = TurnOpened | AnswerText | AnswerRestated | Notice | AnswerEnded | AnswerWithdrawn | AnswerFailed
Admit = Callable[[ChannelQuestion], Awaitable[None]]


class ChannelTurns:
    """Answers questions of messengers. `admit` raises `Declined` for who asks too often."""

    def __init__(
        self,
        turns: ChatTurns,
        gate: OutboundGate,
        maximum_question_characters: int,
        pace_seconds: float,
        admit: Admit | None = None,
    ) -> None:
        self._turns = turns
        self._gate = gate
        self._maximum_question_characters = maximum_question_characters
        self._pace_seconds = pace_seconds
        self._admit = admit

    async def answer(self, question: ChannelQuestion) -> AsyncGenerator[ChannelPiece]:
        """The pieces of one answer, the last of them ended, withdrawn or failed. Close what you get.

        Whoever closes early has not stopped the answer: that is `stop`.
        """
        try:
            check_question(question.text, self._maximum_question_characters)
            if self._admit is not None:
                await self._admit(question)
            opened = await self._turns.open(_asked(question))
        except (Declined, ServiceError) as refused:
            yield self.failed(refused, question.locale)
            return
        yield TurnOpened(opened.turn)
        if opened.masked:
            yield self._own_notice("question_has_personal_data", question.locale)
        telling = _Telling(self._gate, opened.turn, question.locale)
        async with (
            aclosing(self._turns.stream(opened)) as events,
            _Pumped(events) as pumped,
            aclosing(self._told(telling, pumped)) as pieces,
        ):
            async for piece in pieces:
                yield piece

    async def stop(self, turn: OwnedTurn) -> None:
        """Stop a running answer; its pieces end with state stopped. Raises `ServiceError`."""
        await self._turns.stop(turn)

    def failed(self, error: Declined | ServiceError, locale: Locale) -> AnswerFailed:
        """The piece that says why there is no answer."""
        wait = error.retry_after_seconds if isinstance(error, Declined) else None
        return AnswerFailed(error.code, self.failure_sentence(error.code, locale, wait))

    def failure_sentence(self, code: str, locale: Locale, wait_seconds: int | None = None) -> OutboundText:
        """What a person reads for an error's code, and when to come back where that is known."""
        try:
            return self._gate.own(
                "errors", code, locale, wait_seconds=wait_seconds, limit=self._maximum_question_characters
            )
        except KeyError:
            return self._gate.own("errors", UNKNOWN_ERROR_CODE, locale)

    async def _told(self, telling: "_Telling", pumped: "_Pumped") -> AsyncGenerator[ChannelPiece]:
        now = asyncio.get_running_loop().time
        due = now()
        try:
            while not telling.is_over:
                event = await pumped.next(due if telling.holds_text else None)
                if telling.holds_text and now() >= due and (more := await telling.more()):
                    due = now() + self._pace_seconds
                    yield more
                for piece in await telling.take(event) if event is not None else ():
                    yield piece
        except Blocked as blocked:
            yield self._withdrawn(blocked, telling.locale)
        except _Broken as broken:
            yield AnswerFailed(broken.code, self.failure_sentence(broken.code, telling.locale))

    def _own_notice(self, code: str, locale: Locale) -> Notice:
        return Notice(code, self._gate.own("outbound", code, locale), private=True)

    def _withdrawn(self, blocked: Blocked, locale: Locale) -> AnswerWithdrawn:
        return AnswerWithdrawn(
            blocked.code,
            shown=self._gate.own("outbound", "answer_withdrawn", locale),
            private=self._gate.own("outbound", blocked.code, locale),
        )


class _Broken(Exception):
    """The answer's events ended in an error, by its code."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _Telling:
    """One answer on its way out: what has come, what has been let out, which sources it names."""

    def __init__(self, gate: OutboundGate, turn: OwnedTurn, locale: Locale) -> None:
        self._gate = gate
        self._turn = turn
        self.locale = locale
        self._stream: OutboundStream = gate.stream("bank", locale)
        self._sources: list[dict[str, Any]] = []
        self.holds_text = False
        self.is_over = False

    async def take(self, event: ChatEvent) -> list[ChannelPiece]:
        """What an event makes to be shown at once. Raises `Blocked` and `_Broken`."""
        match event.event:
            case "token":
                self._stream.add(event.data["text"])
                self.holds_text = True
            case "sources":
                self._sources = event.data["sources"]
            case "notice" if event.data["code"] == "answer_restated":
                self._stream.restart()
                return [AnswerRestated()]
            case "notice":
                return [Notice(event.data["code"], await self._gate.markdown(event.data["text"], "bank", self.locale))]
            case "error":
                raise _Broken(event.data["code"])
            case "done":
                return await self._end(event.data)
        return []

    async def more(self) -> AnswerText | None:
        """What may be shown by now; None if nothing new. Raises `Blocked`."""
        self.holds_text = False
        more = await self._stream.release()
        return AnswerText(more, self._stream.whole) if more else None

    async def _end(self, done: dict[str, Any]) -> list[ChannelPiece]:
        self.is_over = True
        rest = await self._stream.finish()
        whole = self._stream.whole
        sources = await self._cited(whole, refused=done["refused"])
        ended = AnswerEnded(self._turn, done["state"], done["refused"], whole, sources)
        return [AnswerText(rest, whole), ended] if rest else [ended]

    async def _cited(self, whole: OutboundText, *, refused: bool) -> tuple[OutboundSource, ...]:
        named = {int(number) for number in CITATION.findall(whole.text)}
        cited = [source for source in self._sources if source["number"] in named] if not refused else []
        return tuple([await self._source(source) for source in cited[:MAXIMUM_SOURCES]])

    async def _source(self, source: dict[str, Any]) -> OutboundSource:
        """A source that must not leave keeps its number, so that the text's [n] stay true."""
        try:
            label = await self._gate.literal(source["label"][:MAXIMUM_LABEL_CHARACTERS], "bank", self.locale)
            quotation = await self._gate.literal(source["text"][:MAXIMUM_QUOTATION_CHARACTERS], "bank", self.locale)
            return OutboundSource(source["number"], label, quotation)
        except Blocked as blocked:
            _log.warning("source_withheld", reason=blocked.reason, passage_id=source["passage_id"])
            withheld = self._gate.own("outbound", "source_withheld", self.locale)
            return OutboundSource(source["number"], withheld, self._gate.own("outbound", blocked.code, self.locale))


class _Pumped:
    """Events read ahead, so that waiting for the next one and keeping the pace go together."""

    def __init__(self, events: AsyncGenerator[ChatEvent]) -> None:
        self._events = events
        self._come: deque[ChatEvent] = deque()
        self._arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _done: self._arrived.set())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})

    async def next(self, due: float | None) -> ChatEvent | None:
        """The next event; None when none has come by the loop's time `due`. Raises `_Broken` behind the last one."""
        while not self._come:
            if self._reading.done():
                self._reading.result()
                raise _Broken("stream_interrupted")
            self._arrived.clear()
            try:
                async with asyncio.timeout_at(due):
                    await self._arrived.wait()
            except TimeoutError:
                return None
        return self._come.popleft()

    async def _read(self) -> None:
        async for event in self._events:
            self._come.append(event)
            self._arrived.set()


def _asked(question: ChannelQuestion) -> Question:
    person = question.person
    conversation = ConversationKey(
        channel=question.channel,
        # Rights, memory and erasure are a person's: two people in one thread have a conversation each.
        thread=f"{person.id}:{question.thread}",
        user=person.id,
        audience=person.audience,
        locale=person.locale,
        groups=person.groups,
    )
    return Question(question.event_id, conversation, question.text, reply_to=question.reply_to)
