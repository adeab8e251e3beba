"""How often each term occurs among the passages a person may see: what search, ranking and refusal weigh with.

Kept per group of documents with the same audience and the same time in force, so that what a customer is shown never
depends on the words of staff documents or of editions out of force. The index could count within a filter itself, but
scans the filtered points for it on every question. Knows neither question nor index.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.index import VECTOR_NAMES
from llm_service.retrieval.lexical import PackedTerms

CORPORA_KEPT = 32


class Visibility(NamedTuple):
    """Who may see a document, and when it is in force."""

    audience: tuple[str, ...]
    in_force_from: date
    in_force_to: date
    groups: tuple[str, ...] = ()

    def allows(self, entitlement: Entitlement) -> bool:
        return entitlement.allows(self.audience, self.groups, self.in_force_from, self.in_force_to)


@dataclass
class _Group:
    passages: int = 0
    frequencies: Counter[int] = field(default_factory=Counter)


class _Document(NamedTuple):
    visibility: Visibility
    passage_ids: tuple[int, ...]
    lengths: tuple[float, ...]
    terms: NDArray[np.uint32]
    frequencies: NDArray[np.uint32]


class TermStatistics:
    """Document frequencies by visibility, kept up to date as documents come and go. One writer, many readers."""

    def __init__(self) -> None:
        self._groups: dict[Visibility, _Group] = {}
        self._documents: dict[int, _Document] = {}
        self._corpora: dict[Entitlement, Corpus] = {}

    def put(self, document_id: int, visibility: Visibility, passages: Mapping[int, PackedTerms]) -> None:
        """Count a document, given its passages by id; an older count of it is replaced."""
        self.remove(document_id)
        if not passages:
            return
        ids = [packed.counts(name)[0] for packed in passages.values() for name in VECTOR_NAMES]
        terms, frequencies = np.unique(np.concatenate(ids), return_counts=True)
        lengths = total_lengths(passages.values())
        self._documents[document_id] = _Document(
            visibility, tuple(passages), lengths, terms, frequencies.astype(np.uint32)
        )
        group = self._groups.setdefault(visibility, _Group())
        group.passages += len(passages)
        group.frequencies.update(dict(zip(terms.tolist(), frequencies.tolist(), strict=True)))
        self._corpora = {}

    def remove(self, document_id: int) -> None:
        document = self._documents.pop(document_id, None)
        if document is None:
            return
        group = self._groups[document.visibility]
        group.passages -= len(document.passage_ids)
        group.frequencies.subtract(dict(zip(document.terms.tolist(), document.frequencies.tolist(), strict=True)))
        if group.passages == 0:
            del self._groups[document.visibility]
        self._corpora = {}

    def passage_ids(self, document_id: int) -> tuple[int, ...]:
        """The passages of the document that are counted."""
        document = self._documents.get(document_id)
        return document.passage_ids if document else ()

    def average_lengths(self) -> tuple[float, ...]:
        """Terms a passage has on average, by vector in the order of `VECTOR_NAMES`; 1 while there are no passages."""
        documents = list(self._documents.values())
        passages = sum(len(document.passage_ids) for document in documents)
        if not passages:
            return tuple(1.0 for _ in VECTOR_NAMES)
        return tuple(
            sum(document.lengths[position] for document in documents) / passages
            for position in range(len(VECTOR_NAMES))
        )

    def within(self, entitlement: Entitlement) -> "Corpus":
        """The passages this entitlement may see, as a corpus of their own; the same one until documents change."""
        corpora = self._corpora
        if entitlement not in corpora:
            if len(corpora) >= CORPORA_KEPT:
                corpora.clear()
            groups = list(self._groups.items())
            corpora[entitlement] = Corpus([group for visibility, group in groups if visibility.allows(entitlement)])
        return corpora[entitlement]


def total_lengths(passages: Iterable[PackedTerms]) -> tuple[float, ...]:
    """Terms of all these passages together, by vector in the order of `VECTOR_NAMES`."""
    totals = np.zeros(len(VECTOR_NAMES))
    for packed in passages:
        totals += [packed.counts(name)[1].sum() for name in VECTOR_NAMES]
    return tuple(totals.tolist())


class Corpus:
    """The term statistics of what one entitlement may see."""

    def __init__(self, groups: list[_Group]) -> None:
        self._groups = groups
        self._idf: dict[int, float] = {}
        self.passages = sum(group.passages for group in groups)

    def frequency(self, term: int) -> int:
        """In how many passages the term occurs."""
        return sum(group.frequencies.get(term, 0) for group in self._groups)

    def idf(self, term: int) -> float:
        """Inverse document frequency of BM25, in nats: ln(1 + (N - n + 0.5) / (n + 0.5))."""
        known = self._idf.get(term)
        if known is None:
            frequency = self.frequency(term)
            known = math.log(1 + (self.passages - frequency + 0.5) / (frequency + 0.5))
            if frequency:
                # Terms that occur nowhere are not remembered: questions bring ever new ones.
                self._idf[term] = known
        return known
