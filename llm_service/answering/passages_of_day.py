"""Finds the passages of the day a question is about, where that day is not simply today's.

A question about what held before a revision is first answered as of today, to learn which revision is meant. A document
that does not say since when it applies is not lost to questions about the past. Knows no engine and no wording.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Protocol

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Entitlement, Retrieved


class Retriever(Protocol):
    """Finds passages within an entitlement, best first, with the confidence that they carry an answer."""

    def search(
        self, question: MaskedText, entitlement: Entitlement, k: int, history: Sequence[MaskedText]
    ) -> Retrieved: ...


class History(Protocol):
    """What the records know of earlier editions; `retrieval.changes.EditionHistory` is the one of the product."""

    def day_before_change(self, passage_id: int) -> date | None: ...

    def without_stated_day(self, passage_ids: Iterable[int]) -> set[int]: ...


@dataclass(frozen=True)
class DayAsked:
    """How a question came by its day. `today` is the day it is asked on; `is_fixed`: the caller named the day."""

    today: date | None = None
    before_revision: bool = False
    is_fixed: bool = False


@dataclass(frozen=True)
class PassagesFound:
    """`as_of` is the day whose documents were searched; `is_undated`: these do not say whether they applied then."""

    retrieved: Retrieved
    as_of: date
    is_undated: bool = False


class PassagesOfDay:
    """Searches; below `refusal_threshold` nothing counts as found. Synchronous, as the retriever is."""

    def __init__(self, retriever: Retriever, history: History | None, refusal_threshold: float) -> None:
        self._retriever = retriever
        self._history = history
        self._refusal_threshold = refusal_threshold

    def find(
        self, asked: MaskedText, entitlement: Entitlement, k: int, history: Sequence[MaskedText], day: DayAsked
    ) -> PassagesFound:
        """The passages in force on the entitlement's day, or on the day before the revision that is asked about."""
        found = PassagesFound(self._retriever.search(asked, entitlement, k, history), entitlement.as_of)
        if self._history is None or day.today is None or day.is_fixed:
            return found
        if day.before_revision and found.retrieved.candidates:
            before = self._history.day_before_change(found.retrieved.candidates[0].passage_id)
            if before is None:
                return found
            earlier = replace(entitlement, as_of=before)
            return PassagesFound(self._retriever.search(asked, earlier, k, history), before)
        if entitlement.as_of < day.today and not self._is_enough(found.retrieved):
            return self._undated(asked, replace(entitlement, as_of=day.today), k, history) or found
        return found

    def _undated(
        self, asked: MaskedText, entitlement: Entitlement, k: int, history: Sequence[MaskedText]
    ) -> PassagesFound | None:
        """Today's passages of documents that do not say since when they apply; None if they do not carry an answer."""
        today = self._retriever.search(asked, entitlement, k, history)
        if self._history is None or not self._is_enough(today):
            return None
        undated = self._history.without_stated_day(passage.passage_id for passage in today.candidates)
        kept = tuple(passage for passage in today.candidates if passage.passage_id in undated)
        if not kept or kept[0] != today.candidates[0]:
            return None
        return PassagesFound(replace(today, candidates=kept), entitlement.as_of, is_undated=True)

    def _is_enough(self, retrieved: Retrieved) -> bool:
        return bool(retrieved.candidates) and retrieved.confidence >= self._refusal_threshold
