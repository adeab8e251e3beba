"""The kill switch as answers meet it: while it is off, nobody is given an answer from documents, only a hand-off.

What is read of the records is at most `SECONDS_KEPT` old, on every instance. Testing and evaluating tell the bare
story, so they go on; who may throw the switch is not known here.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from llm_service.answering.citations import CitedSource
from llm_service.answering.runner import Story
from llm_service.answering.story import Finished, Notice, Question, SourcesFound, StoryEvent, Token
from llm_service.answering.texts import refusal_text
from llm_service.errors import Unavailable
from llm_service.logs import get_logger
from llm_service.masked import MaskedText
from llm_service.metrics import Metrics
from llm_service.store import controls
from llm_service.store.transactions import Transactions

SECONDS_KEPT: Final = 2.0
"""For how long what was read of the switch is taken to hold."""
NOTICE: Final = "answers_off"
LOG = get_logger(__name__)


class AnswerSwitch:
    """Whether answers are given now, read of the records at most every `seconds_kept`."""

    def __init__(
        self,
        transactions: Transactions,
        metrics: Metrics,
        seconds_kept: float = SECONDS_KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transactions = transactions
        self._metrics = metrics
        self._seconds_kept = seconds_kept
        self._clock = clock
        self._is_on: bool | None = None
        self._read_at = 0.0
        self._reading = asyncio.Lock()

    async def is_on(self) -> bool:
        """Raises `Unavailable` while it has never been read; once it has, a lost database leaves it as it was."""
        if self._is_on is None or self._is_old():
            async with self._reading:
                if self._is_on is None or self._is_old():
                    await self._read()
        return self._is_on is not False

    async def ping(self) -> None:
        """Raises `Unavailable` (answers_off) while nobody is answered: the service is ready, and says so."""
        if not await self.is_on():
            raise Unavailable("answers_off", "answers from documents are switched off; see `haechi answers status`")

    def forget(self) -> None:
        """Somebody threw the switch in this process: the next question reads it anew."""
        self._read_at = self._clock() - self._seconds_kept

    async def keep_reading(self) -> None:
        """Read it for ever, so that the metric is true while nobody asks anything."""
        while True:
            await asyncio.sleep(self._seconds_kept)
            try:
                await self.is_on()
            except Unavailable as error:
                LOG.warning("the switch of the answers could not be read", code=error.code)

    async def _read(self) -> None:
        try:
            self._is_on = await self._transactions.read(controls.answers_are_on)
        except Unavailable:
            if self._is_on is None:
                raise
        self._read_at = self._clock()
        self._metrics.answers_off.set(0 if self._is_on else 1)

    def _is_old(self) -> bool:
        return self._clock() - self._read_at >= self._seconds_kept


class SwitchedStory:
    """Tells what `story` tells while the switch is on; an answer under way ends where the switch went off."""

    def __init__(self, story: Story, switch: AnswerSwitch, metrics: Metrics) -> None:
        self._story = story
        self._switch = switch
        self._metrics = metrics

    async def tell(self, question: Question) -> AsyncGenerator[StoryEvent, None]:
        if not await self._switch.is_on():
            self._metrics.withheld("before")
            for event in _withheld(question, [], ()):
                yield event
            return
        told: list[str] = []
        sources: tuple[CitedSource, ...] = ()
        async with aclosing(self._story.tell(question)) as events:  # type: ignore[type-var]
            async for event in events:
                if not isinstance(event, Finished) and not await self._switch.is_on():
                    self._metrics.withheld("during")
                    for last in _withheld(question, told, sources):
                        yield last
                    return
                match event:
                    case Token(text):
                        told.append(text)
                    case SourcesFound(found):
                        sources = found
                yield event


def _withheld(question: Question, told: Sequence[str], sources: tuple[CitedSource, ...]) -> Sequence[StoryEvent]:
    """The events that end an answer in the offer of a person."""
    words = ("\n\n" if told else "") + refusal_text("answers_off", (), question.locale)
    return (
        Notice(NOTICE),
        Token(MaskedText(words)),
        Finished(
            answer=MaskedText("".join(told) + words),
            refused=True,
            sources=sources,
            engine="",
            timings={},
            retrieval={"refusal_reason": "answers_off"},
            refusal_reason="answers_off",
        ),
    )
