"""How an answer comes about, from question to last word: retrieve, refuse or write, check, cite.

What is told is a stream of events; who stores them and how they travel is not known here, nor are channels and tables.
"""

import functools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Final, Protocol, TypeVar

from llm_service.answering.as_of import without_day
from llm_service.answering.citations import CitationLedger, CitedSource, without_placeholders
from llm_service.answering.output_guard import leaks
from llm_service.answering.passages_of_day import DayAsked, History, PassagesFound, PassagesOfDay, Retriever
from llm_service.answering.segments import CITATION, Segmenter
from llm_service.answering.texts import (
    RefusalReason,
    as_of_text,
    cut_off_text,
    day_remark,
    not_found_openings,
    refusal_text,
)
from llm_service.answering.verify import SentenceVerdict, Verifier
from llm_service.engines.base import (
    Engine,
    EngineRequest,
    Locale,
    Measured,
    PromptingEngine,
    Queued,
    RewritingEngine,
)
from llm_service.errors import Busy, HaechiError, InvalidInput, NotFound, Unavailable
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Audience, Entitlement, Retrieved

NEAREST_TITLES: Final = 3
MS_PER_SECOND: Final = 1000
# What an engine may fail with while another one can still answer. Anything else is a fault, and is raised.
ENGINE_GONE: Final = (Unavailable, Busy, NotFound, InvalidInput)

Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Question:
    """What is asked, by whom, as of which day. `history` is the conversation so far, oldest first.

    `day` says how `as_of` was arrived at; without it, `as_of` is taken for today. `adapter` is what a model is to
    answer with; None is its base.
    """

    text: MaskedText
    history: tuple[MaskedText, ...]
    audience: Audience
    as_of: date
    locale: Locale
    groups: frozenset[str] = frozenset()
    day: DayAsked = field(default_factory=DayAsked)
    adapter: str | None = None


@dataclass(frozen=True)
class SourcesFound:
    """The sources cited so far; each event replaces the one before and precedes the token that cites anew."""

    sources: tuple[CitedSource, ...]


@dataclass(frozen=True)
class Notice:
    """Something a person should know about the answer; its words stand in `texts.yaml` under this code.

    `position` is the place in the line of answers that wait, where the notice is about that.
    """

    code: str
    position: int | None = None


@dataclass(frozen=True)
class Token:
    """A piece of the answer that has passed the check."""

    text: MaskedText


@dataclass(frozen=True)
class Finished:
    """The whole answer: its tokens joined. `timings` are milliseconds by stage, `retrieval` is kept for explaining.

    `as_of` is the day whose documents answered, where the search settled it; `searched_without` names optional parts of
    retrieval that are set but did not answer. `measured` is what each generation cost; `degraded` are the codes of what
    could not be had, so that something lesser stood in for it.
    """

    answer: MaskedText
    refused: bool
    sources: tuple[CitedSource, ...]
    engine: str
    timings: Mapping[str, float]
    retrieval: Mapping[str, object]
    verdicts: tuple[SentenceVerdict, ...] = ()
    refusal_reason: RefusalReason | None = None
    as_of: date | None = None
    searched_without: tuple[str, ...] = ()
    measured: tuple[Measured, ...] = ()
    degraded: tuple[str, ...] = ()


StoryEvent = SourcesFound | Notice | Token | Finished


class RunBlocking(Protocol):
    """Runs a function that blocks on a thread of its own and waits for it, as `asyncio.to_thread` does."""

    def __call__(self, function: Callable[[], Returned], /) -> Awaitable[Returned]: ...


class AnswerStory:
    """Tells answers. Below `refusal_threshold` (calibrated confidence, 0 to 1) a question is refused without an engine.

    `quotation` is the engine that takes over when too little of what `engine` wrote can be confirmed, and when `engine`
    cannot be had; an engine that quotes itself needs none.
    """

    def __init__(
        self,
        retriever: Retriever,
        engine: Engine,
        passages_per_answer: int,
        refusal_threshold: float,
        run_blocking: RunBlocking,
        *,
        quotation: Engine | None = None,
        verifier: Verifier | None = None,
        history: History | None = None,
    ) -> None:
        self._passages_of_day = PassagesOfDay(retriever, history, refusal_threshold)
        self._engines = [(engine, _written_notice(engine))]
        if quotation is not None:
            self._engines.append((quotation, "quotation_fallback"))
        self._passages_per_answer = passages_per_answer
        self._refusal_threshold = refusal_threshold
        self._run_blocking = run_blocking
        self._verifier = verifier or Verifier()

    async def tell(self, question: Question) -> AsyncGenerator[StoryEvent, None]:
        """The events of one answer, ending with `Finished`. Raises what the last engine raises."""
        told = _Told()
        found = await self._retrieve(question, told)
        retrieved = found.retrieved
        reason = self._reason_to_refuse(retrieved, told)
        if reason is None:
            async with aclosing(self._write(question, retrieved, told)) as events:
                async for event in events:
                    yield event
            reason = told.reason_to_refuse
        if reason is None:
            yield told.add_paragraph(_dated(question, found, told))
        else:
            nearest = dict.fromkeys(passage.document_title for passage in retrieved.candidates)
            yield told.add(refusal_text(reason, list(nearest)[:NEAREST_TITLES], question.locale))
            if question.day.today not in (None, found.as_of) and reason != "search_down":
                yield told.add_paragraph(as_of_text(found.as_of, question.locale))
        yield replace(told.finished(reason, self._explained(retrieved, told)), as_of=found.as_of)

    async def _retrieve(self, question: Question, told: "_Told") -> PassagesFound:
        entitlement = Entitlement(question.audience, question.as_of, question.groups)
        told.asked = without_day(question.text, question.history, question.day.today or question.as_of)
        search = functools.partial(
            self._passages_of_day.find,
            told.asked,
            entitlement,
            self._passages_per_answer,
            question.history,
            question.day,
        )
        try:
            with told.stage("retrieve"):
                found = await self._run_blocking(search)
        except Unavailable as error:
            # Nobody is left without an answer: a refusal that says why, with the offer of a person.
            told.degrade(error)
            return PassagesFound(Retrieved((), 0.0), question.as_of)
        told.searched_without = found.retrieved.fallbacks
        candidates = found.retrieved.candidates[: self._passages_per_answer]
        passages = tuple(without_placeholders(passage) for passage in candidates)
        return replace(found, retrieved=replace(found.retrieved, candidates=passages))

    def _reason_to_refuse(self, retrieved: Retrieved, told: "_Told") -> RefusalReason | None:
        if told.degraded:
            return "search_down"
        if not retrieved.candidates:
            return "no_passages"
        return "low_confidence" if retrieved.confidence < self._refusal_threshold else None

    async def _write(self, question: Question, retrieved: Retrieved, told: "_Told") -> AsyncGenerator[StoryEvent, None]:
        request = EngineRequest(
            told.asked, retrieved.candidates, question.history, question.locale, adapter=question.adapter
        )
        told.repeatable = f"{question.text}\n{told.asked}"
        told.ledger, told.adapter = CitationLedger(retrieved.candidates), request.adapter
        for engine, notice in self._engines:
            told.begin(engine.name, "engine_down" if told.degraded else notice)
            try:
                async with aclosing(self._written_by(engine, request, told)) as events:
                    async for event in events:
                        yield event
            except ENGINE_GONE as error:
                if not told.parts and engine is self._engines[-1][0]:
                    raise
                told.degrade(error)
                if told.parts:
                    yield Notice("answer_cut_off")
                    yield told.add_paragraph(cut_off_text(question.locale))
                    break
                continue
            if told.declined or told.is_borne_out:
                break
        if told.parts and told.cut:
            yield Notice("sentences_cut")

    async def _written_by(
        self, engine: Engine, request: EngineRequest, told: "_Told"
    ) -> AsyncGenerator[StoryEvent, None]:
        """What one engine writes, checked, and where its answer stands in line before that."""
        told.prompt_sha256 = engine.prompt_sha256(request) if isinstance(engine, PromptingEngine) else None
        async with aclosing(_segments(engine, request, told)) as segments:
            async for segment in segments:
                if isinstance(segment, Queued):
                    yield Notice("queued", segment.position)
                    continue
                for event in await self._checked(engine, request, segment, told):
                    yield event

    async def _checked(
        self, engine: Engine, request: EngineRequest, segment: str, told: "_Told"
    ) -> Iterator[StoryEvent]:
        """The events that show a segment, after check and, where the engine can, one attempt to write it anew."""
        if not told.parts and _says_not_found(segment):
            told.declined = True
            return iter(())
        verdicts = self._verify(segment, request, told)
        if not all(verdict.passed for verdict in verdicts) and isinstance(engine, RewritingEngine):
            failures = tuple(dict.fromkeys(failure for verdict in verdicts for failure in verdict.failures))
            try:
                segment = await engine.rewrite(request, segment, failures)
            except ENGINE_GONE as error:
                # The answer goes on without a second attempt: what did not pass is cut, as without a rewriting engine.
                told.degrade(error)
            else:
                verdicts = tuple(replace(verdict, rewritten=True) for verdict in self._verify(segment, request, told))
        return told.show(segment, verdicts)

    def _verify(self, segment: str, request: EngineRequest, told: "_Told") -> tuple[SentenceVerdict, ...]:
        with told.stage("verify"):
            cited = told.ledger.cited_by(segment)
            verdicts = self._verifier.check(segment, cited, told.repeatable)
            leaked = leaks(segment, cited, request)
        if not leaked:
            return verdicts
        # An image has no sentence to judge, and must not pass for that.
        whole = SentenceVerdict(MaskedText(segment.strip()), True, (), (), 0.0, ())
        return tuple(replace(one, passed=False, failures=(*one.failures, *leaked)) for one in verdicts or (whole,))

    def _explained(self, retrieved: Retrieved, told: "_Told") -> dict[str, object]:
        return {
            "confidence": retrieved.confidence,
            "refusal_threshold": self._refusal_threshold,
            "features": dict(retrieved.features),
            "timings": dict(retrieved.timings),
            "fallbacks": list(retrieved.fallbacks),
            "candidates": [
                {
                    "passage_id": passage.passage_id,
                    "label": passage.label,
                    "score": passage.score,
                    "signals": dict(passage.signals),
                }
                for passage in retrieved.candidates
            ],
            "prompt_sha256": told.prompt_sha256,
            "adapter": told.adapter,
            "generations": [asdict(measured) for measured in told.measured],
            "degraded": list(told.degraded),
            "verdicts": [asdict(verdict) for verdict in told.verdicts],
        }


class _Told:
    """What has been told so far: the tokens, the verdicts, the citations and where the time went."""

    def __init__(self) -> None:
        self.ledger = CitationLedger(())
        self.parts: list[str] = []
        self.verdicts: list[SentenceVerdict] = []
        self.declined = False
        self.asked = MaskedText("")
        self.repeatable = ""
        self.cut = 0
        self.searched_without: tuple[str, ...] = ()
        self.measured: list[Measured] = []
        self.degraded: list[str] = []
        self.prompt_sha256: str | None = None
        self.adapter: str | None = None
        self._engine = ""
        self._notice: str | None = None
        self._blanks = ""
        self._started = time.perf_counter()
        self._milliseconds: dict[str, float] = {}

    def begin(self, engine: str, notice: str) -> None:
        """From here on `engine` writes; its notice precedes its first words."""
        self._engine, self._notice, self._blanks = engine, notice, "\n\n"

    def degrade(self, error: HaechiError) -> None:
        """Something could not be had, and something lesser stands in for it."""
        self.degraded.append(error.code)

    def measure(self, measured: Measured) -> None:
        """Keep what a generation cost, and its waiting as stages of the answer."""
        self.measured.append(measured)
        self._milliseconds["queue"] = round(measured.queue_seconds * MS_PER_SECOND, 3)
        self._milliseconds["engine_first_token"] = round(measured.first_token_seconds * MS_PER_SECOND, 3)
        self._milliseconds["engine_total"] = round(measured.total_seconds * MS_PER_SECOND, 3)

    @property
    def is_borne_out(self) -> bool:
        """Whether more sentences passed than were cut."""
        return bool(self.parts) and self.cut * 2 <= len(self.verdicts)

    @property
    def reason_to_refuse(self) -> RefusalReason | None:
        if self.parts:
            return None
        return "not_verified" if self.verdicts and not self.declined else "not_supported"

    def show(self, segment: str, verdicts: Sequence[SentenceVerdict]) -> Iterator[StoryEvent]:
        """Events for what passed; sentences that did not pass are left out."""
        self.verdicts += verdicts
        failed = sum(not verdict.passed for verdict in verdicts)
        self.cut += failed
        shown = _without_failed(segment, verdicts) if failed else segment
        if not shown.strip():
            return
        if self._notice is not None:
            yield Notice(self._notice)
            self._notice = None
        known = len(self.ledger.sources)
        text = self.ledger.renumber(shown)
        if len(self.ledger.sources) > known:
            yield SourcesFound(self.ledger.sources)
        yield self.add(text)

    def add(self, text: str) -> Token:
        """The token for a text; blanks at its end wait for what follows, so that an answer does not end in them."""
        whole = (self._blanks if self.parts else "") + text
        kept = whole.rstrip()
        self._blanks = whole[len(kept) :]
        self.parts.append(kept)
        self._milliseconds.setdefault("first_token", self._since(self._started))
        return Token(MaskedText(kept))

    def add_paragraph(self, text: str) -> Token:
        """The token for words of our own below the answer."""
        self._blanks = "\n\n"
        return self.add(text)

    def finished(self, reason: RefusalReason | None, explained: Mapping[str, object]) -> Finished:
        refused = reason is not None
        return Finished(
            answer=MaskedText("".join(self.parts)),
            refused=refused,
            sources=() if refused else self.ledger.sources,
            engine=self._engine,
            timings={**self._milliseconds, "total": self._since(self._started)},
            retrieval={**explained, "refusal_reason": reason},
            searched_without=self.searched_without,
            measured=tuple(self.measured),
            degraded=tuple(self.degraded),
            verdicts=tuple(self.verdicts),
            refusal_reason=reason,
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.spend(name, time.perf_counter() - started)

    def spend(self, name: str, seconds: float) -> None:
        """Add time to a stage."""
        self._milliseconds[name] = self._milliseconds.get(name, 0.0) + round(seconds * MS_PER_SECOND, 3)

    @staticmethod
    def _since(moment: float) -> float:
        return round((time.perf_counter() - moment) * 1000, 3)


async def _segments(engine: Engine, request: EngineRequest, told: _Told) -> AsyncGenerator[str | Queued, None]:
    """The engine's text in checkable segments; the engine is closed as soon as nobody reads on."""
    segmenter = Segmenter()
    waited = 0.0
    pieces = engine.stream(request)
    try:
        while True:
            # Once a token: without `stage`, which would cost as much as what is done with it.
            began = time.perf_counter()
            piece = await anext(pieces, None)
            waited += time.perf_counter() - began
            if piece is None:
                break
            if isinstance(piece, Measured):
                told.measure(piece)
            elif isinstance(piece, Queued):
                yield piece
            else:
                for segment in segmenter.feed(piece):
                    yield segment
        for segment in segmenter.flush():
            yield segment
    finally:
        told.spend("answer", waited)
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _dated(question: Question, found: PassagesFound, told: _Told) -> str:
    """As of which day the answer holds, and what to know about today where that is another day."""
    dated = as_of_text(found.as_of, question.locale)
    if found.is_undated:
        return f"{dated}. {day_remark('undated', question.as_of, question.locale)}"
    if question.day.today is None or found.as_of == question.day.today:
        return dated
    cited = {source.passage_id for source in told.ledger.sources}
    shown = [passage for passage in found.retrieved.candidates if passage.passage_id in cited]
    if all(passage.in_force_from <= question.day.today < passage.in_force_to for passage in shown):
        return dated
    return f"{dated}. {day_remark('another_today', question.day.today, question.locale)}"


def _without_failed(segment: str, verdicts: Sequence[SentenceVerdict]) -> str:
    marks = "".join(mark[0] for mark in CITATION.finditer(segment))
    kept = " ".join(verdict.sentence for verdict in verdicts if verdict.passed)
    return f"{kept} {marks}\n" if kept else ""


def _written_notice(engine: Engine) -> str:
    return "extractive" if engine.name == "extractive" else "generated"


def _says_not_found(segment: str) -> bool:
    return segment.lstrip(" “\"'").startswith(not_found_openings())
