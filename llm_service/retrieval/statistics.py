"""How often each term occurs among the passages a person may see: what search, ranking and refusal weigh with.

Kept per group of documents with the same audience and the same time in force, so that what a customer is shown never
depends on the words of staff documents or of editions out of force. The index could count within a filter itself, but
scans the filtered points for it on every question. Knows neither question nor index; `kept_statistics.py` writes it
down.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.index import VECTOR_NAMES
from llm_service.retrieval.lexical import PackedTerms
from llm_service.retrieval.term_counts import NO_COUNTS, TermCounts, added_up, counted

CORPORA_KEPT = 32


class Visibility(NamedTuple):
    """Who may see a document, and when it is in force. Audience and groups are sorted."""

    audience: tuple[str, ...]
    in_force_from: date
    in_force_to: date
    groups: tuple[str, ...] = ()

    def allows(self, entitlement: Entitlement) -> bool:
        return entitlement.allows(self.audience, self.groups, self.in_force_from, self.in_force_to)


class CountedDocument(NamedTuple):
    """One document as it is counted; `lengths`: the terms of its passages together, by vector."""

    visibility: Visibility
    passage_ids: NDArray[np.int64]
    lengths: tuple[float, ...]
    counts: TermCounts


@dataclass
class Group:
    """The documents of one visibility: their sum, and what came or went since it was added up."""

    passages: int = 0
    counts: TermCounts = NO_COUNTS
    since: list[TermCounts] = field(default_factory=list)

    def settle(self) -> TermCounts:
        """The sum of now."""
        if self.since:
            self.counts, self.since = added_up([self.counts, *self.since]), []
        return self.counts


class TermStatistics:
    """Document frequencies by visibility, kept up to date as documents come and go. Safe to use from several
    threads."""

    def __init__(
        self,
        documents: Mapping[int, CountedDocument] | None = None,
        groups: Mapping[Visibility, Group] | None = None,
    ) -> None:
        self._documents = dict(documents or {})
        self._groups = dict(groups or {})
        self._corpora: dict[Entitlement, Corpus] = {}
        self._changing = Lock()

    def put(self, document_id: int, visibility: Visibility, passages: Mapping[int, PackedTerms]) -> None:
        """Count a document, given its passages by id; an older count of it is replaced."""
        document = _counted(visibility, passages) if passages else None
        with self._changing:
            self._remove(document_id)
            if document is not None:
                self._documents[document_id] = document
                group = self._groups.setdefault(visibility, Group())
                group.passages += len(passages)
                group.since.append(document.counts)
            self._corpora = {}

    def remove(self, document_id: int) -> None:
        """Count a document no more; one that is not counted is no error."""
        with self._changing:
            self._remove(document_id)
            self._corpora = {}

    def visibilities(self) -> dict[int, Visibility]:
        """The documents that are counted, each with what it is counted as."""
        return {document_id: document.visibility for document_id, document in self._documents.items()}

    def passage_ids(self, document_id: int) -> tuple[int, ...]:
        """The passages of the document that are counted."""
        document = self._documents.get(document_id)
        return tuple(document.passage_ids.tolist()) if document else ()

    def passages(self) -> int:
        """How many passages are counted."""
        return sum(group.passages for group in list(self._groups.values()))

    def average_lengths(self) -> tuple[float, ...]:
        """Terms a passage has on average, by vector in the order of `VECTOR_NAMES`; 1 while there are no passages."""
        passages = self.passages()
        if not passages:
            return tuple(1.0 for _ in VECTOR_NAMES)
        lengths = np.sum([document.lengths for document in list(self._documents.values())], axis=0)
        return tuple((lengths / passages).tolist())

    def within(self, entitlement: Entitlement) -> "Corpus":
        """The passages this entitlement may see, as a corpus of their own; the same one until documents change."""
        known = self._corpora.get(entitlement)
        if known is not None:
            return known
        with self._changing:
            if len(self._corpora) >= CORPORA_KEPT:
                self._corpora = {}
            allowed = [group for visibility, group in self._groups.items() if visibility.allows(entitlement)]
            counts = added_up([group.settle() for group in allowed])
            corpus = self._corpora[entitlement] = Corpus(sum(group.passages for group in allowed), counts)
            return corpus

    def settled(self) -> tuple[dict[int, CountedDocument], dict[Visibility, Group]]:
        """Everything that is counted, added up: what is written down."""
        with self._changing:
            for group in self._groups.values():
                group.settle()
            groups = {seen: Group(group.passages, group.counts) for seen, group in self._groups.items()}
            return dict(self._documents), groups

    def _remove(self, document_id: int) -> None:
        document = self._documents.pop(document_id, None)
        if document is None:
            return
        group = self._groups[document.visibility]
        group.passages -= len(document.passage_ids)
        group.since.append(document.counts.negative())
        if group.passages == 0:
            del self._groups[document.visibility]


def total_lengths(passages: Iterable[PackedTerms]) -> tuple[float, ...]:
    """Terms of all these passages together, by vector in the order of `VECTOR_NAMES`."""
    totals = np.zeros(len(VECTOR_NAMES))
    for packed in passages:
        totals += [packed.counts(name)[1].sum() for name in VECTOR_NAMES]
    return tuple(totals.tolist())


def _counted(visibility: Visibility, passages: Mapping[int, PackedTerms]) -> CountedDocument:
    terms = [packed.counts(name)[0] for packed in passages.values() for name in VECTOR_NAMES]
    return CountedDocument(
        visibility, np.array(list(passages), np.int64), total_lengths(passages.values()), counted(terms)
    )


class Corpus:
    """The term statistics of what one entitlement may see, as they were when it was made."""

    def __init__(self, passages: int, counts: TermCounts) -> None:
        self._counts = counts
        self._idf: dict[int, float] = {}
        self.passages = passages

    def frequency(self, term: int) -> int:
        """In how many passages the term occurs."""
        return self._counts.of(term)

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
