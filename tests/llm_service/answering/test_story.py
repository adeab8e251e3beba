"""What a person gets to see of an answer, in which order, and when nothing is answered."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, TypeVar

from llm_service.answering.story import (
    AnswerStory,
    Finished,
    Notice,
    Question,
    SourcesFound,
    StoryEvent,
    Token,
)
from llm_service.engines.base import Engine, EngineRequest
from llm_service.engines.extractive import ExtractiveEngine
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate, Entitlement, Retrieved

AS_OF = date(2026, 11, 21)
Returned = TypeVar("Returned")


class Word(NamedTuple):
    form: str
    weight: float = 1.0
    meant: tuple[tuple[str, ...], ...] = ()


def words_between_blanks(question: MaskedText) -> list[Word]:
    return [Word(word.strip("?")) for word in question.split()]


def passage(number: int, text: str, title: str = "예금자보호법") -> Candidate:
    return Candidate(
        passage_id=number,
        document_path=f"{title}/법률.md",
        document_title=title,
        label=f"「{title}」 제{number}조 (시행 2026-01-02)",
        article=f"제{number}조",
        heading_path=(),
        page=None,
        text=MaskedText(text),
        score=1.0,
        in_force_from=date(2026, 1, 2),
        in_force_to=date(9999, 12, 31),
    )


LIMIT = passage(32, "① 공사는 보험금을 지급한다.\n② 보험금의 한도는 1인당 1억원으로 한다.")
OTHER = passage(40, "① 총리는 관보에 공고한다.", title="공고규정")


@dataclass
class Shelf:
    """A retriever whose find is fixed; it remembers what it was asked."""

    found: Retrieved
    asked: list[tuple[MaskedText, Entitlement, int, tuple[MaskedText, ...]]] = field(default_factory=list)

    def search(
        self, question: MaskedText, entitlement: Entitlement, k: int, history: Sequence[MaskedText]
    ) -> Retrieved:
        self.asked.append((question, entitlement, k, tuple(history)))
        return self.found


@dataclass
class Dictation:
    """An engine that says what it is told, piece by piece; a rewriting one follows a script of second attempts."""

    pieces: tuple[str, ...]
    name: str = "dictation"
    closed: bool = False

    async def stream(self, request: EngineRequest) -> AsyncIterator[str]:
        try:
            for piece in self.pieces:
                yield piece
        finally:
            self.closed = True


@dataclass
class SecondTry(Dictation):
    second: str = ""
    failures: list[tuple[str, ...]] = field(default_factory=list)

    async def rewrite(self, request: EngineRequest, statement: str, failures: tuple[str, ...]) -> str:
        self.failures.append(failures)
        return self.second


async def at_once(function: Callable[[], Returned]) -> Returned:
    return function()


def asked(text: str = "보험금 한도 1인당") -> Question:
    return Question(MaskedText(text), (MaskedText("이전 질문"),), "staff", AS_OF, "ko")


def story(
    *passages: Candidate, engine: Engine | None = None, confidence: float = 0.9, quotation: Engine | None = None
) -> tuple[AnswerStory, Shelf]:
    shelf = Shelf(Retrieved(passages, confidence, {"idf_share": 0.7}, {"index": 1.0}))
    return (
        AnswerStory(shelf, engine or ExtractiveEngine(words_between_blanks), 5, 0.5, at_once, quotation=quotation),
        shelf,
    )


async def told(answer_story: AnswerStory, question: Question | None = None) -> list[StoryEvent]:
    return [event async for event in answer_story.tell(question or asked())]


def end_of(events: list[StoryEvent]) -> Finished:
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


async def test_an_answer_is_quoted_cited_and_dated() -> None:
    answer_story, shelf = story(OTHER, LIMIT)
    events = await told(answer_story)
    finished = end_of(events)
    assert finished.answer == "“② 보험금의 한도는 1인당 1억원으로 한다.” [1]\n\n2026-11-21 현재 시행 기준"
    assert [source.label for source in finished.sources] == ["「예금자보호법」 제32조 (시행 2026-01-02)"]
    assert finished.sources[0].number == 1
    assert finished.sources[0].in_force_from == "2026-01-02"
    assert not finished.refused
    assert shelf.asked == [(asked().text, Entitlement("staff", AS_OF), 5, asked().history)]


async def test_the_notice_and_the_sources_come_before_the_words_and_the_end_repeats_them() -> None:
    events = await told(story(LIMIT)[0])
    assert [type(event) for event in events] == [Notice, SourcesFound, Token, Token, Finished]
    assert events[0] == Notice("extractive")
    finished = end_of(events)
    assert "".join(event.text for event in events if isinstance(event, Token)) == finished.answer
    assert isinstance(events[1], SourcesFound)
    assert events[1].sources == finished.sources
    assert {"retrieve", "answer", "verify", "first_token", "total"} == set(finished.timings)


async def test_low_confidence_is_refused_with_reason_nearest_documents_and_a_hand_off() -> None:
    events = await told(story(LIMIT, OTHER, confidence=0.49)[0])
    finished = end_of(events)
    assert finished.refused
    assert finished.refusal_reason == "low_confidence"
    assert finished.answer.startswith("문서에서 찾지 못했습니다.")
    assert "- 예금자보호법\n- 공고규정" in finished.answer
    assert "상담원 연결" in finished.answer
    assert finished.sources == ()
    assert [type(event) for event in events] == [Token, Finished]
    assert finished.retrieval["confidence"] == 0.49


async def test_without_any_passage_the_question_is_refused() -> None:
    finished = end_of(await told(story()[0]))
    assert (finished.refused, finished.refusal_reason) == (True, "no_passages")


async def test_an_engine_that_declines_is_believed() -> None:
    finished = end_of(await told(story(LIMIT)[0], asked("지점 영업시간 주차")))
    assert (finished.refused, finished.refusal_reason) == (True, "not_supported")


async def test_english_speakers_are_refused_in_english() -> None:
    question = Question(MaskedText("opening hours"), (), "customer", AS_OF, "en")
    finished = end_of(await told(story(LIMIT, confidence=0.0)[0], question))
    assert finished.answer.startswith("This was not found in the documents.")
