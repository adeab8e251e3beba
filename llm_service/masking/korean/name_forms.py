"""What Kiwi's morphemes say about a stretch of text being a Korean name: points for and against, nothing else."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from llm_service.masking.language import Morpheme

UNKNOWN_TO_KIWI, PARTLY_UNKNOWN, PROPER_NOUN, SHORT_PROPER_NOUN, KNOWN_WORD, OTHER_WORD = 2.5, 1.5, 2.5, 1.5, -2.5, -3.0
SPLIT_INTO_SYLLABLES, HOLDS_A_WORD, CUTS_A_WORD, HOLDS_A_VERB = 0.5, -0.5, -1.0, -1.0
WORD_AND_PARTICLE, LISTED_WORD_AND_PARTICLE, WORD_AND_NOUN_ENDING = -4.0, -1.5, -3.0

PLACE_ENDING = re.compile(r"(?:시|군|구|동|읍|면|리|도|역|산|강|섬|항|로|국|주)$")
_NOUN_ENDINGS = "율률금인자액권료비식법점증서환품범일형론기의"
_PARTICLE_AFTER_CONSONANT = {"은", "이", "을", "과", "으로"}


@dataclass(frozen=True, slots=True)
class Stretch:
    """start..given_start is the surname, given_start..end the given name, run_start..run_end the Hangul run around
    them.
    """

    run_start: int
    start: int
    given_start: int
    end: int
    run_end: int


def form_points(text: str, stretch: Stretch, inside: Sequence[Morpheme], *, cued: bool, listed: bool) -> float:
    """Points for the stretch. `cued`: a label or honorific stands beside it; `listed`: its given name is a listed
    one.
    """
    if not inside:
        return 0.0
    first, last = inside[0], inside[-1]
    glued = stretch.start > stretch.run_start
    if glued and (first.tag[0] in "JE" or first.tag in ("XSV", "XSA", "XSN", "VCP", "VCN")):
        return OTHER_WORD
    if first.start <= stretch.start and first.end >= stretch.end:
        return _whole_word_points(text, stretch, first, cued=cued)
    if last.tag[0] in "JEX" and stretch.end - stretch.start == 2:
        return OTHER_WORD
    if first.start == stretch.start and not first.known and first.tag in ("NNP", "NNG"):
        return PARTLY_UNKNOWN
    return _parts_points(text, stretch, inside, cued=cued, listed=listed)


def inside_of(morphemes: Sequence[Morpheme], starts: Sequence[int], start: int, end: int) -> list[Morpheme]:
    """The morphemes that overlap start..end; `starts` are the starts of all of them."""
    first = bisect_left(starts, start)
    while first > 0 and morphemes[first - 1].end > start:
        first -= 1
    inside = []
    for index in range(first, len(morphemes)):
        if morphemes[index].start >= end:
            break
        inside.append(morphemes[index])
    return inside


def _whole_word_points(text: str, stretch: Stretch, word: Morpheme, *, cued: bool) -> float:
    if word.tag not in ("NNP", "NNG"):
        return OTHER_WORD
    if not word.known:
        return UNKNOWN_TO_KIWI
    if word.end > stretch.end or word.start < stretch.start:
        return OTHER_WORD
    if word.tag == "NNG":
        return KNOWN_WORD
    if PLACE_ENDING.search(text[stretch.start : stretch.end]) and not cued:
        return 0.0
    return PROPER_NOUN if stretch.end - stretch.start > 2 else SHORT_PROPER_NOUN


def _parts_points(text: str, stretch: Stretch, inside: Sequence[Morpheme], *, cued: bool, listed: bool) -> float:
    first, last = inside[0], inside[-1]
    parts = {(stretch.start, stretch.given_start)} | ({(stretch.given_start, stretch.end)} if listed else set())
    words = [m for m in inside if _is_word(m) and (m.start, m.end) not in parts]
    verbs = any(m.tag[0] == "V" or m.tag == "ETM" for m in inside)
    if not words and not verbs:
        return SPLIT_INTO_SYLLABLES
    if first in words and first.tag == "NNG" and first is not last:
        if last.tag[0] in "JEVX" and _particle_fits(text, last):
            return LISTED_WORD_AND_PARTICLE if listed else WORD_AND_PARTICLE
        if last.start == stretch.end - 1 and last.form[:1] in _NOUN_ENDINGS:
            return WORD_AND_NOUN_ENDING / 2 if cued or listed else WORD_AND_NOUN_ENDING
    cut = sum(m.start < stretch.start or m.end > stretch.end for m in words)
    against = HOLDS_A_WORD * len(words) + CUTS_A_WORD * cut + HOLDS_A_VERB * verbs
    return against / 2 if cued else against


def _is_word(morpheme: Morpheme) -> bool:
    return morpheme.known and morpheme.end - morpheme.start >= 2 and morpheme.tag[0] in "NVMX"


def _particle_fits(text: str, particle: Morpheme) -> bool:
    """은, 이, 을, 과 stand behind a consonant only: 신예은 is no 신예 with a particle."""
    before = text[particle.start - 1 : particle.start]
    ends_in_vowel = "가" <= before <= "힣" and (ord(before) - ord("가")) % 28 == 0
    return not (ends_in_vowel and particle.form in _PARTICLE_AFTER_CONSONANT and particle.tag[0] == "J")
