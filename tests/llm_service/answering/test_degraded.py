"""What a person gets when the model or the search is gone: an answer that says so, never silence."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

import pytest

from llm_service.answering.story import AnswerStory, Finished, Notice, Question, StoryEvent, Token
from llm_service.answering.texts import cut_off_text, notice_text
from llm_service.engines.base import Engine, EngineEvent, EngineRequest, Measured, Queued
from llm_service.engines.extractive import ExtractiveEngine
from llm_service.errors import Busy, HaechiError, InvalidInput, NotFound, Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Entitlement, Retrieved
from tests.llm_service.passages import passage, words_between_blanks

AS_OF = date(2026, 11, 21)
DATED = "\n\n2026-11-21 현재 시행 기준"
LIMIT = passage("② 보험금의 한도는 1인당 1억원으로 한다.", number=32)
STATED = "보험금의 한도는 1인당 1억원이다. [1]\n\n"
COST = Measured("bank-v1", 900, 12, 0.25, 0.5, 1.0, retries=1)
Returned = TypeVar("Returned")


@dataclass
class Shelf:
    """A retriever that finds one passage, or fails."""

    failure: HaechiError | None = None

    def search(
        self, question: MaskedText, entitlement: Entitlement, k: int, history: Sequence[MaskedText]
    ) -> Retrieved:
        if self.failure is not None:
            raise self.failure
        return Retrieved((LIMIT,), 0.9)


@dataclass
class Model:
    """An engine that says its events and then fails, if it is told to."""

    events: tuple[EngineEvent, ...] = ()
    failure: HaechiError | None = None
    name: str = "vllm"
    asked: list[str | None] = field(default_factory=list)

    async def stream(self, request: EngineRequest) -> AsyncIterator[EngineEvent]:
        self.asked.append(request.adapter)
        for event in self.events:
            yield event
        if self.failure is not None:
            raise self.failure


@dataclass
class Rewriter(Model):
    """A model whose second attempts fail."""

    async def rewrite(self, request: EngineRequest, statement: str, failures: tuple[str, ...]) -> str:
        raise Unavailable("engine_timeout", "no second attempt")


async def at_once(function: Callable[[], Returned]) -> Returned:
    return function()


async def told(engine: Engine, shelf: Shelf | None = None, quotes: bool = True, adapter: str | None = None) -> list[
    StoryEvent
]:  # fmt: skip
    quotation = ExtractiveEngine(words_between_blanks) if quotes else None
    story = AnswerStory(shelf or Shelf(), engine, 5, 0.5, at_once, quotation=quotation)
    question = Question(MaskedText("보험금 한도 1인당"), (), "staff", AS_OF, "ko", adapter=adapter)
    return [event async for event in story.tell(question)]


def end_of(events: list[StoryEvent]) -> Finished:
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert "".join(event.text for event in events if isinstance(event, Token)) == finished.answer
    return finished


@pytest.mark.parametrize(
    "failure",
    [
        Unavailable("engine_unreachable", "gone"),
        Unavailable("engine_timeout", "slow"),
        Unavailable("engine_stream_cut", "cut"),
        Busy("engine_busy", "full"),
        NotFound("adapter_unknown", "nobody has it"),
        InvalidInput("engine_refused_request", "no"),
    ],
    ids=lambda failure: failure.code,
)
@pytest.mark.parametrize("said", [(), ("보험금의 한도는",)], ids=["before its first word", "before its first sentence"])
async def test_an_engine_that_is_gone_is_replaced_by_quotation_that_says_so(
    failure: HaechiError, said: tuple[str, ...]
) -> None:
    events = await told(Model(said, failure))
    finished = end_of(events)
    assert events[0] == Notice("engine_down")
    assert finished.answer == f"“② 보험금의 한도는 1인당 1억원으로 한다.” [1]{DATED}"
    assert (finished.engine, finished.degraded, finished.refused) == ("extractive", (failure.code,), False)
    assert finished.retrieval["degraded"] == [failure.code]


async def test_an_answer_that_breaks_off_keeps_what_passed_and_says_that_it_is_not_whole() -> None:
    events = await told(Model((STATED, "총리는 "), Unavailable("engine_stream_cut", "cut")))
    finished = end_of(events)
    assert Notice("answer_cut_off") in events
    assert finished.answer == f"보험금의 한도는 1인당 1억원이다. [1]\n\n{cut_off_text('ko')}{DATED}"
    assert (finished.engine, finished.degraded) == ("vllm", ("engine_stream_cut",))


async def test_without_a_stand_in_the_failure_is_raised() -> None:
    with pytest.raises(Unavailable, match="engine_unreachable"):
        await told(Model((), Unavailable("engine_unreachable", "gone")), quotes=False)


async def test_a_second_attempt_that_cannot_be_had_leaves_the_statement_out() -> None:
    wrong = "보험금의 한도는 1인당 9억원이다. [1]\n\n"
    finished = end_of(await told(Rewriter((STATED, wrong))))
    assert "9억" not in finished.answer
    assert finished.answer.startswith("보험금의 한도는 1인당 1억원이다. [1]")
    assert finished.degraded == ("engine_timeout",)


async def test_a_search_that_cannot_be_had_is_a_refusal_that_offers_a_person() -> None:
    model = Model((STATED,))
    finished = end_of(await told(model, Shelf(Unavailable("index_unreachable", "gone"))))
    assert (finished.refused, finished.refusal_reason) == (True, "search_down")
    assert "상담원 연결" in finished.answer
    assert "찾지 못했습니다" not in finished.answer
    assert finished.degraded == ("index_unreachable",)
    assert model.asked == []


async def test_whoever_waits_is_told_the_position_before_the_first_word() -> None:
    events = await told(Model((Queued(2), Queued(1), STATED)))
    assert events[:2] == [Notice("queued", 2), Notice("queued", 1)]
    assert "2번째" in notice_text("queued", "ko", 2)
    assert "number 2" in notice_text("queued", "en", 2)


async def test_what_a_generation_cost_is_kept_with_the_answer() -> None:
    finished = end_of(await told(Model((STATED, COST)), adapter="bank-v1"))
    assert finished.measured == (COST,)
    assert finished.retrieval["generations"] == [
        {
            "adapter": "bank-v1",
            "prompt_tokens": 900,
            "answer_tokens": 12,
            "queue_seconds": 0.25,
            "first_token_seconds": 0.5,
            "total_seconds": 1.0,
            "retries": 1,
        }
    ]
    assert (finished.timings["queue"], finished.timings["engine_first_token"]) == (250, 500)
    assert COST.tokens_per_second == 22


async def test_the_adapter_of_the_question_is_the_one_that_is_asked() -> None:
    model = Model((STATED,))
    await told(model, adapter="bank-v1")
    assert model.asked == ["bank-v1"]
