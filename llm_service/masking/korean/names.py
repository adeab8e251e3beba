"""Names of persons, customers and staff alike.

Hangul names: a candidate begins with a listed surname and has two or three syllables (three or four behind a two-syllable
surname). It collects points for what Kiwi makes of it (in no dictionary, proper noun, word), for its given name and for
its neighbours: a label or role before it, an honorific, title or belonging behind it, a self-introduction, a number beside it.
Latin names count behind a label or with a Korean family name, foreign names in Hangul behind a label only. Recall is never
complete (two syllables without a cue, foreign names): nothing may rest on it alone.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from llm_service.masking.korean.recogniser import LIKELY, Finding, KoreanRecogniser, finding
from llm_service.masking.language import Morpheme, Reading
from llm_service.masking.rules import NameFile

# Points. A candidate needs ENOUGH; the figures were set on the evaluation sets of benchmarks/pii and on Korean prose.
ENOUGH = 3.0
UNKNOWN_TO_KIWI, PROPER_NOUN, KNOWN_WORD, OTHER_WORD = 2.5, 2.5, -2.5, -3.0
SPLIT_INTO_SYLLABLES, HOLDS_A_WORD, HOLDS_A_VERB, WORD_AND_ENDING = 0.5, -0.5, -1.0, -3.0
LISTED_GIVEN_NAME, WORD_NAME, AMBIGUOUS_WORD_NAME, NAME_SYLLABLES, ONE_NAME_SYLLABLE, NO_NAME_SYLLABLE = 3.0, 2.5, 1.0, 1.5, -0.5, -2.0
LABEL, STRICT_LABEL, HONORIFIC, LABEL_AND_HONORIFIC, BELONGING, INTRODUCTION = 2.0, 1.0, 2.0, 1.0, 1.0, 1.5
BESIDE_A_NUMBER, BESIDE_A_NAME, A_FIELD_OF_ITS_OWN = 1.5, 1.0, 0.5
STANDS_FREE, TWO_SYLLABLES, BEFORE_A_PRODUCT = 0.5, -1.0, -2.5

_RUN = re.compile(r"[가-힣]{2,}")
_PARTICLE = (
    r"(?:이라고요|이라고|라고|이라는|라는|이란|이라서|라서|입니다만|입니다|이에요|예요|이예요|에요|이고요|이고|고요|인데요|인데|이며|며|이나|이요|요|이야|야|이죠|죠|이었|였|임|이구요|이구"
    r"|에게서|에게|에서|에|께서는|께서|께|한테서|한테|이랑|랑|하고|까지|부터|처럼|보다|으로|로|은|는|이가|이는|이를|이도|이의|이|가|을|를|의|와|과|도|만|외|및|측|앞|네|아|인지|인가요|인가|맞|건|별|본인|님|씨)"
)
_PARTICLES = re.compile(rf"{_PARTICLE}{{1,3}}(?![가-힣])|(?:입니다|인데|이에요|예요|이라고|님|씨)")
_INTRODUCTION_BEFORE = re.compile(r"(?:^|[^가-힣])(?:저는|저|제가|나는|나|내가|전|난|여기는|여기|본인은)\s{0,2}$")
_INTRODUCTION_BEHIND = re.compile(r"(?:이?라고|입니다|인데|이에요|예요|이고|이며|이요|임)")
_NUMBER_BESIDE = re.compile(r"\s?[(,/:|\-\[]?\s?[0-9(+][0-9() -]{5}")
_SPACED_NAME = re.compile(
    r"(?<![가-힣])(?P<surname>[가-힣])(?P<gap>[ .·ㆍ_*/,-]{1,2}|\n)(?P<first>[가-힣])(?P<gap2>[ .·ㆍ_*/,-]{1,2}|\n)(?P<last>[가-힣])(?P<behind>[가-힣]{0,6})"
)
_SURNAME_APART = re.compile(r"(?<![가-힣])(?P<surname>[가-힣]{1,2})[ \n](?P<given>[가-힣]{2})(?P<behind>[가-힣]{0,6})")
_NUMERAL = re.compile(r"[일이삼사오육칠팔구십백천만억조영공]+")
_WORD_ENDING = "율률금인자액권료비식법점증서환품범일형론기"
_FIELD_BEFORE = re.compile(r"(?:^|[:/|,(\[\n]\s?)$")
_FIELD_BEHIND = re.compile(r"\s?[/|,()\n]|$")
_PLACE_ENDING = re.compile(r"(?:시|군|구|동|읍|면|리|도|역|산|강|섬|항|로|국|주)$")
_LATIN_SYLLABLE = r"(?:[bcdfghjkmnprstwy]{0,2}(?:yeo|yae|eo|eu|ae|ui|oo|ee|ou|wa|wo|we|wi|ya|ye|yo|yu|a|e|i|o|u|y)(?:ng|n|m|k|l|p|b|h|t|r)?)"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stretch of the base view that may be a name, and its points."""

    start: int
    end: int
    points: float


class PersonRecogniser(KoreanRecogniser):
    TYPES = ("PERSON",)

    def __init__(self, names: NameFile) -> None:
        super().__init__()
        self._names = names
        short = {label for label in names.labels if len(label) == 1}
        long = names.labels - short
        self._label_before = re.compile(
            rf"(?:{_any_of(long)}|(?<![가-힣])(?:{_any_of(short)}))(?:님께서는|님께서|님은|님이|님|은|는|이|가|의|을|를|인|에게|께)?\s{{0,2}}(?:[:=\-/(\[\"'·,>|]\s{{0,2}}){{0,2}}$"
        )
        self._strict_label_before = re.compile(rf"(?:{_any_of(names.strict_labels)})(?:은|는|이|가)?\s{{0,2}}[:=\-/(]?\s{{0,2}}$")
        self._honorific_behind = re.compile(rf"\s?(?:{_any_of(names.honorifics | names.titles)})")
        self._belonging_behind = re.compile(rf"(?:의\s?|\s|)(?:{_any_of(names.belongings)})")
        self._product_behind = re.compile(rf"\s?(?:{_any_of(names.products)})(?!장)")
        self._latin = _latin_names(names)

    def find(self, reading: Reading) -> Iterator[Finding]:
        view = reading.base
        for match in self._latin.finditer(view.text):
            group = match.lastgroup or "name"
            yield finding("PERSON", view, match.start(group), match.end(group), LIKELY)
        if not reading.has_hangul:
            return
        candidates = [*self._whole(reading), *self._foreign(reading), *self._broken_up(view.text)]
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
                if not lengths or (start > run.start() and not self._may_start_inside(text, start, run.start(), after_particle)):
                    continue
                for end in (start + length for length in lengths):
                    if end <= run.end() and (points := self._points(text, start, end, run.end(), _inside(morphemes, starts, start, end))):
                        yield Candidate(start, end, points)

    def _lengths(self, text: str, start: int) -> tuple[int, ...]:
        """Lengths to try for a name that starts here, none if no surname does."""
        two = text[start : start + 2] in self._names.surnames.two_syllables
        one = text[start] in self._names.surnames.one_syllable
        return ((4, 3) if two else ()) + ((3, 2) if one and not two else ((2,) if one else ()))

    def _may_start_inside(self, text: str, start: int, run_start: int, after_particle: set[int]) -> bool:
        return start in after_particle or self._label_before.search(text[run_start:start]) is not None

    def _points(self, text: str, start: int, end: int, run_end: int, inside: Sequence[Morpheme]) -> float:
        value, behind = text[start:end], text[end : end + 12]
        if value in self._names.not_persons or text[start:run_end] in self._names.not_persons or _NUMERAL.fullmatch(value):
            return 0.0
        honorific = self._honorific_behind.match(behind) is not None
        if end < run_end and not honorific and not _PARTICLES.match(behind) and not self._belonging_behind.match(behind):
            return 0.0
        label = self._label_before.search(text[max(0, start - 16) : start]) is not None
        cues = self._cue_points(text, start, behind, label, honorific)
        surname_length = self._surname_length(value)
        form = _form_points(text, (start, start + surname_length, end), inside, cued=label or honorific)
        return form + self._given_points(value[:surname_length], value[surname_length:], behind) + cues + STANDS_FREE + (TWO_SYLLABLES if len(value) == 2 else 0.0)

    def _cue_points(self, text: str, start: int, behind: str, label: bool, honorific: bool) -> float:
        points = LABEL * label + HONORIFIC * honorific + LABEL_AND_HONORIFIC * (label and honorific)
        if not honorific and self._belonging_behind.match(behind):
            points += BELONGING
        if _INTRODUCTION_BEFORE.search(text[max(0, start - 8) : start]):
            points += INTRODUCTION
        elif start == 0 and _INTRODUCTION_BEHIND.match(behind):
            points += A_FIELD_OF_ITS_OWN
        if _NUMBER_BESIDE.match(behind):
            points += BESIDE_A_NUMBER
        head = text[max(0, start - 16) : start]
        if _FIELD_BEFORE.search(head) and _FIELD_BEHIND.match(behind):
            points += A_FIELD_OF_ITS_OWN
        if label and self._strict_label_before.search(head):
            points += STRICT_LABEL
        return points

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

    # --- foreign names in Hangul, and names broken up

    def _foreign(self, reading: Reading) -> Iterator[Candidate]:
        """Words that Kiwi does not know, directly behind a label that is always followed by a name."""
        text = reading.base.text
        previous: Candidate | None = None
        for morpheme in reading.morphemes:
            length = morpheme.end - morpheme.start
            head = text[max(0, morpheme.start - 14) : morpheme.start]
            if morpheme.tag not in ("NNP", "NNG") or length < 2 or (morpheme.known and not self._could_be_foreign(morpheme, head)):
                continue
            introduced = _INTRODUCTION_BEFORE.search(head) and _INTRODUCTION_BEHIND.match(text, morpheme.end)
            addressed = re.match(r"\s?(?:님|씨)(?![가-힣]{2})", text[morpheme.end : morpheme.end + 6])
            follows = previous is not None and text[previous.end : morpheme.start] == " "
            if length >= 3 and (self._strict_label_before.search(head) or introduced or addressed) or follows:
                previous = Candidate(morpheme.start, morpheme.end, ENOUGH)
                yield previous

    def _could_be_foreign(self, morpheme: Morpheme, head: str) -> bool:
        """Kiwi knows many foreign names (제임스) and tags them as proper nouns, like places and companies."""
        if morpheme.tag != "NNP" or morpheme.end - morpheme.start < 3 or morpheme.form in self._names.not_persons:
            return False
        if _PLACE_ENDING.search(morpheme.form) or morpheme.form.endswith(tuple(self._names.not_person_endings)):
            return False
        return bool(_INTRODUCTION_BEFORE.search(head) or re.search(r"(?:성명|이름|성함|고객명)(?:은|는|이|가)?\s?:?\s?$", head))

    def _broken_up(self, text: str) -> Iterator[Candidate]:
        """Names with a separator between all syllables (김 민 지) or behind the surname (김 민지)."""
        names = self._names
        for match in _SPACED_NAME.finditer(text):
            if match["surname"] not in names.surnames.one_syllable or match["gap"].strip() != match["gap2"].strip():
                continue
            given = match["first"] + match["last"]
            cued = self._is_cued(text, match.start(), match.end("last"), match["behind"])
            listed = given in names.given_names
            likely = match["first"] in names.given_syllables.first and match["last"] in names.given_syllables.last
            if (cued and likely) or (listed and _ends_well(match["behind"])):
                yield Candidate(match.start(), match.end("last"), ENOUGH + cued)
        for match in _SURNAME_APART.finditer(text):
            one = match["surname"] in names.surnames.one_syllable
            if not one and match["surname"] not in names.surnames.two_syllables:
                continue
            if match["given"] in names.given_names and self._is_cued(text, match.start(), match.end("given"), match["behind"]):
                yield Candidate(match.start(), match.end("given"), ENOUGH)

    def _is_cued(self, text: str, start: int, end: int, behind: str) -> bool:
        head = text[max(0, start - 16) : start]
        if not _ends_well(behind) and not self._honorific_behind.match(behind):
            return False
        return bool(
            self._label_before.search(head) or _INTRODUCTION_BEFORE.search(head) or self._honorific_behind.match(text[end : end + 8])
        )


def _any_of(words: Iterable[str]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def _latin_names(names: NameFile) -> re.Pattern[str]:
    """Behind a label any capitalised words; elsewhere a Korean family name beside a given name of Korean syllables."""
    family = _any_of({form for name in names.latin_surnames for form in (name, name.upper())})
    word = r"[A-Z][A-Za-z'-]{1,15}"
    given = rf"(?:(?i:{_LATIN_SYLLABLE})(?:[- ]?(?i:{_LATIN_SYLLABLE})){{1,2}})"
    labelled = rf"(?:{_any_of(names.latin_labels)})(?:님|은|는|이|가|:|\s|=|\(|-|is\s|s\s|’s\s|'s\s){{1,5}}(?P<name>{word}(?:(?:,\s|[ .]){word}|\s[A-Z]\.?){{1,3}})"
    return re.compile(
        rf"{labelled}(?![A-Za-z])|(?:I'm|I am|This is|this is)\s(?P<self>{word}(?:\s{word}){{1,2}})"
        rf"|(?<![A-Za-z])(?P<family_first>(?:{family}),?\s(?=[A-Z]){given})(?![A-Za-z])"
        rf"|(?<![A-Za-z])(?P<family_last>(?=[A-Z]){given}\s(?:{family}))(?![A-Za-z])"
    )


def _inside(morphemes: Sequence[Morpheme], starts: Sequence[int], start: int, end: int) -> list[Morpheme]:
    """The morphemes that overlap start..end."""
    first = bisect_left(starts, start)
    while first > 0 and morphemes[first - 1].end > start:
        first -= 1
    inside = []
    for morpheme in morphemes[first:]:
        if morpheme.start >= end:
            break
        inside.append(morpheme)
    return inside


def _form_points(text: str, cuts: tuple[int, int, int], inside: Sequence[Morpheme], *, cued: bool) -> float:
    """What Kiwi's reading of the stretch says about its being a name; `cuts` are where surname, given name and the rest begin."""
    start, given_start, end = cuts
    if not inside:
        return 0.0
    first = inside[0]
    if first.start <= start and first.end >= end:
        if first.tag not in ("NNP", "NNG"):
            return OTHER_WORD
        if not first.known:
            return UNKNOWN_TO_KIWI
        if first.end > end or first.start < start:
            return OTHER_WORD
        if first.tag == "NNG":
            return KNOWN_WORD
        return 0.0 if _PLACE_ENDING.search(text[start:end]) and not cued else PROPER_NOUN - (1.0 if end - start == 2 else 0.0)
    parts = {(start, given_start), (given_start, end)}
    if inside[-1].tag[0] in "JEX" and end - start == 2:
        return OTHER_WORD
    words = [m for m in inside if m.known and m.end - m.start >= 2 and m.tag[0] in "NVMX" and (m.start, m.end) not in parts]
    crossing = [m for m in words if m.start < start or m.end > end]
    verbs = [m for m in inside if m.tag[0] == "V" or m.tag == "ETM"]
    if not words and not verbs:
        return SPLIT_INTO_SYLLABLES
    if _is_word_and_ending(words, inside, start, end):
        return WORD_AND_ENDING / 2 if cued else WORD_AND_ENDING
    against = HOLDS_A_WORD * (len(words) + len(crossing)) + HOLDS_A_VERB * bool(verbs)
    return against / 2 if cued else against


def _is_word_and_ending(words: Sequence[Morpheme], inside: Sequence[Morpheme], start: int, end: int) -> bool:
    """A dictionary word with a particle, a suffix or a noun ending behind it (문서로, 공정화, 예대율)."""
    first, last = inside[0], inside[-1]
    if first not in words or first.start != start or first.tag != "NNG" or first is last:
        return False
    return last.tag[0] in "JEVX" or (last.start == end - 1 and last.form[:1] in _WORD_ENDING)


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
            left = re.search(r"[가-힣](?:,\s?|/|·|、|\s?&\s?|와\s|과\s|랑\s|하고\s|,\s?[0-9]\)\s?|\s[0-9]\)\s?)$", text[max(0, candidate.start - 6) : candidate.start])
            right = re.match(r"(?:,\s?|/|·|、|\s?&\s?|와\s|과\s|랑\s|하고\s|\s[0-9]\)\s?)[가-힣]", text[candidate.end : candidate.end + 6])
            if (left and candidate.start - len(left.group()) + 1 in ends) or (right and candidate.end + len(right.group()) - 1 in starts):
                yield replace(candidate, points=ENOUGH)


def _best(candidates: Iterable[Candidate]) -> Iterator[Candidate]:
    """The candidates with most points that do not overlap; of equals the longer."""
    taken: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda c: (-c.points, c.start - c.end, c.start)):
        if all(candidate.end <= other.start or candidate.start >= other.end for other in taken):
            taken.append(candidate)
    yield from taken


def _score(points: float) -> float:
    return min(0.95, 0.5 + (points - ENOUGH) * 0.1)
