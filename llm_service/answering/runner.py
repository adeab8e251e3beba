"""Runs answers in the background: one generation a turn, however often it is started, read, resumed or stopped.

The claim in the records decides who generates, the answer log decides what readers see; what is answered is the
story's affair.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from functools import partial
from typing import Any, Final, Protocol

from sqlalchemy.orm import Session

from llm_service.answering.as_of import asks_before_revision, day_asked_about
from llm_service.answering.passages_of_day import DayAsked
from llm_service.answering.story import Finished, Notice, Question, SourcesFound, StoryEvent, Token
from llm_service.answering.stream import AnswerLog
from llm_service.answering.texts import notice_text
from llm_service.answering.views import done_data
from llm_service.client import EventName, Locale, Route, Source, StreamEvent
from llm_service.errors import Conflict, HaechiError, Unavailable
from llm_service.logs import get_logger
from llm_service.masked import MaskedText
from llm_service.metrics import Metrics
from llm_service.store import conversations
from llm_service.store.adapter_turns import BASE
from llm_service.store.conversations import Outcome, RoutedBy, SourceRow
from llm_service.store.models import Turn, now
from llm_service.store.transactions import Transactions
from llm_service.texts import sentence

HISTORY_TURNS: Final = 3
ABANDONED_MARGIN_SECONDS: Final = 15.0
AdapterFor = Callable[[str], Awaitable[str | None]]
"""The adapter that a conversation is answered with; None is the base model."""
LOG = get_logger(__name__)


class Story(Protocol):
    """What is told about a question; `llm_service.answering.story.AnswerStory` is the one of the product."""

    def tell(self, question: Question) -> AsyncIterator[StoryEvent]: ...


@dataclass(frozen=True)
class _Claim:
    question: Question
    locale: Locale
    intent: str


@dataclass(frozen=True)
class _Running:
    task: "asyncio.Task[None]"
    conversation_id: str
    locale: Locale


class AnswerRunner:
    """Starts, stops and cleans up after answers. One per process; several processes may share records and log.

    `today` says which day's law and terms a question without a date is asked for; no model writes
    without `adapter_for`.
    """

    def __init__(
        self,
        transactions: Transactions,
        story: Story,
        log: AnswerLog,
        metrics: Metrics,
        today: Callable[[], date],
        timeout_seconds: float,
        adapter_for: AdapterFor | None = None,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self._transactions = transactions
        self._story = story
        self._log = log
        self._metrics = metrics
        self._today = today
        self._timeout_seconds = timeout_seconds
        self._adapter_for = adapter_for
        self._admit = admit
        self._running: dict[str, _Running] = {}

    async def start(self, turn_id: str, conversation_id: str, route: Route, as_of: date | None) -> None:
        """Begin to answer a received turn; a turn that is being answered, or was, stays as it is.

        `as_of` is the day to answer for; without it the question may name one, and else it is today.

        Raises `NotFound` (turn_not_found), `Conflict` (turn_already_replied) and what `admit` raises, `Busy` say.
        """
        self._admit()
        claim = await self._transactions.run(
            partial(
                _claim,
                turn_id=turn_id,
                conversation_id=conversation_id,
                route=route,
                as_of=as_of,
                today=self._today(),
                adapter=await self._adapter(conversation_id),
            )
        )
        if claim is None:
            return
        self._metrics.routed(route.by, route.reason)
        task = asyncio.create_task(self._answer(turn_id, claim), name=f"answer-{turn_id}")
        self._running[turn_id] = _Running(task, conversation_id, claim.locale)
        task.add_done_callback(partial(self._ended, turn_id))

    async def stop(self, turn_id: str, conversation_id: str) -> None:
        """End a running answer with what has been said so far; a finished one stays as it is.

        The process that generates may be another one: it gives up at its next event, because the log has ended.
        """
        # Whose turn it is comes first: what callers write in an id must not reach the log's server.
        await self._transactions.read(
            partial(conversations.owned_turn, turn_id=turn_id, conversation_id=conversation_id)
        )
        said = outcome_so_far(await self._log.read(turn_id, after=0, wait_seconds=0))
        done = await self._transactions.run(partial(_stop, turn_id=turn_id, conversation_id=conversation_id, said=said))
        if done is None:
            return
        await self._log.append(turn_id, "done", done)
        self._metrics.turn("stopped", None)
        if turn_id in self._running:
            self._running[turn_id].task.cancel()

    def locale_of(self, turn_id: str, conversation_id: str) -> Locale | None:
        """The language of an answer that this process is writing for this conversation; None for any other turn."""
        running = self._running.get(turn_id)
        return running.locale if running is not None and running.conversation_id == conversation_id else None

    async def fail_abandoned(self, everything: bool = False) -> int:
        """End the turns whose generating process is gone, and return how many there were.

        `everything` is for the start of a process that alone owns the records: what is unfinished then is abandoned.
        """
        patience = 0.0 if everything else self._timeout_seconds + ABANDONED_MARGIN_SECONDS
        before = now() - timedelta(seconds=patience)
        turn_ids = await self._transactions.read(partial(conversations.abandoned_turns, claimed_before=before))
        abandoned = [turn_id for turn_id in turn_ids if turn_id not in self._running]
        for turn_id in abandoned:
            await self._fail(turn_id, "answer_interrupted")
        return len(abandoned)

    async def keep_failing_abandoned(self, every_seconds: float) -> None:
        """Look for abandoned turns for ever; while the records or the log cannot be reached, later."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.fail_abandoned()
            except Unavailable as error:
                LOG.warning("abandoned answers could not be looked for", code=error.code)

    async def close(self, grace_seconds: float) -> None:
        """Let running answers finish for a while, then end them as interrupted."""
        if self._running:
            await asyncio.wait([running.task for running in self._running.values()], timeout=grace_seconds)
        interrupted = {turn_id: running.task for turn_id, running in self._running.items()}
        for task in interrupted.values():
            task.cancel()
        await asyncio.gather(*interrupted.values(), return_exceptions=True)
        for turn_id in interrupted:
            await self._fail(turn_id, "answer_interrupted")

    async def _adapter(self, conversation_id: str) -> str | None:
        """What the turn's row says: a version, `BASE`, or None where no model writes."""
        return (await self._adapter_for(conversation_id) or BASE) if self._adapter_for is not None else None

    async def _answer(self, turn_id: str, claim: _Claim) -> None:
        try:
            with self._metrics.running_answers.track_inprogress():
                async with asyncio.timeout(self._timeout_seconds):
                    await self._tell(turn_id, claim)
        except TimeoutError:
            await self._fail(turn_id, "answer_timeout")
        except HaechiError as error:
            LOG.warning("answer failed", turn_id=turn_id, exc_info=error)
            await self._fail(turn_id, error.code)
        except Exception:
            # A fault of ours: readers must not wait for ever, and the fault must be seen.
            await self._fail(turn_id, "answer_failed")
            raise

    async def _tell(self, turn_id: str, claim: _Claim) -> None:
        async with aclosing(self._story.tell(claim.question)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, Finished):
                    await self._finish(turn_id, claim, event)
                    return
                if await self._log.append(turn_id, *_wire(event, claim.locale)) is None:
                    return
        raise Unavailable("answer_failed", "the engine ended without finishing its answer")

    async def _finish(self, turn_id: str, claim: _Claim, finished: Finished) -> None:
        outcome = Outcome(
            state="refused" if finished.refused else "answered",
            answer=finished.answer,
            engine=finished.engine,
            sources=[_row(source) for source in finished.sources],
            timings=finished.timings,
            retrieval=finished.retrieval,
            as_of=finished.as_of,
        )
        conclude = partial(_conclude, turn_id=turn_id, outcome=outcome)
        done = await self._transactions.run(conclude)
        if done is None:
            return
        await self._log.append(turn_id, "done", done)
        self._metrics.turn(outcome.state, claim.intent)
        self._metrics.stages(finished.timings)
        self._metrics.searched_without(finished.searched_without)
        self._metrics.degraded(finished.degraded)
        for measured in finished.measured:
            self._metrics.generated(measured)
        if finished.refused:
            self._metrics.refused(claim.intent)
        LOG.info("answered", turn_id=turn_id, state=outcome.state, sources=len(outcome.sources))

    async def _fail(self, turn_id: str, code: str) -> None:
        locale = await self._transactions.run(partial(_record_failure, turn_id=turn_id, code=code))
        if locale is None:
            return
        await self._log.append(turn_id, "error", {"code": code, "message": sentence(code, locale)})
        self._metrics.turn("failed", None)
        LOG.warning("answer ended as failed", turn_id=turn_id, code=code)

    def _ended(self, turn_id: str, task: "asyncio.Task[None]") -> None:
        self._running.pop(turn_id, None)
        if not task.cancelled() and (fault := task.exception()) is not None:
            LOG.error("answer ended by a fault", turn_id=turn_id, exc_info=fault)


def outcome_so_far(events: list[StreamEvent]) -> Outcome:
    """What a stopped answer leaves behind: the text and sources its readers have seen."""
    sources: list[SourceRow] = []
    pieces: list[str] = []
    for event in events:
        if event.event == "sources":
            sources = [_row(Source(**source)) for source in event.data["sources"]]
        elif event.event == "token":
            pieces.append(event.data["text"])
    return Outcome(state="stopped", answer=MaskedText("".join(pieces)) if pieces else None, sources=sources)


def _claim(
    session: Session,
    turn_id: str,
    conversation_id: str,
    route: Route,
    as_of: date | None,
    today: date,
    adapter: str | None = None,
) -> _Claim | None:
    turn = conversations.asked(session, turn_id, conversation_id)
    if turn.state == "replied":
        raise Conflict("turn_already_replied", "the turn has a deterministic reply; it is not answered again")
    routed = RoutedBy(route.intent, route.confidence, route.by, route.reason)
    day = as_of or day_asked_about(turn.question, today) or today
    earlier = conversations.turns_before(session, turn, HISTORY_TURNS)
    timings = {**turn.timings, "route": route.milliseconds}
    if not conversations.claim_for_answer(session, turn_id, routed, day, adapter=adapter, timings=timings):
        return None
    question = Question(
        text=turn.question,
        history=tuple(before.question for before in earlier),
        audience=turn.audience,  # type: ignore[arg-type]
        as_of=day,
        locale=turn.locale,  # type: ignore[arg-type]
        groups=frozenset(turn.groups),
        day=DayAsked(today, asks_before_revision(turn.question), is_fixed=as_of is not None),
        adapter=None if adapter == BASE else adapter,
    )
    return _Claim(question, question.locale, route.intent)


def _conclude(session: Session, turn_id: str, outcome: Outcome) -> dict[str, Any] | None:
    ending = conversations.finish_answer(session, turn_id, outcome)
    return done_data(ending) if ending is not None else None


def _stop(session: Session, turn_id: str, conversation_id: str, said: Outcome) -> dict[str, Any] | None:
    turn = conversations.owned_turn(session, turn_id, conversation_id)
    if not conversations.stop_before_start(session, turn_id):
        return _conclude(session, turn_id, said)
    return done_data(turn)


def _record_failure(session: Session, turn_id: str, code: str) -> Locale | None:
    if not conversations.finish_answer(session, turn_id, Outcome(state="failed", error_code=code)):
        return None
    return session.get_one(Turn, turn_id).conversation.locale  # type: ignore[return-value]


def _wire(event: SourcesFound | Notice | Token, locale: Locale) -> tuple[EventName, Mapping[str, Any]]:
    match event:
        case SourcesFound(sources):
            return "sources", {"sources": [asdict(source) for source in sources]}
        case Notice(code, position):
            told = {} if position is None else {"position": position}
            return "notice", {"code": code, "text": notice_text(code, locale, position), **told}
        case Token(text):
            return "token", {"text": text}


def _row(source: Source) -> SourceRow:
    return SourceRow(
        source.number, source.passage_id, source.label, source.document, MaskedText(source.text), source.score
    )
