"""Answers "which passages would you use?" without writing an answer: mask, retrieve, hand on. Keeps nothing."""

from collections.abc import Callable, Collection
from datetime import date
from functools import partial
from typing import Final

from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.passages_of_day import Retriever
from llm_service.answering.text_rules import require_question
from llm_service.answering.threads import Threads
from llm_service.client import Audience, SearchHit, SearchResult
from llm_service.masked import MaskedText, RawText
from llm_service.metrics import Metrics
from llm_service.retrieval.candidate import Candidate, Entitlement

PROBE: Final = MaskedText("예금자 보호 한도")


class SearchDesk:
    """Searches for a person of an audience and its groups.

    Below `refusal_threshold` the passages are said to carry no answer.
    """

    def __init__(
        self,
        masking: MaskingDesk,
        retriever: Retriever,
        threads: Threads,
        today: Callable[[], date],
        refusal_threshold: float,
        maximum_characters: int,
        metrics: Metrics,
    ) -> None:
        self._masking = masking
        self._retriever = retriever
        self._threads = threads
        self._today = today
        self._refusal_threshold = refusal_threshold
        self._maximum_characters = maximum_characters
        self._metrics = metrics

    async def search(
        self, raw: RawText, audience: Audience, k: int, as_of: date | None, groups: Collection[str] = ()
    ) -> SearchResult:
        """The best `k` passages. Raises what `require_question` raises, and `MaskingUnavailable`."""
        require_question(raw, self._maximum_characters)
        timed = await self._masking.mask(raw)
        entitlement = Entitlement(audience, as_of or self._today(), frozenset(groups))
        found = await self._threads(partial(self._retriever.search, timed.masked.text, entitlement, k, ()))
        self._metrics.searched_without(found.fallbacks)
        return SearchResult(
            results=[_hit(candidate) for candidate in found.candidates],
            refused=not found.candidates or found.confidence < self._refusal_threshold,
            timings={"mask": timed.milliseconds, **found.timings},
        )

    async def ping(self) -> None:
        """Raises what the retriever raises when its index cannot be searched."""
        entitlement = Entitlement("customer", self._today())
        await self._threads(partial(self._retriever.search, PROBE, entitlement, 1, ()))


def _hit(candidate: Candidate) -> SearchHit:
    return SearchHit(
        id=candidate.passage_id,
        document=candidate.document_path,
        article=candidate.article,
        page=candidate.page,
        label=candidate.label,
        text=candidate.text,
        score=candidate.score,
    )
