"""Turns an utterance into counted character n-grams, the same way for training and for serving.

Standard library only. It knows nothing of intents, weights or Rasa.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

SYLLABLE_LENGTHS = range(1, 5)
JAMO_LENGTHS = range(3, 7)
# An utterance is short; beyond this a paste is a paste, and the first part decides.
MAX_CHARACTERS = 600

_PLACEHOLDER = re.compile(r"<[a-z_]+_\d+>")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_REPEATED = re.compile(r"(.)\1{2,}")


def normalise(text: str) -> str:
    """Fold width and case, make every masked value one word and every number one digit, shorten ㅋㅋㅋㅋ."""
    folded = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).lower()
    folded = _PLACEHOLDER.sub(" maskedvalue ", folded)
    folded = _NUMBER.sub("0", folded)
    return _REPEATED.sub(r"\1\1", folded)


def count_syllable_ngrams(normalised: str) -> Counter[str]:
    """N-grams of 1 to 4 characters inside words: whole syllables, so endings and particles weigh little."""
    return Counter(_ngrams(normalised, SYLLABLE_LENGTHS))


def count_jamo_ngrams(normalised: str) -> Counter[str]:
    """N-grams of 3 to 6 letters of the decomposed syllables: a typing error spoils few of them."""
    return Counter(_ngrams(unicodedata.normalize("NFD", normalised), JAMO_LENGTHS))


def _ngrams(text: str, lengths: range) -> Iterator[str]:
    for word in text.split():
        padded = f" {word} "
        for length in lengths:
            if len(padded) <= length:
                yield padded
                break
            for start in range(len(padded) - length + 1):
                yield padded[start : start + length]
