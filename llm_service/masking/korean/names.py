"""Names of persons, customers and staff alike: Hangul by surname, given-name syllables, morphemes and neighbours; Latin behind a label.

A candidate begins with a listed surname and has two or three syllables (three or four behind a two-syllable surname). It is
scored by what Kiwi makes of it, by its syllables and by labels, honorifics and titles beside it. Recall is never complete
(two-syllable and foreign names stay weak): nothing may rest on it alone.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

from llm_service.masking.korean.recogniser import Finding, KoreanRecogniser, finding
from llm_service.masking.language import Morpheme, Reading
from llm_service.masking.rules import NameFile

MIN_SCORE = 0.5
_RUN = re.compile(r"[가-힣]{2,}")
_PARTICLE = re.compile(
    r"(?:은|는|이|가|을|를|의|에게서|에게|에서|에|께서|께|한테서|한테|와|과|랑|이랑|하고|도|만|로|으로|보다|처럼|까지|부터|이라고|라고|이라는|라는|이란|이라|라|입니다|이에요|예요|이예요|이고|이고요|고요|인데|인데요|이며|이나|님|씨|이요|요|이야|야|이죠|죠|이었|였|임|이구|외|및|측|앞|네|아)"
)


@dataclass(frozen=True, slots=True)
class Candidate:
    start: int
    end: int
    score: float


class PersonRecogniser(KoreanRecogniser):
    TYPES = ("PERSON",)

    def __init__(self, names: NameFile) -> None:
        super().__init__()
        self._names = names
        alternatives = "|".join(sorted(map(re.escape, names.labels), key=len, reverse=True))
        self._label_before = re.compile(
            rf"(?:{alternatives})(?:은|는|이|가|의|을|를|님|인)?\s*[:：=\-/(\[\"'·,]*\s*(?:은|는|이|가)?\s*$"
        )
        behind = "|".join(sorted(map(re.escape, names.honorifics | names.titles), key=len, reverse=True))
        self._honorific_after = re.compile(rf"\s?(?:{behind})(?![가-힣]{{0,1}}(?:율|액|료|서|증))")
        latin = "|".join(sorted(map(re.escape, names.latin_labels), key=len, reverse=True))
        self._latin = re.compile(
            rf"(?:{latin})(?:님|은|는|이|가|:|\s|=|\(|-){{1,4}}(?P<name>[A-Z][A-Za-z'-]{{1,15}}(?:[ ,.]{{1,2}}[A-Z][A-Za-z'-]{{0,15}}){{1,3}})"
        )

    def find(self, reading: Reading) -> Iterator[Finding]:
        for match in self._latin.finditer(reading.base.text):
            yield finding("PERSON", reading.base, match.start("name"), match.end("name"), 0.8)
        if not reading.has_hangul:
            return
        for candidate in _best(self._candidates(reading)):
            yield finding("PERSON", reading.base, candidate.start, candidate.end, min(1.0, candidate.score))

    def _candidates(self, reading: Reading) -> Iterator[Candidate]:
        morphemes = reading.morphemes
        boundaries = {m.start for m in morphemes} | {m.end for m in morphemes}
        starts = [m.start for m in morphemes]
        text = reading.base.text
        for run in _RUN.finditer(text):
            for start in range(run.start(), run.end() - 1):
                if start != run.start() and start not in boundaries:
                    continue
                for length in self._lengths(text, start):
                    end = start + length
                    if end > run.end():
                        continue
                    score = self._score(text, start, end, run.end(), morphemes, starts, boundaries)
                    if score >= MIN_SCORE:
                        yield Candidate(start, end, score)

    def _lengths(self, text: str, start: int) -> tuple[int, ...]:
        if text[start : start + 2] in self._names.surnames.two_syllables:
            return (4, 3)
        if text[start] in self._names.surnames.one_syllable:
            return (3, 2)
        return ()

    def _score(
        self,
        text: str,
        start: int,
        end: int,
        run_end: int,
        morphemes: tuple[Morpheme, ...],
        starts: list[int],
        boundaries: set[int],
    ) -> float:
        value = text[start:end]
        if value in self._names.not_persons or text[start:run_end] in self._names.not_persons:
            return 0.0
        surname_length = 2 if value[:2] in self._names.surnames.two_syllables and len(value) > 2 else 1
        given = value[surname_length:]
        behind = text[end : end + 8]
        honorific = self._honorific_after.match(behind) is not None
        if end < run_end and not honorific and not _PARTICLE.match(behind):
            return 0.0
        label = self._label_before.search(text[max(0, start - 16) : start]) is not None
        first = bisect_left(starts, start)
        inside = []
        index = first
        while index < len(morphemes) and morphemes[index].start < end:
            inside.append(morphemes[index])
            index += 1
        score = self._form_score(value, given, start, end, inside, boundaries)
        score += 0.3 * honorific + 0.3 * label
        if len(value) == 2:
            score -= 0.25
        return score

    def _form_score(
        self, value: str, given: str, start: int, end: int, inside: list[Morpheme], boundaries: set[int]
    ) -> float:
        syllables = self._names.given_syllables
        if given in self._names.word_names:
            likeness = 0.3
        elif len(given) == 2:
            likeness = 0.15 * (given[0] in syllables.first) + 0.15 * (given[1] in syllables.last)
        else:
            likeness = 0.2 * (given in syllables.last)
        if not inside or inside[0].start != start:
            return likeness - 0.1
        whole = len(inside) == 1 and inside[0].end == end
        if whole and inside[0].tag == "NNP":
            return likeness + 0.25
        if whole and inside[0].tag == "NNG" and inside[0].known:
            return likeness - 0.3
        if inside[-1].end > end:
            swallowed = not inside[-1].known and inside[-1].tag in ("NNP", "NNG")
            return likeness + (0.2 if swallowed else -0.2)
        single = sum(m.end - m.start == 1 for m in inside)
        nouns = all(m.tag[0] == "N" or m.tag in ("MM", "XSN", "IC") for m in inside)
        if nouns and single == len(inside):
            return likeness + 0.2
        return likeness + (0.05 if nouns else -0.2)


def _best(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """The highest-scoring candidates that do not overlap; of equals the longer."""
    taken: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.score, -(c.end - c.start), c.start)):
        if all(candidate.end <= other.start or candidate.start >= other.end for other in taken):
            taken.append(candidate)
    yield from taken
