"""One generation a turn: started twice, read by many, stopped, timed out, interrupted, left by a dead process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, select, update
from sqlalchemy.orm import Session

from llm_service.answering.passages_of_day import DayAsked
from llm_service.answering.reader import AnswerReader
from llm_service.answering.runner import AnswerRunner
from llm_service.answering.story import Finished, Notice, Question, SourcesFound, StoryEvent, Token
from llm_service.answering.stream import AnswerLog, MemoryAnswerLog, RedisAnswerLog
from llm_service.client import Route, Source, StreamEvent
from llm_service.errors import Conflict, NotFound, Unavailable
from llm_service.masked import MaskedText
from llm_service.metrics import Metrics
from llm_service.store import conversations
from llm_service.store.conversations import RoutedBy
from llm_service.store.models import Turn, TurnSource, now
from llm_service.store.transactions import Transactions

TODAY = date(2026, 11, 21)
ROUTE = Route("ask_knowledge", 0.98, "rasa", milliseconds=4.0)
SOURCE = Source(
    number=1,
    passage_id=None,
    label="「예금자보호법」 제32조",
    document="laws/예금자보호법.md",
    title="예금자보호법",
    article="제32조",
    page=None,
    heading_path=["제4장"],
    text="보험금은 1억원으로 한다.",
    score=1.5,
    in_force_from="2025-09-01",
)
WHOLE: tuple[StoryEvent, ...] = (
    Notice("extractive"),
    SourcesFound((SOURCE,)),
    Token(MaskedText("1억원입니다")),
    Token(MaskedText(" [1]")),
    Finished(
        answer=MaskedText("1억원입니다 [1]"),
        refused=False,
        sources=(SOURCE,),
        engine="told",
        timings={"retrieve": 2.0, "total": 5.0},
        retrieval={"confidence": 0.9},
    ),
)


@dataclass
class ToldStory:
    """Tells the given events; waits at `gate` before the event of that number, and counts how often it was asked."""

    events: Sequence[StoryEvent] = WHOLE
    gate_before: int | None = None
    failure: BaseException | None = None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[Question] = field(default_factory=list)
    closed: int = 0

    async def tell(self, question: Question) -> AsyncIterator[StoryEvent]:
        self.asked.append(question)
        try:
            for number, event in enumerate(self.events):
                if number == self.gate_before:
                    self.reached.set()
                    await self.gate.wait()
                yield event
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed += 1


@dataclass
class Stage:
    """Records, log, and the turn of one conversation to play on."""

    transactions: Transactions
    log: AnswerLog
    turn_id: str
    conversation_id: str
    runners: list[AnswerRunner] = field(default_factory=list)

    def runner(self, story: ToldStory, timeout_seconds: float = 20.0) -> AnswerRunner:
        metrics = Metrics(CollectorRegistry())
        made = AnswerRunner(self.transactions, story, self.log, metrics, lambda: TODAY, timeout_seconds)
        self.runners.append(made)
        return made

    async def start(self, runner: AnswerRunner) -> None:
        await runner.start(self.turn_id, self.conversation_id, ROUTE, None)

    async def events(self, after: int = 0) -> list[StreamEvent]:
        reader = AnswerReader(self.transactions, self.log, heartbeat_seconds=0.05, longest_seconds=20)
        followed = await reader.open(self.turn_id, self.conversation_id, after)
        return [event async for event in followed if event is not None]

    async def turn(self) -> Turn:
        def load(session: Session) -> Turn:
            return conversations.owned_turn(session, self.turn_id, self.conversation_id)

        return await self.transactions.read(load)


@pytest.fixture(params=["memory", "redis"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[AnswerLog]:
    made: AnswerLog
    if request.param == "memory":
        made = MemoryAnswerLog(60)
    else:
        made = RedisAnswerLog(request.getfixturevalue("redis_url"), 60, 20)
    yield made
    await made.close()


@pytest.fixture
async def stage(database: Engine, log: AnswerLog) -> AsyncIterator[Stage]:
    transactions = Transactions(database)
    turn_id, conversation_id = transactions.run_blocking(_received_turn)
    made = Stage(transactions, log, turn_id, conversation_id)
    yield made
    for runner in made.runners:
        await runner.close(grace_seconds=0)


async def test_an_answer_is_told_stored_and_ended(stage: Stage) -> None:
    await stage.start(stage.runner(ToldStory()))
    told = await stage.events()
    assert [(event.id, event.event) for event in told] == [
        (1, "notice"),
        (2, "sources"),
        (3, "token"),
        (4, "token"),
        (5, "done"),
    ]
    assert told[0].data["code"] == "extractive"
    assert told[0].data["text"]
    assert Source(**told[1].data["sources"][0]) == SOURCE
    assert told[4].data == {
        "turn_id": stage.turn_id,
        "state": "answered",
        "refused": False,
        "engine": "told",
        "timings": {"mask": 1.0, "route": 4.0, "retrieve": 2.0, "total": 5.0},
    }
    kept = await stage.turn()
    assert (kept.state, kept.answer, kept.engine, kept.as_of) == ("answered", "1억원입니다 [1]", "told", TODAY)
    assert (kept.intent, kept.routed_by, kept.retrieval) == ("ask_knowledge", "rasa", {"confidence": 0.9})
    assert [row.label for row in await _source_rows(stage)] == [SOURCE.label]


async def test_a_turn_started_many_times_at_once_is_generated_once(stage: Stage) -> None:
    story = ToldStory()
    here, elsewhere = stage.runner(story), stage.runner(story)
    await asyncio.gather(*(stage.start(runner) for runner in (here, elsewhere) * 5))
    assert (await stage.events())[-1].event == "done"
    await stage.start(here)
    assert len(story.asked) == 1


async def test_readers_who_come_late_or_come_back_generate_nothing(stage: Stage) -> None:
    story = ToldStory(gate_before=3)
    await stage.start(stage.runner(story))
    readers = [asyncio.create_task(stage.events()) for _ in range(5)]
    await story.reached.wait()
    returning = asyncio.create_task(stage.events(after=2))
    story.gate.set()
    whole = await readers[0]
    assert [await reader for reader in readers] == [whole] * 5
    assert await returning == whole[2:]
    assert await stage.events() == whole
    assert await stage.events(after=5) == []
    assert len(story.asked) == 1


async def test_a_reader_who_leaves_stops_nothing(stage: Stage) -> None:
    story = ToldStory(gate_before=2)
    await stage.start(stage.runner(story))
    leaving = asyncio.create_task(stage.events())
    await story.reached.wait()
    leaving.cancel()
    story.gate.set()
    assert (await stage.events())[-1].data["state"] == "answered"


async def test_a_refusal_is_told_as_refused(stage: Stage) -> None:
    refusal = Finished(MaskedText("문서에서 찾지 못했습니다."), True, (), "told", {}, {})
    await stage.start(stage.runner(ToldStory([Token(refusal.answer), refusal])))
    assert (await stage.events())[-1].data["refused"] is True
    assert (await stage.turn()).state == "refused"


async def test_a_stopped_answer_keeps_what_was_said_and_is_not_generated_on(stage: Stage) -> None:
    story = ToldStory(gate_before=3)
    runner = stage.runner(story)
    await stage.start(runner)
    await story.reached.wait()
    await runner.stop(stage.turn_id, stage.conversation_id)
    told = await stage.events()
    assert (told[-1].event, told[-1].data["state"]) == ("done", "stopped")
    kept = await stage.turn()
    assert (kept.state, kept.answer) == ("stopped", "1억원입니다")
    assert [row.label for row in await _source_rows(stage)] == [SOURCE.label]
    await runner.close(grace_seconds=0)
    assert story.closed == 1
    assert (await stage.turn()).state == "stopped"


async def test_an_answer_is_stopped_from_another_process(stage: Stage) -> None:
    story = ToldStory(gate_before=3)
    generating, asked_to_stop = stage.runner(story), stage.runner(ToldStory())
    await stage.start(generating)
    await story.reached.wait()
    await asked_to_stop.stop(stage.turn_id, stage.conversation_id)
    story.gate.set()
    await generating.close(grace_seconds=20)
    assert [event.event for event in await stage.events()] == ["notice", "sources", "token", "done"]
    assert (await stage.turn()).state == "stopped"


async def test_a_turn_stopped_before_its_answer_began_is_never_answered(stage: Stage) -> None:
    story = ToldStory()
    runner = stage.runner(story)
    await runner.stop(stage.turn_id, stage.conversation_id)
    await stage.start(runner)
    assert [(event.event, event.data["state"]) for event in await stage.events()] == [("done", "stopped")]
    assert story.asked == []


async def test_stopping_a_finished_answer_changes_nothing(stage: Stage) -> None:
    runner = stage.runner(ToldStory())
    await stage.start(runner)
    told = await stage.events()
    await runner.stop(stage.turn_id, stage.conversation_id)
    assert await stage.events() == told
    assert (await stage.turn()).state == "answered"


async def test_an_answer_that_takes_too_long_ends_as_failed(stage: Stage) -> None:
    story = ToldStory(gate_before=2)
    await stage.start(stage.runner(story, timeout_seconds=0.05))
    assert [event.event for event in await stage.events()] == ["notice", "sources", "error"]
    kept = await stage.turn()
    assert (kept.state, kept.error_code) == ("failed", "answer_timeout")
    assert story.closed == 1


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Unavailable("database_unavailable", "down"), "database_unavailable"),
        (RuntimeError("a fault"), "answer_failed"),
        (None, "answer_failed"),
    ],
    ids=["a part is down", "a fault of ours", "an end without a finish"],
)
async def test_an_answer_that_fails_tells_its_readers_a_code(
    stage: Stage, failure: BaseException | None, code: str
) -> None:
    await stage.start(stage.runner(ToldStory(WHOLE[:3], failure=failure)))
    last = (await stage.events())[-1]
    assert (last.event, last.data["code"]) == ("error", code)
    assert last.data["message"]
    kept = await stage.turn()
    assert (kept.state, kept.error_code) == ("failed", code)


async def test_a_process_that_closes_lets_answers_finish(stage: Stage) -> None:
    story = ToldStory(gate_before=3)
    runner = stage.runner(story)
    await stage.start(runner)
    await story.reached.wait()
    closing = asyncio.create_task(runner.close(grace_seconds=20))
    story.gate.set()
    await closing
    assert (await stage.turn()).state == "answered"


async def test_what_does_not_finish_before_the_process_closes_is_interrupted(stage: Stage) -> None:
    story = ToldStory(gate_before=3)
    runner = stage.runner(story)
    await stage.start(runner)
    await story.reached.wait()
    await runner.close(grace_seconds=0)
    assert (await stage.events())[-1].data["code"] == "answer_interrupted"
    assert (await stage.turn()).error_code == "answer_interrupted"


async def test_answers_of_a_dead_process_are_ended_and_their_readers_told(stage: Stage) -> None:
    await _claim_and_die(stage)
    reading = asyncio.create_task(stage.events())
    survivor = stage.runner(ToldStory())
    assert await survivor.fail_abandoned(everything=True) == 1
    assert [(event.event, event.data["code"]) for event in await reading] == [("error", "answer_interrupted")]
    assert (await stage.turn()).state == "failed"
    assert await survivor.fail_abandoned(everything=True) == 0


async def test_answers_of_another_living_process_are_left_alone(stage: Stage) -> None:
    await _claim_and_die(stage)
    assert await stage.runner(ToldStory()).fail_abandoned() == 0
    assert (await stage.turn()).state == "answering"


async def test_an_answer_claimed_too_long_ago_is_given_up(stage: Stage) -> None:
    await _claim_and_die(stage, ago=timedelta(seconds=60))
    assert await stage.runner(ToldStory(), timeout_seconds=20).fail_abandoned() == 1
    assert (await stage.turn()).error_code == "answer_interrupted"


async def test_one_own_running_answer_is_not_abandoned(stage: Stage) -> None:
    story = ToldStory(gate_before=1)
    runner = stage.runner(story)
    await stage.start(runner)
    await story.reached.wait()
    assert await runner.fail_abandoned(everything=True) == 0


async def test_when_the_log_is_gone_the_answer_is_told_again_from_the_records(stage: Stage) -> None:
    await stage.start(stage.runner(ToldStory()))
    told = await stage.events()
    stage.log = MemoryAnswerLog(60)
    again = await stage.events()
    assert [event.event for event in again] == ["sources", "token", "done"]
    assert [event.id for event in again] == [1, 2, 3]
    assert again[1].data == {"text": "1억원입니다 [1]"}
    assert again[2].data == told[-1].data
    shown = Source(**again[0].data["sources"][0])
    assert (shown.number, shown.label, shown.text) == (1, SOURCE.label, SOURCE.text)


async def test_a_reader_who_saw_a_part_is_told_that_the_answer_begins_again(stage: Stage) -> None:
    await stage.start(stage.runner(ToldStory()))
    await stage.events()
    stage.log = MemoryAnswerLog(60)
    again = await stage.events(after=3)
    assert [(event.id, event.event) for event in again] == [(4, "notice"), (5, "sources"), (6, "token"), (7, "done")]
    assert again[0].data["code"] == "answer_restated"


async def test_earlier_questions_come_with_the_question_and_stopped_ones_do_not(stage: Stage) -> None:
    story = ToldStory()
    runner = stage.runner(story)
    await stage.start(runner)
    await stage.events()
    stopped = await _next_turn(stage, "그만")
    await runner.stop(stopped, stage.conversation_id)
    stage.turn_id = await _next_turn(stage, "그럼 법인은요?")
    await stage.start(runner)
    await stage.events()
    assert story.asked[-1] == Question(
        text=MaskedText("그럼 법인은요?"),
        history=(MaskedText("예금자 보호 한도는?"),),
        audience="customer",
        as_of=TODAY,
        locale="ko",
        day=DayAsked(TODAY),
    )


@pytest.mark.parametrize(
    ("asked", "as_of", "answered_for"),
    [
        ("2020년에는 예금자 보호 한도가 얼마였나요?", None, date(2020, 12, 31)),
        ("2020년에는 예금자 보호 한도가 얼마였나요?", date(2024, 5, 2), date(2024, 5, 2)),
        ("예금자 보호 한도는?", None, TODAY),
    ],
)
async def test_the_day_of_the_caller_comes_before_the_day_of_the_question(
    stage: Stage, asked: str, as_of: date | None, answered_for: date
) -> None:
    story = ToldStory()
    stage.turn_id = await _next_turn(stage, asked)
    await stage.runner(story).start(stage.turn_id, stage.conversation_id, ROUTE, as_of)
    await stage.events()
    assert story.asked[-1].as_of == answered_for
    assert (await stage.turn()).as_of == answered_for


@pytest.mark.parametrize("call", ["start", "stop"])
async def test_a_turn_of_another_conversation_is_not_found(stage: Stage, call: str) -> None:
    runner = stage.runner(ToldStory())
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "start": lambda: runner.start(stage.turn_id, "0" * 32, ROUTE, None),
        "stop": lambda: runner.stop(stage.turn_id, "0" * 32),
    }
    with pytest.raises(NotFound, match="turn_not_found"):
        await calls[call]()


async def test_a_replied_turn_is_a_conflict(stage: Stage) -> None:
    await stage.transactions.run(
        lambda session: conversations.store_reply(
            session, stage.turn_id, RoutedBy("greet", 1.0, "rasa"), MaskedText("안녕하세요")
        )
    )
    with pytest.raises(Conflict, match="turn_already_replied"):
        await stage.start(stage.runner(ToldStory()))


def _received_turn(session: Session) -> tuple[str, str]:
    conversation = conversations.find_or_create_conversation(session, "web", "t" * 64, "u" * 64, "customer", "ko")
    turn = conversations.add_turn(
        session, conversation, "event-1", MaskedText("예금자 보호 한도는?"), {}, {"mask": 1.0}
    )
    return turn.id, conversation.id


async def _next_turn(stage: Stage, question: str) -> str:
    def add(session: Session) -> str:
        conversation = conversations.find_or_create_conversation(session, "web", "t" * 64, "u" * 64, "customer", "ko")
        return conversations.add_turn(session, conversation, f"event-{question}", MaskedText(question), {}, {}).id

    return await stage.transactions.run(add)


async def _claim_and_die(stage: Stage, ago: timedelta = timedelta(0)) -> None:
    def claim(session: Session) -> None:
        conversations.claim_for_answer(session, stage.turn_id, RoutedBy("ask_knowledge", 1.0, "rasa"), TODAY)
        session.execute(update(Turn).values(answering_since=now() - ago))

    await stage.transactions.run(claim)


async def _source_rows(stage: Stage) -> Sequence[TurnSource]:
    return await stage.transactions.read(lambda session: session.scalars(select(TurnSource)).all())
