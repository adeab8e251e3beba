"""Judges candidates against the question: how much of it a passage holds, how close together, and in its heading.

Every signal is a share between 0 and 1, so it means the same in a corpus of statutes and in one of product sheets.
Knows neither the index nor where passages are stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from llm_service.retrieval.lexical import QuestionTerms, Unit
from llm_service.retrieval.statistics import Corpus

WINDOW_TERMS = 40
SYNONYM_SHARE = 0.9
"""A passage that holds the whole of a synonym counts this much of one that holds the word itself."""

FUSED_WEIGHT = 1.0
COVERAGE_WEIGHT = 0.5
WINDOW_WEIGHT = 0.5
HEADER_WEIGHT = 0.5
TITLE_WEIGHT = 0.0
ARTICLE_WEIGHT = 1.0


@dataclass(frozen=True)
class Signals:
    """What speaks for one candidate. Masses are shares of the question's idf mass."""

    fused: float
    coverage: float
    noun_coverage: float
    window: float
    header: float
    title: float
    article: float

    @property
    def score(self) -> float:
        return (
            FUSED_WEIGHT * self.fused
            + COVERAGE_WEIGHT * self.coverage
            + WINDOW_WEIGHT * self.window
            + HEADER_WEIGHT * self.header
            + TITLE_WEIGHT * self.title
            + ARTICLE_WEIGHT * self.article
        )


class Judge:
    """One question, weighed in one corpus, ready to judge any number of passages."""

    def __init__(self, question: QuestionTerms, corpus: Corpus) -> None:
        self._articles = question.articles
        self._corpus = corpus
        self._masses = [unit.weight * corpus.idf(unit.term) for unit in question.units]
        self._nouns = [unit.is_noun for unit in question.units]
        self._shares = _shares_by_term(question.units)
        self.mass = sum(self._masses)
        self.noun_mass = sum(mass for mass, noun in zip(self._masses, self._nouns, strict=True) if noun)
        self.unknown_units = sum(
            corpus.frequency(unit.term) == 0 and not unit.meant and unit.weight == 1.0 for unit in question.units
        )

    def signals(self, fused: float, sequence: Sequence[int], header_length: int, articles: frozenset[int]) -> Signals:
        """Judge a passage given its terms in reading order and the article numbers its heading names."""
        shares = self._shares
        hits = [(position, term) for position, term in enumerate(sequence) if term in shares]
        found = {term for _, term in hits}
        in_header = {term for position, term in hits if position < header_length}
        covered = self._covered(found)
        return Signals(
            fused=fused,
            coverage=_share(sum(covered), self.mass),
            noun_coverage=_share(
                sum(mass for mass, noun in zip(covered, self._nouns, strict=True) if noun), self.noun_mass
            ),
            window=_share(self._best_window(hits), self.mass),
            header=_share(sum(self._covered(in_header)), self.mass),
            title=self._title(sequence[:header_length]),
            article=float(bool(articles & self._articles)),
        )

    def _covered(self, terms: set[int]) -> list[float]:
        held = [0.0] * len(self._masses)
        for term in terms:
            for unit, share in self._shares[term]:
                held[unit] += share
        return [mass * min(1.0, share) for mass, share in zip(self._masses, held, strict=True)]

    def _best_window(self, hits: Sequence[tuple[int, int]]) -> float:
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

    def _title(self, header: Sequence[int]) -> float:
        """How much of the heading the question names: the other direction of `header`."""
        masses = {term: self._corpus.idf(term) for term in set(header)}
        return _share(sum(mass for term, mass in masses.items() if term in self._shares), sum(masses.values()))


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
