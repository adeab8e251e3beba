"""How often terms occur, as two arrays: small, quick to add up, and written to disk as they are.

Knows neither documents nor who may see them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_COUNT_BITS = np.uint64(32)
_COUNT_MASK = np.uint64(0xFFFFFFFF)


class TermCounts(NamedTuple):
    """Distinct term ids, ascending, and a count of each that is not zero."""

    terms: NDArray[np.uint32]
    counts: NDArray[np.int32]

    def negative(self) -> "TermCounts":
        """The same with the sign turned: added up, it takes away."""
        return TermCounts(self.terms, -self.counts)

    def of(self, term: int) -> int:
        """The count of one term, 0 if it is not counted."""
        # Searched as what the array holds: for a Python integer numpy would first copy the array to a wider type.
        position = int(self.terms.searchsorted(np.uint32(term)))
        if position == len(self.terms) or self.terms[position] != term:
            return 0
        return int(self.counts[position])


NO_COUNTS = TermCounts(np.empty(0, np.uint32), np.empty(0, np.int32))


def counted(terms: Sequence[NDArray[np.uint32]]) -> TermCounts:
    """How many of these arrays hold each term; within one array each term stands once."""
    if not terms:
        return NO_COUNTS
    distinct, counts = np.unique(np.concatenate(terms), return_counts=True)
    return TermCounts(distinct, counts.astype(np.int32))


def added_up(parts: Sequence[TermCounts]) -> TermCounts:
    """The sum; terms whose counts cancel out are left out."""
    if len(parts) < 2:
        return parts[0] if parts else NO_COUNTS
    terms = np.concatenate([part.terms for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    # Term above, count below: sorting one array of 64 bits is several times as fast as sorting terms and carrying
    # counts along.
    packed = (terms.astype(np.uint64) << _COUNT_BITS) | counts.view(np.uint32)
    packed.sort()
    terms = (packed >> _COUNT_BITS).astype(np.uint32)
    counts = (packed & _COUNT_MASK).astype(np.uint32).view(np.int32)
    starts = np.flatnonzero(np.diff(terms, prepend=terms[:1] ^ np.uint32(1)))
    sums = np.add.reduceat(counts, starts) if len(starts) else counts
    kept = sums != 0
    return TermCounts(terms[starts][kept], sums[kept].astype(np.int32))
