"""What a person gets to see of an answer, in which order, and when nothing is answered."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date
from typing import TypeVar

from llm_service.answering.story import AnswerStory, Finished, Notice, Question, SourcesFound, StoryEvent, Token
from llm_service.answering.texts import notice_text
from llm_service.engines.base import Engine, EngineRequest
from llm_service.engines.extractive import ExtractiveEngine
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate, Entitlement, Retrieved
from tests.llm_service.passages import passage, words_between_blanks

AS_OF = date(2026, 11, 21)
DATED = "\n\n2026-11-21 현재 시행 기준"
Returned = TypeVar("Returned")

LIMIT = passage("② 보험금의 한도는 1인당 1억원으로 한다.", number=32)
OTHER = passage("① 총리는 관보에 공고한다.", number=40, article="제40조", title="공고규정")


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
    assert finished.answer == f"“② 보험금의 한도는 1인당 1억원으로 한다.” [1]{DATED}"
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


async def test_sources_are_numbered_in_the_order_in_which_they_are_cited() -> None:
    engine = Dictation(("총리는 관보에 공고한다. [2] ", "보험금의 한도는 1인당 1억원이다. [1, 2]"))
    events = await told(story(LIMIT, OTHER, engine=engine)[0])
    finished = end_of(events)
    assert finished.answer == f"총리는 관보에 공고한다. [1] 보험금의 한도는 1인당 1억원이다. [2][1]{DATED}"
    assert [(source.number, source.title) for source in finished.sources] == [(1, "공고규정"), (2, "예금자보호법")]
    assert [len(event.sources) for event in events if isinstance(event, SourcesFound)] == [1, 2]


async def test_a_sentence_is_shown_only_once_it_is_complete_and_cited() -> None:
    engine = Dictation(("보험금의 ", "한도는 1인당 ", "1억원이다. [", "1", "]\n\n", "총리는 관보에 공고한다. [2]"))
    events = await told(story(LIMIT, OTHER, engine=engine)[0])
    tokens = [event.text for event in events if isinstance(event, Token)]
    assert tokens == ["보험금의 한도는 1인당 1억원이다. [1]", "\n\n총리는 관보에 공고한다. [2]", DATED]


async def test_a_sentence_that_fails_is_left_out_and_the_person_is_told() -> None:
    engine = Dictation(("보험금의 한도는 1인당 1억원이다. [1]\n\n", "보험금의 한도는 1인당 9억원이다. [1]"))
    events = await told(story(LIMIT, engine=engine)[0])
    finished = end_of(events)
    assert finished.answer == f"보험금의 한도는 1인당 1억원이다. [1]{DATED}"
    assert Notice("generated") in events
    assert Notice("sentences_cut") in events
    assert [verdict.passed for verdict in finished.verdicts] == [True, False]
    assert finished.verdicts[1].unsupported == ("amount",)


async def test_an_engine_that_can_is_asked_once_to_write_a_failed_sentence_anew() -> None:
    engine = SecondTry(("보험금의 한도는 1인당 9억원이다. [1]",), second="보험금의 한도는 1인당 1억원이다. [1]")
    finished = end_of(await told(story(LIMIT, engine=engine)[0]))
    assert finished.answer == f"보험금의 한도는 1인당 1억원이다. [1]{DATED}"
    assert engine.failures == [("quantity_not_in_source",)]
    assert [(verdict.passed, verdict.rewritten) for verdict in finished.verdicts] == [(True, True)]


async def test_a_second_attempt_that_fails_too_is_cut() -> None:
    engine = SecondTry(("보험금의 한도는 1인당 9억원이다. [1]",), second="보험금의 한도는 1인당 8억원이다. [1]")
    finished = end_of(await told(story(LIMIT, engine=engine)[0]))
    assert (finished.refused, finished.refusal_reason, len(engine.failures)) == (True, "not_verified", 1)


async def test_when_too_little_is_borne_out_the_documents_are_quoted_instead() -> None:
    quotation = ExtractiveEngine(words_between_blanks)
    engine = Dictation(("보험금의 한도는 1인당 9억원이다. [1]",))
    events = await told(story(LIMIT, engine=engine, quotation=quotation)[0])
    finished = end_of(events)
    assert finished.answer == f"“② 보험금의 한도는 1인당 1억원으로 한다.” [1]{DATED}"
    assert finished.engine == "extractive"
    assert events[0] == Notice("quotation_fallback")


async def test_quotations_that_take_over_stand_below_what_passed() -> None:
    quotation = ExtractiveEngine(words_between_blanks)
    pieces = ("보험금의 한도는 1인당 1억원이다. [1] ", "한도는 9억원이다. [1] ", "한도는 8억원이다. [1]")
    finished = end_of(await told(story(LIMIT, engine=Dictation(pieces), quotation=quotation)[0]))
    assert finished.answer == (
        f"보험금의 한도는 1인당 1억원이다. [1]\n\n“② 보험금의 한도는 1인당 1억원으로 한다.” [1]{DATED}"
    )


async def test_an_engine_that_says_it_found_nothing_is_believed() -> None:
    finished = end_of(await told(story(LIMIT, engine=Dictation(("문서에서 찾지 ", "못했습니다.")))[0]))
    assert (finished.refused, finished.refusal_reason) == (True, "not_supported")
    assert finished.answer.count("찾지 못했습니다") == 1


async def test_a_statement_without_a_source_is_not_shown() -> None:
    finished = end_of(await told(story(LIMIT, engine=Dictation(("보험금의 한도는 1인당 1억원이다. [7]",)))[0]))
    assert finished.refused
    assert finished.verdicts[0].failures == ("uncited",)


async def test_a_document_cannot_call_up_a_placeholder() -> None:
    planted = passage("보험금 한도 문의는 <PHONE_1>로 한다.")
    finished = end_of(await told(story(planted)[0]))
    assert "<PHONE_1>" not in finished.answer
    assert "<PHONE_1>" not in finished.sources[0].text


async def test_an_engine_is_closed_when_the_reader_leaves() -> None:
    engine = Dictation(("보험금의 한도는 1인당 1억원이다. [1]\n\n", "총리는 관보에 공고한다. [2]"))
    answer_story, _ = story(LIMIT, OTHER, engine=engine)
    async with aclosing(answer_story.tell(asked())) as events:
        await anext(events)
    assert engine.closed


async def test_everything_needed_to_explain_an_answer_is_kept_without_text_of_passages() -> None:
    finished = end_of(await told(story(LIMIT)[0]))
    assert finished.retrieval["confidence"] == 0.9
    assert finished.retrieval["features"] == {"idf_share": 0.7}
    assert finished.retrieval["candidates"] == [
        {"passage_id": 32, "label": LIMIT.label, "score": LIMIT.score, "signals": {}}
    ]
    assert finished.retrieval["refusal_reason"] is None


def test_every_notice_has_words_in_both_languages() -> None:
    for code in ("extractive", "generated", "sentences_cut", "quotation_fallback"):
        assert notice_text(code, "ko") != notice_text(code, "en")
