"""Judges candidates against the question: how much of it a passage holds, how close together, and in its heading.

Every signal is a share between 0 and 1, so it means the same in a corpus of statutes and in one of product sheets.
Knows neither the index nor where passages are stored.
"""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise

import numpy as np
from numpy.typing import NDArray

from llm_service.retrieval.lexical import QuestionTerms, Unit, term_id
from llm_service.retrieval.statistics import Corpus

Hits = list[tuple[int, int]]
"""(position, term id) of the question's terms in a passage, in reading order."""

WINDOW_TERMS = 40
SYNONYM_SHARE = 0.9
"""A passage that holds the whole of a synonym counts this much of one that holds the word itself."""

# Weights found on nine question sets at once (statutes, product documents, prose, pages); each lies on a plateau.
WINDOW_WEIGHT = 1.0
TITLE_WEIGHT = 0.75
ARTICLE_WEIGHT = 1.0
DETAIL_WEIGHT = 0.15

DETAILED_BY = frozenset(map(term_id, ("시행령", "시행규칙")))
"""Words in the name of a law that only details another one."""


@dataclass(frozen=True)
class Signals:
    """What speaks for one candidate. Masses are shares of the question's idf mass.

    fused: the index's score over the best one; coverage, noun_coverage: mass the passage holds; window: mass inside its
    best `WINDOW_TERMS` neighbouring terms; heading: how well question and heading name each other; title: the same for
    an article, 0 for every other passage; article: whether the question names this very article; detail: whether it is
    an article of a decree that the question does not ask for: the act lays down the rule that the decree details.

    Only an article's title speaks for it: drafters give each article one of its own that says what it rules. A heading
    of prose names the chapter, and passages that answer without repeating it would lose to those that do.
    """

    fused: float
    coverage: float
    noun_coverage: float
    window: float
    heading: float
    title: float
    article: float
    detail: float

    @property
    def score(self) -> float:
        named = WINDOW_WEIGHT * self.window + TITLE_WEIGHT * self.title + ARTICLE_WEIGHT * self.article
        return self.fused + named - DETAIL_WEIGHT * self.detail


@dataclass(frozen=True)
class Judged:
    """What is judged of a passage: its terms in reading order, the first `header_length` of them its heading's.

    `fused` is its score in the index over the best one; `place` names the article or page it is a part of.
    """

    fused: float
    sequence: NDArray[np.uint32]
    header_length: int
    place: Hashable
    articles: frozenset[int] = frozenset()

    @property
    def header(self) -> NDArray[np.uint32]:
        return self.sequence[: self.header_length]


class Judge:
    """One question, weighed in one corpus, ready to judge any number of passages."""

    def __init__(self, question: QuestionTerms, corpus: Corpus) -> None:
        self._articles = question.articles
        self._corpus = corpus
        self._masses = [unit.weight * corpus.idf(unit.term) for unit in question.units]
        self._nouns = [unit.is_noun for unit in question.units]
        self._shares = _shares_by_term(question.units)
        self._asks_for_details = not DETAILED_BY.isdisjoint(self._shares)
        self.mass = sum(self._masses)
        self.noun_mass = sum(mass for mass, noun in zip(self._masses, self._nouns, strict=True) if noun)
        unknown = [corpus.frequency(unit.term) == 0 and not unit.meant for unit in question.units]
        self.unknown_units = sum(
            missing and unit.weight == 1.0 for missing, unit in zip(unknown, question.units, strict=True)
        )
        self.unknown_share = _share(sum(compress(self._masses, unknown)), self.mass)

    def signals(self, passages: Sequence[Judged]) -> list[Signals]:
        """Judge the passages of one question, in their order.

        Passages of different places with one heading share its weight: a chapter's title on every page tells pages
        apart no better than none.
        """
        namesakes = Counter(heading for heading, _ in {(p.header.tobytes(), p.place) for p in passages})
        return [
            self._signals(passage, hits, namesakes[passage.header.tobytes()])
            for passage, hits in zip(passages, self._hits(passages), strict=True)
        ]

    def _signals(self, passage: Judged, hits: Hits, sharing: int) -> Signals:
        covered = self._covered({term for _, term in hits})
        header = passage.header.tolist()
        heading = self._heading(header) / sharing
        details = bool(passage.articles) and not DETAILED_BY.isdisjoint(header) and not self._asks_for_details
        return Signals(
            fused=passage.fused,
            coverage=_share(sum(covered), self.mass),
            noun_coverage=_share(sum(compress(covered, self._nouns)), self.noun_mass),
            window=_share(self._best_window(hits), self.mass),
            heading=heading,
            title=heading if passage.articles else 0.0,
            article=float(bool(passage.articles & self._articles)),
            detail=float(details),
        )

    def _hits(self, passages: Sequence[Judged]) -> Iterator[Hits]:
        """Where the question's terms stand in each passage; all passages at once, since most terms are no hit."""
        wanted = np.array(sorted(self._shares), dtype=np.uint32)
        if not len(wanted) or not passages:
            yield from ([] for _ in passages)
            return
        terms = np.concatenate([passage.sequence for passage in passages])
        nearest = np.minimum(np.searchsorted(wanted, terms), len(wanted) - 1)
        positions = np.flatnonzero(wanted[nearest] == terms)
        starts = np.cumsum([0, *(len(passage.sequence) for passage in passages)])
        bounds = np.searchsorted(positions, starts)
        for start, (first, last) in zip(starts.tolist(), pairwise(bounds.tolist()), strict=False):
            of_passage = positions[first:last]
            yield list(zip((of_passage - start).tolist(), terms[of_passage].tolist(), strict=True))

    def _covered(self, terms: set[int]) -> list[float]:
        held = [0.0] * len(self._masses)
        for term in terms:
            for unit, share in self._shares[term]:
                held[unit] += share
        return [mass * min(1.0, share) for mass, share in zip(self._masses, held, strict=True)]

    def _best_window(self, hits: Hits) -> float:
        """The most mass inside any window of neighbouring terms, found by sliding over the hits once."""
        held = [0.0] * len(self._masses)
        counts: dict[int, int] = {}
        mass = best = 0.0
        left = 0
        for position, term in hits:
            counts[term] = counts.get(term, 0) + 1
            if counts[term] == 1:
                mass += self._change(held, term, 1)
            while hits[left][0] <= position - WINDOW_TERMS:
                gone = hits[left][1]
                counts[gone] -= 1
                if counts[gone] == 0:
                    mass += self._change(held, gone, -1)
                left += 1
            best = max(best, mass)
        return best

    def _change(self, held: list[float], term: int, sign: int) -> float:
        gained = 0.0
        for unit, share in self._shares[term]:
            before = min(1.0, held[unit])
            held[unit] += sign * share
            gained += self._masses[unit] * (min(1.0, held[unit]) - before)
        return gained

    def _heading(self, header: Sequence[int]) -> float:
        """Geometric mean of two shares: of the question named by the heading, of the heading named by the question."""
        terms = set(header)
        masses = {term: self._corpus.idf(term) for term in terms}
        named = {term for term in terms if term in self._shares}
        of_question = _share(sum(self._covered(named)), self.mass)
        of_heading = _share(sum(masses[term] for term in named), sum(masses.values()))
        return math.sqrt(of_question * of_heading)


def _shares_by_term(units: Sequence[Unit]) -> Mapping[int, list[tuple[int, float]]]:
    """Term -> which units of the question it stands for, and for how much of each."""
    shares: dict[int, dict[int, float]] = {}
    for position, unit in enumerate(units):
        for term, share in _shares_of(unit):
            of_term = shares.setdefault(term, {})
            of_term[position] = max(of_term.get(position, 0.0), share)
    return {term: list(of_term.items()) for term, of_term in shares.items()}


def _shares_of(unit: Unit) -> Iterator[tuple[int, float]]:
    yield unit.term, 1.0
    for wording in unit.meant:
        for term in wording:
            yield term, SYNONYM_SHARE / len(wording)


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
