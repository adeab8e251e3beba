"""How sure a mean, or a difference of two means over the same items, is: bootstrap over items (Efron 1979).

Two subjects are compared item by item, on the same items in the same resample (Koehn 2004): an easy set is easy for
both. Knows no metric.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

RESAMPLES: Final = 2000
SURE_SHARE: Final = 0.95
_SEED: Final = 20261121


@dataclass(frozen=True)
class Interval:
    """A mean over `n` items and the bounds between which 95 % of its resamples lie."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def mean_interval(scores: Sequence[float]) -> Interval:
    """The mean of the scores. Raises ValueError for no scores at all."""
    if not scores:
        raise ValueError("nothing was scored")
    values = np.asarray(scores, dtype=float)
    means = values[_resamples(len(values))].mean(axis=1)
    low, high = np.quantile(means, [(1 - SURE_SHARE) / 2, (1 + SURE_SHARE) / 2])
    return Interval(round(float(values.mean()), 4), round(float(low), 4), round(float(high), 4), len(values))


def paired_interval(scores: Sequence[float], against: Sequence[float]) -> Interval:
    """The mean of `scores` minus `against`, item by item. Raises ValueError if the items are not the same number."""
    if len(scores) != len(against):
        raise ValueError("paired scores are of the same items")
    return mean_interval([own - other for own, other in zip(scores, against, strict=True)])


def _resamples(items: int) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
    return np.random.default_rng(_SEED).integers(0, items, size=(RESAMPLES, items))
