"""Masking off the event loop and within a time limit: what cannot be masked in time is declined. Knows no rules."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from llm_service.errors import HaechiError, MaskingUnavailable
from llm_service.masked import RawText
from llm_service.masking.masker import Masked, Masker, with_placeholders
from llm_service.masking.placeholders import PlaceholderNames
from llm_service.masking.vault import Detected
from llm_service.metrics import Metrics

Worked = TypeVar("Worked")

THREADS: Final = 4
PROBE_TEXT: Final = RawText("010-1234-5678")


@dataclass(frozen=True)
class TimedMasking:
    """A masked text and how long it took, waiting included."""

    masked: Masked
    milliseconds: float


@dataclass(frozen=True)
class TimedDetection:
    """A text with its values found, to be named in its conversation, and how long that took, waiting included."""

    detected: Detected
    milliseconds: float


class MaskingDesk:
    """The masker as the service's requests use it. `warm_up` first; until then everything is declined."""

    def __init__(self, masker: Masker, metrics: Metrics, timeout_seconds: float) -> None:
        self._masker = masker
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="masking")
        self._warm = False

    async def warm_up(self) -> None:
        """Load what masking needs, however long it takes. Raises `MaskingUnavailable` if it cannot work here."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._masker.warm_up)
        self._warm = True

    async def mask(self, raw: RawText) -> TimedMasking:
        """A text on its own masked: nothing of it is kept, and its placeholders belong to no conversation.

        Raises `MaskingUnavailable` whenever masking fails or takes too long, and `TooLarge` (text_too_long).
        """
        begun = time.perf_counter()
        masked = await self._within_the_limit(lambda: self._masker.mask(raw))
        return TimedMasking(masked, self._counted(masked.counts, begun))

    async def detect(self, raw: RawText, *, is_reply: bool = False) -> TimedDetection:
        """The values of a conversation's text, which `Vault.mask` then names; a reply keeps placeholders it repeats.

        Raises as `mask` does.
        """
        begun = time.perf_counter()
        find = self._masker.detect_in_reply if is_reply else self._masker.detect
        entities = await self._within_the_limit(lambda: find(raw))
        counts = Counter(entity.type for entity in entities)
        return TimedDetection(Detected(raw, entities, is_reply), self._counted(counts, begun))

    async def mask_edit(self, raw: RawText, kept: frozenset[str]) -> TimedMasking:
        """A masked text that somebody edited: the placeholders it had (`kept`) stay, new values get new numbers.

        Raises as `mask` does.
        """
        begun = time.perf_counter()
        entities = await self._within_the_limit(lambda: self._masker.detect_in_reply(raw))
        names = PlaceholderNames({("kept", placeholder): placeholder for placeholder in kept})
        masked = with_placeholders(raw, entities, names, kept)
        return TimedMasking(masked, self._counted(masked.counts, begun))

    async def ping(self) -> None:
        """Raises `MaskingUnavailable` unless a probe is masked in time."""
        masked = await self._within_the_limit(lambda: self._masker.mask(PROBE_TEXT))
        if not masked.counts:
            raise MaskingUnavailable("the masker let its probe pass")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _counted(self, counts: Mapping[str, int], begun: float) -> float:
        milliseconds = (time.perf_counter() - begun) * 1000
        self._metrics.masked(counts)
        self._metrics.stages({"mask": milliseconds})
        return milliseconds

    async def _within_the_limit(self, work: Callable[[], Worked]) -> Worked:
        if not self._warm:
            raise MaskingUnavailable("the masker is still loading")
        working = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.wait_for(working, self._timeout_seconds)
        except TimeoutError:
            raise MaskingUnavailable(f"masking took longer than {self._timeout_seconds} s") from None
        except HaechiError:
            raise
        # Whatever else a masker raises, its message could quote the text: only the kind of failure is told.
        except Exception as error:  # noqa: BLE001
            raise MaskingUnavailable(f"the masker failed with {type(error).__name__}") from None
