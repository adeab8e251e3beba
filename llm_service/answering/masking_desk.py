"""Masking off the event loop and within a time limit: what cannot be masked in time is declined. Knows no rules."""

import asyncio
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from llm_service.errors import HaechiError, MaskingUnavailable
from llm_service.masked import MaskedText, RawText
from llm_service.masking.masker import Masked, Masker
from llm_service.masking.placeholders import PLACEHOLDER, PlaceholderNames
from llm_service.metrics import Metrics

THREADS: Final = 4
PROBE_TEXT: Final = RawText("010-1234-5678")


@dataclass(frozen=True)
class TimedMasking:
    """A masked text and how long it took, waiting included."""

    masked: Masked
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

    async def mask(self, raw: RawText, earlier: Iterable[MaskedText] = ()) -> TimedMasking:
        """The text masked; placeholders are numbered on from those in the conversation's `earlier` texts.

        Raises `MaskingUnavailable` whenever masking fails or takes too long, and `TooLarge` (text_too_long).
        """
        begun = time.perf_counter()
        masked = await self._within_the_limit(raw, _numbering_after(earlier))
        self._metrics.masked(masked.counts)
        milliseconds = (time.perf_counter() - begun) * 1000
        self._metrics.stages({"mask": milliseconds})
        return TimedMasking(masked, milliseconds)

    async def ping(self) -> None:
        """Raises `MaskingUnavailable` unless a probe is masked in time."""
        masked = await self._within_the_limit(PROBE_TEXT, PlaceholderNames())
        if not masked.counts:
            raise MaskingUnavailable("the masker let its probe pass")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _within_the_limit(self, raw: RawText, names: PlaceholderNames) -> Masked:
        if not self._warm:
            raise MaskingUnavailable("the masker is still loading")
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._masker.mask, raw, names)
        try:
            return await asyncio.wait_for(work, self._timeout_seconds)
        except TimeoutError:
            raise MaskingUnavailable(f"masking took longer than {self._timeout_seconds} s") from None
        except HaechiError:
            raise
        # Whatever else a masker raises, its message could quote the text: only the kind of failure is told.
        except Exception as error:  # noqa: BLE001
            raise MaskingUnavailable(f"the masker failed with {type(error).__name__}") from None


def _numbering_after(earlier: Iterable[MaskedText]) -> PlaceholderNames:
    """Numbering in which no number of the conversation is given to a second value."""
    used = {match[0] for text in earlier for match in PLACEHOLDER.finditer(text)}
    return PlaceholderNames({("earlier", placeholder): placeholder for placeholder in sorted(used)})
