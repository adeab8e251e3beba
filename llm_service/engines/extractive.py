"""Answers by quotation: the best sentences and items of the passages, word for word, each with its citation.

It invents nothing, so it can be wrong about what was asked but never about what a document says. How the words of a
question are found is handed in; this module knows no morphemes, no index and no threshold of retrieval.
"""

import re
from collections.abc import AsyncIterator, Sequence
from typing import Final

from llm_service.engines.base import EngineRequest
from llm_service.engines.relevance import Asked, Carried, ScoredUnit, WordsOf, ancestors, best_of, score_units
from llm_service.engines.units import Unit, units_of
from llm_service.retrieval.candidate import Candidate

MAXIMUM_CHARACTERS: Final = 700
MAXIMUM_UNITS: Final = 4
MAXIMUM_SOURCES: Final = 3
LEAST_COVERAGE: Final = 0.1
ELLIPSIS: Final = "…"

# A passage as short as this is one thought: quoted whole, it keeps its conditions.
WHOLE_PASSAGE_CHARACTERS: Final = 320

# A further unit must come this near the best one to be worth the reader's time.
_WORTH_QUOTING: Final = 0.6
# Share of the retrieval score of the best source quoted that another one needs: less is about something else.
_ANOTHER_SOURCE: Final = 0.7
# Beyond that it must answer nearly as well, or carry this much of the question that the sources before it lack.
_AS_GOOD: Final = 0.85
_NEW_SHARE: Final = 0.15
# What tells the kind of thing that is asked must be about the question nearly as much as the unit that is most.
_TELLING_SHARE: Final = 0.6
_CITATION_MARK: Final = re.compile(r"\[\d[\d, ]*\]")
_ASKED: Final = re.compile(r"\s*(?:질문|문|Q|Question)\s?[:.]\s")
_ANSWERED: Final = re.compile(r"\s*(?:답변|답|A|Answer)\s?[:.]\s+")
_FIELD: Final = re.compile(r"\S{1,12}: \S.{0,40}$")


class ExtractiveEngine:
    """An `Engine` that quotes. Declines (yields nothing) when nothing tells the kind of thing that is asked (a period
    for 며칠) and carries enough of the question.

    `words_of` finds the words of a question. `least_coverage` is the share of the question's weight that the best unit
    must carry together with its headings.
    """

    name = "extractive"

    def __init__(self, words_of: WordsOf, least_coverage: float = LEAST_COVERAGE) -> None:
        self._words_of = words_of
        self._least_coverage = least_coverage

    async def stream(self, request: EngineRequest) -> AsyncIterator[str]:
        for block in self.quotations(request):
            yield block

    def quotations(self, request: EngineRequest) -> tuple[str, ...]:
        """The blocks of the answer, each a quotation of one passage with its [n] and a blank line; () declines."""
        outlines = [units_of(passage.text) for passage in request.passages]
        asked = Asked(request.question, self._words_of(request.question), outlines)
        ranked = score_units(asked, request.passages, outlines)
        telling = [unit for unit in ranked if asked.is_told(_quoted(request.passages, outlines, unit))]
        if not self._is_answered(asked, ranked, telling):
            return ()
        if stored := _stored_answer(request.passages[telling[0].passage].text):
            return (_block(stored, telling[0].passage),)
        chosen = _Quotation(asked, outlines, [passage.score for passage in request.passages])
        for unit in telling:
            chosen.offer(unit)
        return tuple(
            _block(_layout(outlines[place], units), place, _heading_of(request.passages[place]))
            for place, units in chosen.by_passage.items()
        )

    def _is_answered(self, asked: Asked, ranked: Sequence[ScoredUnit], telling: Sequence[ScoredUnit]) -> bool:
        """Whether what tells the kind of thing that is asked is also what is about the question."""
        if not telling:
            return False
        most = max(asked.coverage(unit.carried) for unit in ranked)
        told = max(asked.coverage(unit.carried) for unit in telling)
        return told >= max(self._least_coverage, _TELLING_SHARE * most)


def _quoted(passages: Sequence[Candidate], outlines: Sequence[Sequence[Unit]], unit: ScoredUnit) -> str:
    """What would be quoted if this unit were chosen, however little room there is."""
    text, outline = passages[unit.passage].text, outlines[unit.passage]
    if stored := _stored_answer(text):
        return stored
    if len(text) <= WHOLE_PASSAGE_CHARACTERS:
        return "\n".join(other.text for other in outline if not other.is_heading)
    below = {place for place in range(unit.index + 1, len(outline)) if unit.index in ancestors(outline, place)}
    return "\n".join(outline[place].text for place in sorted(_with_context(outline, unit.index) | below))


def _stored_answer(text: str) -> str:
    """The answer of a passage that is a stored question with its answer, without the fields below it; "" for others."""
    lines = text.strip().split("\n")
    places = [place for place, line in enumerate(lines) if _ANSWERED.match(line)]
    if not places or not _ASKED.match(lines[0]):
        return ""
    answer = lines[places[0] :]
    while len(answer) > 1 and _FIELD.match(answer[-1]):
        answer.pop()
    return "\n".join((_ANSWERED.sub("", answer[0], count=1), *answer[1:])).strip()


class _Quotation:
    """The units chosen so far; each offer is taken only if it fits and is worth it."""

    def __init__(self, asked: Asked, outlines: Sequence[Sequence[Unit]], scores: Sequence[float]) -> None:
        self.by_passage: dict[int, set[int]] = {}
        self._asked = asked
        self._outlines = outlines
        self._scores = scores
        self._carried: Carried = {}
        self._best = 0.0
        self._taken = 0
        self._room = MAXIMUM_CHARACTERS

    def offer(self, unit: ScoredUnit) -> None:
        """Quote the unit with what it hangs from, its provisos and its items, or the whole passage if it is short."""
        if not self._is_worth_it(unit):
            return
        outline = self._outlines[unit.passage]
        wanted = _with_context(outline, unit.index)
        whole = {place for place, other in enumerate(outline) if not other.is_heading}
        if self._length(unit.passage, whole) <= min(WHOLE_PASSAGE_CHARACTERS, self._room):
            wanted = whole
        if self._taken and self._length(unit.passage, wanted) > self._room:
            return
        self._take(unit, wanted)
        self._add_items(unit)

    def _length(self, passage: int, places: set[int]) -> int:
        held = self.by_passage.get(passage, set())
        return sum(len(self._outlines[passage][place].text) for place in places - held)

    def _is_worth_it(self, unit: ScoredUnit) -> bool:
        if unit.index in self.by_passage.get(unit.passage, set()):
            return False
        if unit.passage not in self.by_passage and not self._is_worth_a_source(unit):
            return False
        return self._taken < MAXIMUM_UNITS and unit.score >= _WORTH_QUOTING * self._best

    def _is_worth_a_source(self, unit: ScoredUnit) -> bool:
        """Another source is taken beside those quoted only if retrieval thought nearly as much of it, and it answers
        nearly as well or carries words of the question that they lack."""
        if not self.by_passage:
            return True
        best = max(self._scores[quoted] for quoted in self.by_passage)
        if len(self.by_passage) == MAXIMUM_SOURCES or self._scores[unit.passage] < _ANOTHER_SOURCE * best:
            return False
        gained = self._asked.coverage(best_of((self._carried, unit.carried))) - self._asked.coverage(self._carried)
        return unit.score >= _AS_GOOD * self._best or gained >= _NEW_SHARE

    def _take(self, unit: ScoredUnit, wanted: set[int]) -> None:
        self._room -= self._length(unit.passage, wanted)
        self.by_passage.setdefault(unit.passage, set()).update(wanted)
        self._best = max(self._best, unit.score)
        self._carried = best_of((self._carried, unit.carried))
        self._taken += 1

    def _add_items(self, unit: ScoredUnit) -> None:
        """A sentence that announces a list is followed by its items, as many as fit."""
        outline = self._outlines[unit.passage]
        held = self.by_passage[unit.passage]
        for place in range(unit.index + 1, len(outline)):
            item = outline[place]
            if item.lead in held and not item.is_proviso and unit.index in ancestors(outline, place):
                if len(item.text) > self._room:
                    break
                held.add(place)
                self._room -= len(item.text)


def _with_context(outline: Sequence[Unit], index: int) -> set[int]:
    """A unit, the units it hangs from, and the provisos (다만, …) to any of them: a rule without these misleads."""
    above = {place for place in ancestors(outline, index) if not outline[place].is_heading}
    wanted = {index, *above}
    return wanted | {place for place, unit in enumerate(outline) if unit.is_proviso and unit.lead in wanted}


def _layout(outline: Sequence[Unit], places: set[int]) -> str:
    """The units in the order of the passage, on lines as there; what is left out between them shows as an ellipsis."""
    written = ""
    before: int | None = None
    for place in sorted(places):
        unit = outline[place]
        if before is not None:
            gap = any(not outline[between].is_heading for between in range(before + 1, place))
            written += f" {ELLIPSIS}" if gap else ""
            written += " " if unit.line == outline[before].line else "\n"
        # Line breaks of a page are not the author's.
        written += " ".join(unit.text.split())
        before = place
    return written


def _heading_of(passage: Candidate) -> str:
    """The heading a section stands under, on a line of its own: what is quoted may speak of it without naming it."""
    return f"{passage.heading_path[-1]}\n" if passage.heading_path and passage.article is None else ""


def _block(quoted: str, passage: int, heading: str = "") -> str:
    # A mark like [1] inside a document would read as a citation of ours.
    return f"{_CITATION_MARK.sub('', heading)}“{_shortened(_CITATION_MARK.sub('', quoted))}” [{passage + 1}]\n\n"


def _shortened(quoted: str) -> str:
    if len(quoted) <= MAXIMUM_CHARACTERS:
        return quoted
    kept = quoted[:MAXIMUM_CHARACTERS]
    return f"{kept[: kept.rfind(' ')] if ' ' in kept else kept} {ELLIPSIS}"
