"""How an answer comes about, from question to last word: retrieve, refuse or write, check, cite.

What is told is a stream of events; who stores them and how they travel is not known here, nor are channels and tables.
"""

import functools
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Final, Protocol, TypeVar

from llm_service.answering.citations import CitationLedger, CitedSource, without_placeholders
from llm_service.answering.segments import CITATION, Segmenter
from llm_service.answering.texts import RefusalReason, as_of_text, not_found_openings, refusal_text
from llm_service.answering.verify import SentenceVerdict, Verifier
from llm_service.engines.base import Engine, EngineRequest, Locale, RewritingEngine
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Audience, Entitlement, Retrieved

NEAREST_TITLES: Final = 3

Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Question:
    """What is asked, by whom, as of which day. `history` is the conversation so far, oldest first."""

    text: MaskedText
    history: tuple[MaskedText, ...]
    audience: Audience
    as_of: date
    locale: Locale


@dataclass(frozen=True)
class SourcesFound:
    """The sources cited so far; each event replaces the one before and precedes the token that cites anew."""

    sources: tuple[CitedSource, ...]


@dataclass(frozen=True)
class Notice:
    """Something a person should know about the answer; its words stand in `texts.yaml` under this code."""

    code: str


@dataclass(frozen=True)
class Token:
    """A piece of the answer that has passed the check."""

    text: MaskedText


@dataclass(frozen=True)
class Finished:
    """The whole answer: its tokens joined. `timings` are milliseconds by stage, `retrieval` is kept for explaining."""

    answer: MaskedText
    refused: bool
    sources: tuple[CitedSource, ...]
    engine: str
    timings: Mapping[str, float]
    retrieval: Mapping[str, object]
    verdicts: tuple[SentenceVerdict, ...] = ()
    refusal_reason: RefusalReason | None = None


StoryEvent = SourcesFound | Notice | Token | Finished


class Retriever(Protocol):
    """Finds passages within an entitlement, best first, with the confidence that they carry an answer."""

    def search(
        self, question: MaskedText, entitlement: Entitlement, k: int, history: Sequence[MaskedText]
    ) -> Retrieved: ...


class RunBlocking(Protocol):
    """Runs a function that blocks on a thread of its own and waits for it, as `asyncio.to_thread` does."""

    def __call__(self, function: Callable[[], Returned], /) -> Awaitable[Returned]: ...


class AnswerStory:
    """Tells answers. Below `refusal_threshold` (calibrated confidence, 0 to 1) a question is refused without an engine.

    `quotation` is the engine that takes over when too little of what `engine` wrote can be confirmed; an engine that
    quotes itself needs none.
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
    ) -> None:
        self._retriever = retriever
        self._engines = [(engine, _written_notice(engine))]
        if quotation is not None:
            self._engines.append((quotation, "quotation_fallback"))
        self._passages_per_answer = passages_per_answer
        self._refusal_threshold = refusal_threshold
        self._run_blocking = run_blocking
        self._verifier = verifier or Verifier()

    async def tell(self, question: Question) -> AsyncGenerator[StoryEvent, None]:
        """The events of one answer, ending with `Finished`. Raises what the retriever and the engine raise."""
        told = _Told()
        retrieved = await self._retrieve(question, told)
        reason = self._reason_to_refuse(retrieved)
        if reason is None:
            async with aclosing(self._write(question, retrieved, told)) as events:
                async for event in events:
                    yield event
            reason = told.reason_to_refuse
        if reason is None:
            yield told.add_paragraph(as_of_text(question.as_of, question.locale))
        else:
            nearest = dict.fromkeys(passage.document_title for passage in retrieved.candidates)
            yield told.add(refusal_text(reason, list(nearest)[:NEAREST_TITLES], question.locale))
        yield told.finished(reason, self._explained(retrieved, told))

    async def _retrieve(self, question: Question, told: "_Told") -> Retrieved:
        entitlement = Entitlement(question.audience, question.as_of)
        search = functools.partial(
            self._retriever.search, question.text, entitlement, self._passages_per_answer, question.history
        )
        with told.stage("retrieve"):
            found = await self._run_blocking(search)
        passages = tuple(without_placeholders(passage) for passage in found.candidates[: self._passages_per_answer])
        return replace(found, candidates=passages)

    def _reason_to_refuse(self, retrieved: Retrieved) -> RefusalReason | None:
        if not retrieved.candidates:
            return "no_passages"
        return "low_confidence" if retrieved.confidence < self._refusal_threshold else None

    async def _write(self, question: Question, retrieved: Retrieved, told: "_Told") -> AsyncGenerator[StoryEvent, None]:
        request = EngineRequest(question.text, retrieved.candidates, question.history, question.locale)
        told.ledger = CitationLedger(retrieved.candidates)
        for engine, notice in self._engines:
            told.begin(engine.name, notice)
            async with aclosing(_segments(engine, request, told)) as segments:
                async for segment in segments:
                    for event in await self._checked(engine, request, segment, told):
                        yield event
            if told.declined or told.is_borne_out:
                break
        if told.parts and told.cut:
            yield Notice("sentences_cut")

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
            segment = await engine.rewrite(request, segment, failures)
            verdicts = tuple(replace(verdict, rewritten=True) for verdict in self._verify(segment, request, told))
        return told.show(segment, verdicts)

    def _verify(self, segment: str, request: EngineRequest, told: "_Told") -> tuple[SentenceVerdict, ...]:
        with told.stage("verify"):
            return self._verifier.check(segment, told.ledger.cited_by(segment), request.question)

    def _explained(self, retrieved: Retrieved, told: "_Told") -> dict[str, object]:
        return {
            "confidence": retrieved.confidence,
            "refusal_threshold": self._refusal_threshold,
            "features": dict(retrieved.features),
            "timings": dict(retrieved.timings),
            "candidates": [
                {"passage_id": passage.passage_id, "label": passage.label, "score": passage.score}
                for passage in retrieved.candidates
            ],
            "verdicts": [asdict(verdict) for verdict in told.verdicts],
        }


class _Told:
    """What has been told so far: the tokens, the verdicts, the citations and where the time went."""

    def __init__(self) -> None:
        self.ledger = CitationLedger(())
        self.parts: list[str] = []
        self.verdicts: list[SentenceVerdict] = []
        self.declined = False
        self.cut = 0
        self._engine = ""
        self._notice: str | None = None
        self._blanks = ""
        self._started = time.perf_counter()
        self._milliseconds: dict[str, float] = {}

    def begin(self, engine: str, notice: str) -> None:
        """From here on `engine` writes; its notice precedes its first words."""
        self._engine, self._notice, self._blanks = engine, notice, "\n\n"

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
            self._milliseconds[name] = self._milliseconds.get(name, 0.0) + self._since(started)

    @staticmethod
    def _since(moment: float) -> float:
        return round((time.perf_counter() - moment) * 1000, 3)


async def _segments(engine: Engine, request: EngineRequest, told: _Told) -> AsyncGenerator[str, None]:
    """The engine's text in checkable segments; the engine is closed as soon as nobody reads on."""
    segmenter = Segmenter()
    pieces = engine.stream(request)
    try:
        while True:
            with told.stage("answer"):
                piece = await anext(pieces, None)
            if piece is None:
                break
            for segment in segmenter.feed(piece):
                yield segment
        for segment in segmenter.flush():
            yield segment
    finally:
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _without_failed(segment: str, verdicts: Sequence[SentenceVerdict]) -> str:
    marks = "".join(mark[0] for mark in CITATION.finditer(segment))
    kept = " ".join(verdict.sentence for verdict in verdicts if verdict.passed)
    return f"{kept} {marks}\n" if kept else ""


def _written_notice(engine: Engine) -> str:
    return "extractive" if engine.name == "extractive" else "generated"


def _says_not_found(segment: str) -> bool:
    return segment.lstrip(" “\"'").startswith(not_found_openings())
