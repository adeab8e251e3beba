"""Korean names of persons, customers and staff alike.

A candidate begins with a listed surname and has two or three syllables (three or four behind a two-syllable
surname). It collects points for what Kiwi makes of it (in no dictionary, proper noun, word), for its given name and
for its neighbours: a label or role before it, an honorific, title or belonging behind it, a self-introduction, a
number beside it. Recall is never complete (two syllables without a cue): nothing may rest on it alone.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from llm_service.masking.korean.name_forms import Stretch, form_points, inside_of
from llm_service.masking.korean.recogniser import Finding, KoreanRecogniser, finding
from llm_service.masking.language import Morpheme, Reading
from llm_service.masking.rules import NameFile

# Points; those of the morphemes are in name_forms.py. All were set on the texts of benchmarks/pii and on Korean prose.
ENOUGH = 3.0
LISTED_GIVEN_NAME, WORD_NAME, AMBIGUOUS_WORD_NAME = 3.0, 2.5, 1.0
NAME_SYLLABLES, ONE_NAME_SYLLABLE, NO_NAME_SYLLABLE = 1.5, -0.5, -2.0
LABEL, STRICT_LABEL, HONORIFIC, LABEL_AND_HONORIFIC, BELONGING = 2.0, 1.0, 2.0, 1.0, 1.0
INTRODUCTION, INTRODUCTION_WITHOUT_I = 2.0, 1.0
BESIDE_A_NUMBER, BESIDE_A_NAME, A_FIELD_OF_ITS_OWN, STANDS_FREE = 1.5, 1.0, 0.5, 0.5
TWO_SYLLABLES, TWO_SYLLABLES_ALONE, BEFORE_A_PRODUCT = -1.0, -1.5, -2.5

LONGEST_WORD_CHARACTERS = 12
_RUN = re.compile(r"[가-힣]{2,}")
_PARTICLE = (
    r"(?:이라고요|이라고|라고|이라는|라는|이란|이라서|라서|입니다만|입니다|이에요|예요|이예요|에요|이고요|이고|고요"
    r"|인데요|인데|이며|며|이나|이요|요|이야|야|이죠|죠|이었|였|임|이구요|이구|에게서|에게|에서|에|께서는|께서|께"
    r"|한테서|한테|이랑|랑|하고|까지|부터|처럼|보다|으로|로|은|는|이가|이는|이를|이도|이의|이|가|을|를|의|와|과|도|만"
    r"|외|및|측|앞|네|아|인지|인가요|인가|맞|건|별|본인|님|씨)"
)
_PARTICLES = re.compile(rf"{_PARTICLE}{{1,3}}(?![가-힣])|(?:입니다|인데|이에요|예요|이라고|이고|이며|님|씨)")
INTRODUCTION_BEFORE = re.compile(r"(?:^|[^가-힣])(?:저는|저|제가|나는|나|내가|전|난|여기는|여기|본인은)\s{0,2}$")
INTRODUCTION_BEHIND = re.compile(r"(?:이?라고|입니다|인데|이에요|예요|이고|이며|이요|임)")
_SENTENCE_START = re.compile(r"(?:^|하세요[.!,]?|니다[.!,]?|[.!?\n])\s?$")
_NUMBER_BEHIND = re.compile(
    r"\s?[(,/:|\-\[]?\s?(?:[0-9(+][0-9() -]{5}|(?:19|20)?[0-9]{2}\s?[년.]\s?[01]?[0-9]\s?[월.])"
)
_NUMBER_BEFORE = re.compile(r"[0-9]{4}[)]?[ /,]{1,2}$")
_SEPARATOR = r"[ .·ㆍ_*/,-]{1,2}|\n"
_SPACED_NAME = re.compile(rf"(?<![가-힣])[가-힣](?P<gap>{_SEPARATOR})[가-힣](?P=gap)[가-힣](?:(?P=gap)[가-힣])?")
_BEHIND = re.compile(r"[가-힣]{0,6}")
_SURNAME_APART = re.compile(r"(?<![가-힣])(?P<surname>[가-힣]{1,2})[ \n](?P<given>[가-힣]{2})(?P<behind>[가-힣]{0,6})")
_NUMERAL = re.compile(r"[일이삼사오육칠팔구십백천만억조영공]+")
_FIELD_BEFORE = re.compile(r"(?:^|[:/|,(\[\n]\s?)$")
_FIELD_BEHIND = re.compile(r"\s?[/|,()\n]|$")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stretch of the base view that may be a name, and its points."""

    start: int
    end: int
    points: float


class PersonRecogniser(KoreanRecogniser):
    TYPES = ("PERSON",)

    def __init__(self, names: NameFile, organisations: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self._names = names
        self._not_persons = names.not_persons | organisations
        short = {label for label in names.labels if len(label) == 1}
        long = names.labels - short
        self._label_before = re.compile(
            rf"(?:{any_of(long)}|(?<![가-힣])(?:{any_of(short)}))"
            r"(?:님께서는|님께서|님은|님이|님|은|는|이|가|의|을|를|인|에게|께)?\s{0,2}(?:[:=\-/(\[\"'·,>|]\s{0,2}){0,2}$"
        )
        self._glued_label = re.compile(rf"(?:{any_of(long)})(?:님|은|는|이|가)?$")
        self._strict_label_before = re.compile(
            rf"(?:{any_of(names.strict_labels)})(?:은|는|이|가)?\s{{0,2}}[:=\-/(]?\s{{0,2}}$"
        )
        self._honorific_behind = re.compile(rf"\s?(?:{any_of(names.honorifics | names.titles)})")
        self._belonging_behind = re.compile(rf"(?:의\s?|\s|)(?:{any_of(names.belongings)})")
        self._product_behind = re.compile(rf"\s?(?:{any_of(names.products)})(?!장)")

    def find(self, reading: Reading) -> Iterator[Finding]:
        view = reading.base
        if not reading.has_hangul:
            return
        candidates = [*self._whole(reading), *self._broken_up(view.text)]
        for candidate in _best(_beside_each_other(candidates, view.text)):
            yield finding("PERSON", view, candidate.start, candidate.end, _score(candidate.points))

    # --- Hangul names in one piece

    def _whole(self, reading: Reading) -> Iterator[Candidate]:
        text, morphemes = reading.base.text, reading.morphemes
        starts = [morpheme.start for morpheme in morphemes]
        after_particle = {m.end for m in morphemes if m.tag[0] == "J" or m.tag in ("EC", "ETM")}
        for run in _RUN.finditer(text):
            for start in range(run.start(), run.end() - 1):
                lengths = self._lengths(text, start)
                if not lengths or (
                    start > run.start() and not self._may_start_inside(text, start, run.start(), after_particle)
                ):
                    continue
                for end in (start + length for length in lengths if start + length <= run.end()):
                    surname = self._surname_length(text[start:end])
                    stretch = Stretch(run.start(), start, start + surname, end, run.end())
                    yield Candidate(start, end, self._points(text, stretch, inside_of(morphemes, starts, start, end)))

    def _lengths(self, text: str, start: int) -> tuple[int, ...]:
        """Lengths to try for a name that starts here, none if no surname does."""
        two = text[start : start + 2] in self._names.surnames.two_syllables
        one = text[start] in self._names.surnames.one_syllable
        return ((4, 3) if two else ()) + ((3, 2) if one and not two else ((2,) if one else ()))

    def _may_start_inside(self, text: str, start: int, run_start: int, after_particle: set[int]) -> bool:
        return start in after_particle or self._glued_label.search(text[max(run_start, start - 12) : start]) is not None

    def _points(self, text: str, stretch: Stretch, inside: Sequence[Morpheme]) -> float:
        start, end = stretch.start, stretch.end
        behind = text[end : end + 12]
        honorific = self._honorific_behind.match(behind) is not None
        if self._is_no_name(text, stretch) or not (honorific or self._may_end(stretch, behind)):
            return 0.0
        head = text[max(0, start - 16) : start]
        label = self._label_before.search(head) is not None
        number = bool(_NUMBER_BEHIND.match(behind) or _NUMBER_BEFORE.search(head))
        given = text[stretch.given_start : end]
        listed = given in self._names.given_names or given in self._names.word_names
        points = STANDS_FREE + form_points(text, stretch, inside, cued=label or honorific, listed=listed)
        points += self._given_points(text[start : stretch.given_start], text[stretch.given_start : end], behind)
        points += LABEL * label + HONORIFIC * honorific + LABEL_AND_HONORIFIC * (label and honorific)
        points += BESIDE_A_NUMBER * number + self._weaker_cues(head, behind, label=label, honorific=honorific)
        if end - start == 2:
            introduced = INTRODUCTION_BEFORE.search(head[-8:]) or self._introduces_itself(head, behind)
            points += TWO_SYLLABLES if label or honorific or number or introduced else TWO_SYLLABLES_ALONE
        return points

    def _is_no_name(self, text: str, stretch: Stretch) -> bool:
        value = text[stretch.start : stretch.end]
        rest_of_run = text[stretch.start : min(stretch.run_end, stretch.start + LONGEST_WORD_CHARACTERS)]
        return value in self._not_persons or rest_of_run in self._not_persons or bool(_NUMERAL.fullmatch(value))

    def _may_end(self, stretch: Stretch, behind: str) -> bool:
        """Whether what follows in the same run of Hangul can follow a name."""
        return stretch.end == stretch.run_end or bool(_PARTICLES.match(behind) or self._belonging_behind.match(behind))

    def _weaker_cues(self, head: str, behind: str, *, label: bool, honorific: bool) -> float:
        points = 0.0
        if not honorific and self._belonging_behind.match(behind):
            points += BELONGING
        if INTRODUCTION_BEFORE.search(head[-8:]):
            points += INTRODUCTION
        elif self._introduces_itself(head, behind):
            points += INTRODUCTION_WITHOUT_I
        if _FIELD_BEFORE.search(head) and _FIELD_BEHIND.match(behind):
            points += A_FIELD_OF_ITS_OWN
        if label and self._strict_label_before.search(head):
            points += STRICT_LABEL
        return points

    def _introduces_itself(self, head: str, behind: str) -> bool:
        """A sentence that consists of a name and a copula: 안녕하세요, 김율입니다."""
        return bool(_SENTENCE_START.search(head[-8:]) and INTRODUCTION_BEHIND.match(behind))

    def _surname_length(self, value: str) -> int:
        return 2 if len(value) > 2 and value[:2] in self._names.surnames.two_syllables else 1

    def _given_points(self, surname: str, given: str, behind: str) -> float:
        names = self._names
        if given in names.word_names:
            if self._product_behind.match(behind):
                return BEFORE_A_PRODUCT
            return AMBIGUOUS_WORD_NAME if surname in names.surnames.also_words else WORD_NAME
        if len(given) == 1:
            return 1.0 if given in names.given_names else (0.0 if given in names.given_syllables.last else -1.0)
        if given in names.given_names:
            return LISTED_GIVEN_NAME
        good = (given[0] in names.given_syllables.first) + (given[1] in names.given_syllables.last)
        return (NO_NAME_SYLLABLE, ONE_NAME_SYLLABLE, NAME_SYLLABLES)[good] + (0.5 if len(surname) == 2 else 0.0)

    # --- names broken up

    def _broken_up(self, text: str) -> Iterator[Candidate]:
        """Names with a separator between all syllables (김 민 지) or behind the surname (김 민지)."""
        for match in _SPACED_NAME.finditer(text):
            if candidate := self._spaced(text, match):
                yield candidate
        for match in _SURNAME_APART.finditer(text):
            surnames = self._names.surnames
            if match["surname"] in surnames.one_syllable or match["surname"] in surnames.two_syllables:
                cued = self._is_cued(text, match.start(), match.end("given"), match["behind"])
                if cued and match["given"] in self._names.given_names:
                    yield Candidate(match.start(), match.end("given"), ENOUGH)

    def _spaced(self, text: str, match: re.Match[str]) -> Candidate | None:
        names, step = self._names, 1 + len(match["gap"])
        syllables = match.group()[::step]
        long_surname = len(syllables) == 4 and syllables[:2] in names.surnames.two_syllables
        if not long_surname and syllables[0] not in names.surnames.one_syllable:
            return None
        count = 4 if long_surname else 3
        given, end = syllables[count - 2 : count], match.start() + (count - 1) * step + 1
        behind = _BEHIND.match(text, end)
        rest = behind.group() if behind else ""
        likely = given[0] in names.given_syllables.first and given[1] in names.given_syllables.last
        cued = self._is_cued(text, match.start(), end, rest)
        if (likely and cued) or (given in names.given_names and _ends_well(rest)):
            return Candidate(match.start(), end, ENOUGH + cued)
        return None

    def _is_cued(self, text: str, start: int, end: int, behind: str) -> bool:
        head = text[max(0, start - 16) : start]
        if not _ends_well(behind) and not self._honorific_behind.match(behind):
            return False
        return bool(
            self._label_before.search(head)
            or INTRODUCTION_BEFORE.search(head)
            or self._honorific_behind.match(text[end : end + 8])
        )


def any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def _ends_well(behind: str) -> bool:
    return not behind or _PARTICLES.match(behind) is not None


def _beside_each_other(candidates: Sequence[Candidate], text: str) -> Iterator[Candidate]:
    """Candidates that are enough, and those that stand in one list with one that is."""
    certain = [candidate for candidate in candidates if candidate.points >= ENOUGH]
    yield from certain
    ends = {candidate.end for candidate in certain} | {0}
    starts = {candidate.start for candidate in certain}
    for candidate in candidates:
        if ENOUGH - BESIDE_A_NAME <= candidate.points < ENOUGH:
            left = re.search(
                r"[가-힣](?:,\s?|/|·|、|\s?&\s?|와\s|과\s|랑\s|하고\s|,\s?[0-9]\)\s?|\s[0-9]\)\s?)$",
                text[max(0, candidate.start - 6) : candidate.start],
            )
            right = re.match(
                r"(?:,\s?|/|·|、|\s?&\s?|와\s|과\s|랑\s|하고\s|\s[0-9]\)\s?)[가-힣]",
                text[candidate.end : candidate.end + 6],
            )
            if (left and candidate.start - len(left.group()) + 1 in ends) or (
                right and candidate.end + len(right.group()) - 1 in starts
            ):
                yield replace(candidate, points=ENOUGH)


def _best(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """The candidates with most points that do not overlap; of equals the longer."""
    taken: set[int] = set()
    for candidate in sorted(candidates, key=lambda c: (-c.points, c.start - c.end, c.start)):
        if taken.isdisjoint(range(candidate.start, candidate.end)):
            taken.update(range(candidate.start, candidate.end))
            yield candidate


def _score(points: float) -> float:
    return min(0.95, 0.5 + (points - ENOUGH) * 0.1)
