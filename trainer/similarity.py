"""Finds texts that are nearly the same: MinHash proposes pairs, their exact similarity decides. Knows no dataset.

Broder, "On the resemblance and containment of documents" (1997); datasketch's `MinHashLSH`.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from datasketch import MinHash, MinHashLSH

SHINGLE_CHARACTERS: Final = 3
PERMUTATIONS: Final = 128
SEED: Final = 1
# LSH misses pairs near its threshold: it is asked for somewhat less similar ones than are wanted.
PROPOSAL_MARGIN: Final = 0.15
LEAST_THRESHOLD: Final = 0.1

Shingles = frozenset[str]


def shingles_of(text: str) -> Shingles:
    """Runs of three characters of the text without blanks, signs and case: Korean words carry their particles."""
    folded = re.sub(r"\W+", "", unicodedata.normalize("NFKC", text).casefold())
    if len(folded) <= SHINGLE_CHARACTERS:
        return frozenset((folded,))
    return frozenset(folded[at : at + SHINGLE_CHARACTERS] for at in range(len(folded) - SHINGLE_CHARACTERS + 1))


def jaccard(one: Shingles, other: Shingles) -> float:
    """How much of both is in both, 0 to 1."""
    return len(one & other) / len(one | other)


def duplicates_among(texts: Sequence[Shingles], threshold: float) -> set[int]:
    """The places of texts that are nearly the same as one before them that is kept."""
    proposals = MinHashLSH(threshold=max(LEAST_THRESHOLD, threshold - PROPOSAL_MARGIN), num_perm=PERMUTATIONS)
    duplicates: set[int] = set()
    for place, shingles in enumerate(texts):
        hashed = _minhash(shingles)
        near = proposals.query(hashed)
        if any(jaccard(shingles, texts[other]) >= threshold for other in near):
            duplicates.add(place)
        else:
            proposals.insert(place, hashed)
    return duplicates


def is_near_any(text: Shingles, others: Sequence[Shingles], threshold: float) -> bool:
    """Whether a text is nearly the same as one of the others, or holds one of them whole."""
    return any(jaccard(text, other) >= threshold or other <= text for other in others)


def _minhash(shingles: Shingles) -> MinHash:
    hashed = MinHash(num_perm=PERMUTATIONS, seed=SEED)
    hashed.update_batch([shingle.encode() for shingle in sorted(shingles)])
    return hashed
