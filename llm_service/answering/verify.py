"""Checks an answer sentence by sentence against the passages it cites: quantities, polarity, and whether they carry it.

Knows no engine and no channel; what happens to a sentence that fails is decided by the story.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from llm_service.answering.evidence import (
    Chain,
    Evidence,
    Sentence,
    bigrams_of,
    chain_of,
    evidence_of,
    sentences_of,
    squeezed,
    squeezed_passage,
)
from llm_service.answering.output_guard import Leak
from llm_service.answering.polarity import contradicts, predicates_of, swapped_opposites
from llm_service.answering.quantities import Quantity, quantities_of, without_quantities
from llm_service.answering.segments import CITATION
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate

Failure = Literal["uncited", "quantity_not_in_source", "bound_not_in_source", "polarity_not_in_source", "not_carried"]

LEAST_ENTAILMENT: Final = 0.35
# A sentence this near to one of the source is that sentence, slightly changed: then its ending must be the source's.
_SAME_SENTENCE: Final = 0.75
_SENTENCE_KINDS: Final = frozenset(("article", "amount", "rate", "date", "time", "period", "count", "age"))
_NUMBER_BEFORE: Final = re.compile(r"[0-9][.,십백천만억조]?$")
# Below this the nearest sentence of the source says nothing about this one.
_RELATED_SENTENCE: Final = 0.4


@dataclass(frozen=True)
class SentenceVerdict:
    """What the check found for one sentence. `unsupported` names the kinds of its quantities that stand in no source.

    `cited` holds passage ids, `rewritten` says that this is the engine's second attempt.
    """

    sentence: MaskedText
    passed: bool
    failures: tuple[Failure | Leak, ...]
    unsupported: tuple[str, ...]
    entailment: float
    cited: tuple[int, ...]
    rewritten: bool = False


class Entailment(Protocol):
    """How far the passages carry a sentence, 0 to 1: a lexical score here; an NLI model fits the same slot."""

    def score(self, sentence: str, passages: Sequence[Candidate]) -> float: ...


class LexicalEntailment:
    """Share of the sentence's letter pairs that occur in the passages; quantities are compared apart and left out.

    A sentence in another script than its passages shares none; letters cannot judge it, so it scores 1 and is left to
    its quantities.
    """

    def score(self, sentence: str, passages: Sequence[Candidate]) -> float:
        said = bigrams_of(without_quantities(sentence))
        held = frozenset[str]().union(*(evidence_of(passage).bigrams for passage in passages))
        if not said or _is_hangul(said) != _is_hangul(held):
            return 1.0
        return len(said & held) / len(said)


class Verifier:
    """Says of every sentence whether the passages it cites bear it out."""

    def __init__(self, entailment: Entailment | None = None, least_entailment: float = LEAST_ENTAILMENT) -> None:
        self._entailment = entailment or LexicalEntailment()
        self._least_entailment = least_entailment

    def check(self, segment: str, cited: Sequence[Candidate], question: str) -> tuple[SentenceVerdict, ...]:
        """A verdict for each sentence of a segment, in order. What the question says may be repeated in the answer."""
        return tuple(self._verdict(sentence, cited, question) for sentence in sentences_of(CITATION.sub("", segment)))

    def _verdict(self, sentence: str, cited: Sequence[Candidate], question: str) -> SentenceVerdict:
        ids = tuple(passage.passage_id for passage in cited)
        if not cited:
            return SentenceVerdict(MaskedText(sentence), False, ("uncited",), (), 0.0, ids)
        if any(_stands_in(squeezed(sentence), squeezed_passage(passage)) for passage in cited):
            return SentenceVerdict(MaskedText(sentence), True, (), (), 1.0, ids)
        found = _Comparison(sentence, cited)
        unsupported = found.unsupported(quantities_of(question))
        score = self._entailment.score(sentence, cited)
        failures: list[Failure] = ["quantity_not_in_source"] if unsupported else []
        if found.bound_changed:
            failures.append("bound_not_in_source")
        if found.polarity_changed:
            failures.append("polarity_not_in_source")
        if score < self._least_entailment:
            failures.append("not_carried")
        return SentenceVerdict(MaskedText(sentence), not failures, tuple(failures), unsupported, round(score, 3), ids)


class _Comparison:
    """One sentence held against the sources it cites, and against the one sentence of theirs that comes nearest."""

    def __init__(self, sentence: str, cited: Sequence[Candidate]) -> None:
        evidence = [evidence_of(passage) for passage in cited]
        said = bigrams_of(sentence)
        known = [source for passage in evidence for source in passage.sentences]
        nearest = max(known, key=lambda source: len(said & source.bigrams), default=Sentence("", said))
        self._overlap = len(said & nearest.bigrams) / len(said) if said else 0.0
        self._sentence = sentence
        self._nearest = nearest.text
        self._evidence = evidence
        self._texts = [squeezed_passage(passage) for passage in cited]
        self._quantities = quantities_of(sentence)
        self._is_nearest_changed = self._overlap >= _SAME_SENTENCE

    def unsupported(self, asked: Sequence[Quantity]) -> tuple[str, ...]:
        """The kinds of quantities that stand neither in the sources nor in the question.

        In what is a sentence of the source, slightly changed, a quantity must be that sentence's: the right amount of
        the next paragraph is the wrong amount here.
        """
        repeated = {_key(quantity) for quantity in asked}
        said = [quantity for quantity in self._quantities if _key(quantity) not in repeated]
        if self._is_nearest_changed:
            failed = [quantity for quantity in said if not self._nearest_bears_out(quantity)]
        else:
            failed = [quantity for quantity in said if not self._sources_bear_out(quantity)]
        return tuple(dict.fromkeys(quantity.kind for quantity in failed))

    def _nearest_bears_out(self, quantity: Quantity) -> bool:
        """Whether the nearest sentence has this quantity, as often as it is said."""
        there = [known for known in quantities_of(self._nearest) if known.kind == quantity.kind]
        said = [own for own in self._quantities if own.kind == quantity.kind]
        if not there or quantity.kind not in _SENTENCE_KINDS:
            return self._sources_bear_out(quantity)
        if quantity.kind == "article" and len(said) > len(there) and self._sources_bear_out(quantity):
            # More articles than the source's sentence has: the answer also says where that sentence stands.
            return True
        times = sum(_holds(chain_of(known), chain_of(quantity)) for known in there)
        return times >= sum(own.value == quantity.value for own in said)

    def _sources_bear_out(self, quantity: Quantity) -> bool:
        if quantity.kind in ("name", "phone"):
            return any(quantity.value in text or quantity.value in text.replace("-", "") for text in self._texts)
        return any(_bears_out(known, quantity) for known in self._evidence)

    @property
    def bound_changed(self) -> bool:
        """Whether a quantity is bounded otherwise than where it stands in the sources (이상 for 이하)."""
        nearest = {_key(quantity): quantity.bound for quantity in quantities_of(self._nearest)}
        for quantity in self._quantities:
            held = frozenset(bound for known in self._evidence for bound in known.bounds.get(_key(quantity), ()))
            if self._is_nearest_changed and _key(quantity) in nearest:
                held = frozenset({nearest[_key(quantity)]})
            if quantity.bound is not None and held and quantity.bound not in held and None not in held:
                return True
        return False

    @property
    def polarity_changed(self) -> bool:
        """Whether the nearest sentence of the sources says of the same verb what contradicts this sentence."""
        if self._overlap < _RELATED_SENTENCE:
            return False
        said, sourced = predicates_of(self._sentence), predicates_of(self._nearest)
        for predicate in said:
            forces = {known.force for known in sourced if known.verb == predicate.verb}
            if forces and all(contradicts(predicate.force, force) for force in forces):
                return True
        if not self._is_nearest_changed:
            return False
        ends_otherwise = bool(said and sourced) and contradicts(said[-1].force, sourced[-1].force)
        return ends_otherwise or swapped_opposites(self._sentence, self._nearest)


def _stands_in(sentence: str, text: str) -> bool:
    """Whether a text holds a sentence word for word; 5만원 does not stand in 15만원."""
    place = text.find(sentence)
    while place > 0 and _NUMBER_BEFORE.search(text, max(0, place - 2), place):
        place = text.find(sentence, place + 1)
    return place >= 0


def _key(quantity: Quantity) -> tuple[str, str]:
    return quantity.kind, quantity.value


def _bears_out(known: Evidence, quantity: Quantity) -> bool:
    if quantity.kind == "article":
        return any(_holds(chain, chain_of(quantity)) for chain in known.chains)
    if quantity.kind == "number":
        return quantity.number in known.numbers
    return _key(quantity) in known.bounds or quantity.number in known.row_numbers


def _holds(chain: Chain, part: Chain) -> bool:
    """Whether a chain of law contains another as a run of neighbours: 제3조/제2항/제1호 holds 제3조/제2항."""
    return any(chain[place : place + len(part)] == part for place in range(len(chain) - len(part) + 1))


def _is_hangul(bigrams: frozenset[str]) -> bool:
    return sum("가" <= pair[0] <= "힣" for pair in bigrams) * 4 > len(bigrams)
