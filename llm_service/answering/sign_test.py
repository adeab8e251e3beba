"""The sign test: how often a split at least this uneven comes by chance. Knows no votes."""

import math


def sign_test(first: int, second: int) -> float:
    """Two-sided, exact; ties say nothing and are not counted (Dixon and Mood 1946)."""
    n, fewer = first + second, min(first, second)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(fewer + 1)) / 2**n) if n else 1.0
