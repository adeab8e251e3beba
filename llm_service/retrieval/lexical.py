"""Turns Korean text into term ids: morphemes, neighbour pairs, character pairs, normalised amounts and articles.

Knows language and no index: how terms are weighted, stored and compared is decided elsewhere. A term id is the CRC-32
of the term, so there is no vocabulary file; about one pair in 100,000 terms collides.
"""

import re
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version as distribution_version
from itertools import accumulate, chain, islice, pairwise
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

import kiwipiepy
import numpy as np
from kiwipiepy import Kiwi
from numpy.typing import NDArray

from llm_service.masked import MaskedText
from llm_service.retrieval.vocabulary import Vocabulary, load_vocabulary

RULES_VERSION = 3
"""Raised whenever passages would get other terms than before; every generation of the index is rebuilt then."""

PAIR_WEIGHT = 0.3
SYNONYM_WEIGHT = 0.5
ASKING_WEIGHT = 0.1
HISTORY_WEIGHT = 0.5
SHORT_QUESTION_UNITS = 2
MAXIMUM_QUESTION_UNITS = 64
BATCH_WORKERS = 2
CUTOFF_THRESHOLD = 5.0
"""How far a reading may fall behind the best before it is dropped; Kiwi's 8.0 is slower and changes 1 in 700 words."""
MAXIMUM_READINGS = 100_000
"""How many words are remembered with their morphemes, about 50 MB."""
MAXIMUM_REMEMBERED_CHARACTERS = 32
PASSAGES_AT_ONCE = 64
SURFACE_KEY_CHARACTERS = 3
USER_WORD_SCORE = 3.0
"""At Kiwi's default score of 0 a compound of known words stays split; about 3 keeps it whole."""

KEPT_TAGS = frozenset(["NNG", "NNP", "NNB", "NR", "SL", "SH", "SN", "VV", "VA", "XR", "XPN", "XSN", "MAG"])
NOUN_TAGS = frozenset(["NNG", "NNP", "NR", "SL", "SH", "SN", "XR"])

PLACEHOLDER = re.compile(r"<[A-Z][A-Z_]*_\d+>")
WRITTEN_WORD = re.compile(r"\S+")
CHARACTER_RUN = re.compile(r"[가-힣]+|[A-Za-z]+|\d+")
# An amount in won, an article's number, a rate: the ways they are written in statutes, product sheets and questions.
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_PART = rf"{_NUMBER}(?:[천백십]\d*){{0,3}}"
AMOUNT = re.compile(rf"(?<![제\d.,조억만천백십])(?<!제\s)(?=\d)((?:{_PART}\s?[조억만]\s?){{0,3}}(?:{_PART})?)\s?원")
_AMOUNT_PART = re.compile(rf"({_PART})\s*([조억만]?)")
_AMOUNT_DIGITS = re.compile(r"([\d.,]*)([천백십]?)")
ARTICLE = re.compile(
    r"제?\s?(?<!\d)(\d{1,4})\s?조(?!\s?원|\d)(?:\s?의\s?(\d{1,4})(?![\d.,]*[%년월일주회개원인명배천백만억]))?"
)
RATE = re.compile(rf"({_NUMBER})\s?(?:%|퍼센트|프로)")
MAXIMUM_NUMBER_CHARACTERS = 40
UNITS = {"": 1, "십": 10, "백": 100, "천": 1000, "만": 10**4, "억": 10**8, "조": 10**12}

Item = TypeVar("Item")
Scalar = TypeVar("Scalar", np.uint32, np.float32)

_BLOB = struct.Struct("<IIIIII")
_BLOB_VERSION = 1


@dataclass(frozen=True)
class PassageTerms:
    """Terms of one passage: term id -> count, before length weighting.

    `sequence` holds the term ids of header and text in reading order; the first `header_length` are the header's.
    `analyser` is the id of the `Lexical.version` that made them.
    """

    kiwi: Mapping[int, float]
    char: Mapping[int, float]
    sequence: Sequence[int] = ()
    header_length: int = 0
    analyser: int = 0


class Unit(NamedTuple):
    """One idea of the question: the term it is asked with, and the wordings (several terms each) that mean the same."""

    term: int
    weight: float
    is_noun: bool
    meant: tuple[tuple[int, ...], ...] = ()


class QuestionWord(NamedTuple):
    """A word of a question as it is written, its weight, and the wordings (several words each) that mean the same."""

    form: str
    weight: float
    meant: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class QuestionTerms:
    """A question as the index is asked and as passages are judged.

    `kiwi` and `char` map term id to weight; `units` and `articles` (ids of 제N조) are what a passage is compared with;
    `points_back` says that it begins like a follow-up.
    """

    kiwi: Mapping[int, float]
    char: Mapping[int, float]
    units: tuple[Unit, ...] = ()
    articles: frozenset[int] = frozenset()
    points_back: bool = False

    @property
    def is_incomplete(self) -> bool:
        """Whether it needs the question before to be understood: it points back, or names hardly a thing."""
        named = sum(unit.weight == 1.0 for unit in self.units)
        return self.points_back or named <= SHORT_QUESTION_UNITS

    def after(self, previous: "QuestionTerms") -> "QuestionTerms":
        """This question read as a follow-up: what the previous one asked about counts for half."""
        own = {unit.term for unit in self.units}
        recalled = (
            unit._replace(weight=unit.weight * HISTORY_WEIGHT) for unit in previous.units if unit.term not in own
        )
        return replace(
            self,
            kiwi={**{term: weight * HISTORY_WEIGHT for term, weight in previous.kiwi.items()}, **self.kiwi},
            char={**{term: weight * HISTORY_WEIGHT for term, weight in previous.char.items()}, **self.char},
            units=(*self.units, *recalled),
            articles=self.articles or previous.articles,
        )


class _Morpheme(NamedTuple):
    form: str
    tag: str
    start: int
    len: int


class _Word(NamedTuple):
    form: str
    tag: str
    start: int
    end: int


Describe = Callable[[str, Iterable[Any]], "_Reading"]


class _Reading(NamedTuple):
    """One written word (eojeol): its morphemes, and what it adds to a passage's terms, places counted from its start.

    `more` are the ids of whole compounds and of neighbours within the word, `grams` those of its character pairs.
    """

    morphemes: tuple[_Morpheme, ...]
    words: tuple[_Word, ...]
    ids: tuple[int, ...]
    more: tuple[int, ...]
    grams: tuple[int, ...]


class _Readings:
    """Readings of written words, each read by itself and remembered; threads may share it.

    Nine in ten words of a statute stand in it before, so most of the analysis is saved, and a word read without its
    neighbours finds as much (docs/decisions/0004-vector-store-and-retriever.md).
    """

    def __init__(self, tokenize: Callable[[list[str]], Iterable[Any]], describe: Describe) -> None:
        self._tokenize = tokenize
        self._describe = describe
        self._known: dict[str, _Reading] = {}

    def of_words(self, texts: Sequence[str]) -> Mapping[str, _Reading]:
        """The reading of every written word of the texts; those that are new are read in one batch, on both cores."""
        known = self._known
        words = {word for text in texts for word in WRITTEN_WORD.findall(text)}
        found = {word: reading for word in words if (reading := known.get(word)) is not None}
        new = sorted(words - found.keys())
        for word, tokens in zip(new, self._tokenize(new) if new else (), strict=True):
            found[word] = self._describe(word, tokens)
        if len(known) > MAXIMUM_READINGS:
            known.clear()
        known.update((word, found[word]) for word in new if len(word) <= MAXIMUM_REMEMBERED_CHARACTERS)
        return found

    def morphemes(self, text: str) -> list[_Morpheme]:
        """The morphemes of a text in order, with their places in it."""
        readings = self.of_words([text])
        return [
            morpheme._replace(start=morpheme.start + place.start())
            for place in WRITTEN_WORD.finditer(text)
            for morpheme in readings[place.group()].morphemes
        ]


@dataclass
class _SynonymRule:
    sequence: tuple[str, ...]
    surface: str
    meant: tuple[tuple[str, ...], ...] = field(default_factory=tuple)


class Lexical:
    """Korean analysis of passages and questions; safe to share between threads, seconds to load, 330 MB."""

    def __init__(self, vocabulary: Vocabulary | None = None) -> None:
        self._vocabulary = vocabulary or load_vocabulary()
        # The multi-word dictionary costs 200 MB and changed no result.
        self._kiwi: Any = Kiwi(num_workers=BATCH_WORKERS, load_multi_dict=False)
        self._kiwi.global_config.cutoff_threshold = CUTOFF_THRESHOLD
        for term in self._vocabulary.terms:
            self._kiwi.add_user_word(term, "NNP", USER_WORD_SCORE)
        self._readings = _Readings(self._kiwi.tokenize, self._reading)
        self._parts = self._parts_of_terms()
        self._rules_by_word: dict[str, list[_SynonymRule]] = {}
        self._rules_by_surface: dict[str, list[_SynonymRule]] = {}
        for rule in self._synonym_rules():
            if rule.sequence:
                self._rules_by_word.setdefault(rule.sequence[0], []).append(rule)
            if len(rule.surface) >= SURFACE_KEY_CHARACTERS:
                self._rules_by_surface.setdefault(rule.surface[:SURFACE_KEY_CHARACTERS], []).append(rule)
        self.version = (
            f"kiwi-{kiwipiepy.__version__}/model-{distribution_version('kiwipiepy_model')}"
            f"/rules-{RULES_VERSION}/terms-{self._vocabulary.terms_version}"
        )
        self._analyser = term_id(self.version)

    @property
    def analyser(self) -> Any:
        """Kiwi as it is used here, for others of this process: whoever shares it must not change it."""
        return self._kiwi

    def warm_up(self) -> None:
        """Analyse once: the first analysis after user words were added costs more than half a second."""
        self.question_terms(MaskedText("예금자 보호 한도는 얼마인가요"))

    def passages_terms(self, passages: Iterable[tuple[str, str]]) -> Iterator[PassageTerms]:
        """Terms of (header, text) pairs, in order, lazily and in batches: a large document costs little memory."""
        for batch in _batched(passages, PASSAGES_AT_ONCE):
            readings = self._readings.of_words([written for passage in batch for written in passage])
            for header, text in batch:
                yield self._passage_terms(header, text, readings)

    def question_terms(self, question: MaskedText, mend_typos: bool = False) -> QuestionTerms:
        """Terms of a question, with synonyms, neighbour pairs and normalised numbers; placeholders are left out.

        `mend_typos` reads misspelt words as the nearest known ones; ask for it when words are unknown to the corpus.
        """
        text = PLACEHOLDER.sub(" ", question)
        tokens = self._kiwi.tokenize(text, typos="basic") if mend_typos else self._readings.morphemes(text)
        words = self._words(tokens)[:MAXIMUM_QUESTION_UNITS]
        units = self._units(words, text)
        kiwi: dict[int, float] = {}
        for unit in units:
            kiwi[unit.term] = max(kiwi.get(unit.term, 0.0), unit.weight)
            for wording in unit.meant:
                for term in wording:
                    kiwi[term] = max(kiwi.get(term, 0.0), SYNONYM_WEIGHT)
        for whole_or_pair in (*self._whole_terms(tokens), *_pairs(words)):
            kiwi.setdefault(term_id(whole_or_pair), PAIR_WEIGHT)
        articles = frozenset(map(term_id, articles_of(text)))
        for term in map(term_id, normalised_numbers(text)):
            kiwi[term] = 1.0
        char = Counter(term_id(f"#{gram}") for gram in _character_grams(text))
        points_back = any(word.form in self._vocabulary.follow_up_words for word in words[:2])
        return QuestionTerms(kiwi, dict.fromkeys(char, 1.0), units, articles, points_back)

    def question_words(self, question: MaskedText) -> tuple[QuestionWord, ...]:
        """The words of a question, each once, for whoever looks for them in text instead of in the index."""
        text = PLACEHOLDER.sub(" ", question)
        words = self._words(self._readings.morphemes(text))[:MAXIMUM_QUESTION_UNITS]
        meant: dict[str, list[tuple[str, ...]]] = {}
        for rule, positions in self._matching_rules(words, text):
            for position in positions:
                meant.setdefault(words[position].form, []).extend(rule.meant)
        return tuple(
            QuestionWord(form, ASKING_WEIGHT if self._asks(form) else 1.0, tuple(dict.fromkeys(meant.get(form, ()))))
            for form in dict.fromkeys(word.form for word in words)
        )

    def _asks(self, form: str) -> bool:
        return form in self._vocabulary.question_words or form in self._vocabulary.follow_up_words

    def _passage_terms(self, header: str, text: str, readings: Mapping[str, _Reading]) -> PassageTerms:
        sequence: list[int] = []
        more: list[int] = []
        grams: list[int] = []
        whole, header_length, before, before_end = f"{header}\n{text}", 0, "", 0
        for place in WRITTEN_WORD.finditer(whole):
            reading = readings[place.group()]
            grams += reading.grams
            if not reading.words:
                continue
            sequence += reading.ids
            more += reading.more
            first, last = reading.words[0], reading.words[-1]
            if before and place.start() + first.start - before_end <= 1:
                more.append(term_id(f"{before}_{first.form}"))
            before, before_end = last.form, place.start() + last.end
            if place.end() <= len(header):
                header_length = len(sequence)
        more += map(term_id, normalised_numbers(whole))
        return PassageTerms(
            kiwi=_counts(chain(sequence, more)),
            char=_counts(grams),
            sequence=tuple(sequence),
            header_length=header_length,
            analyser=self._analyser,
        )

    def _reading(self, word: str, tokens: Iterable[Any]) -> _Reading:
        morphemes = tuple(_Morpheme(token.form, token.tag, token.start, token.len) for token in tokens)
        words = tuple(self._words(morphemes))
        return _Reading(
            morphemes=morphemes,
            words=words,
            ids=tuple(term_id(part.form) for part in words),
            more=tuple(map(term_id, (*self._whole_terms(morphemes), *_pairs(words)))),
            grams=tuple(term_id(f"#{gram}") for gram in _character_grams(word)),
        )

    def _words(self, tokens: Iterable[Any]) -> list[_Word]:
        """The kept morphemes in order, a term of the vocabulary replaced by its parts."""
        words: list[_Word] = []
        for token in tokens:
            tag = token.tag.partition("-")[0]
            if tag not in KEPT_TAGS:
                continue
            end = token.start + token.len
            form = token.form.lower().replace(",", "") if tag in ("SN", "SL") else token.form
            for part in self._parts.get(form, (form,)):
                words.append(_Word(part, tag, token.start, end))
        return words

    def _whole_terms(self, tokens: Iterable[Any]) -> Iterator[str]:
        return (token.form for token in tokens if len(self._parts.get(token.form, ())) > 1)

    def _units(self, words: Sequence[_Word], text: str) -> tuple[Unit, ...]:
        meant: dict[int, list[tuple[int, ...]]] = {}
        for rule, positions in self._matching_rules(words, text):
            for position in positions:
                meant.setdefault(position, []).extend(tuple(map(term_id, wording)) for wording in rule.meant)
        units: dict[int, Unit] = {}
        for position, word in enumerate(words):
            term = term_id(word.form)
            asking = self._asks(word.form)
            known = units.get(term)
            wordings = tuple(dict.fromkeys((*(known.meant if known else ()), *meant.get(position, ()))))
            units[term] = Unit(term, ASKING_WEIGHT if asking else 1.0, word.tag in NOUN_TAGS, wordings)
        return tuple(units.values())

    def _matching_rules(self, words: Sequence[_Word], text: str) -> Iterator[tuple[_SynonymRule, list[int]]]:
        """Synonyms whose phrase the question holds, by its words in order or by its letters whatever the blanks."""
        forms = [word.form for word in words]
        for form in dict.fromkeys(forms):
            for rule in self._rules_by_word.get(form, ()):
                if positions := _find_in_order(forms, rule.sequence):
                    yield rule, positions
        squeezed, offsets = _squeeze(text)
        for start in range(len(squeezed) - SURFACE_KEY_CHARACTERS + 1):
            for rule in self._rules_by_surface.get(squeezed[start : start + SURFACE_KEY_CHARACTERS], ()):
                if squeezed.startswith(rule.surface, start):
                    first, last = offsets[start], offsets[start + len(rule.surface) - 1]
                    yield rule, [i for i, word in enumerate(words) if word.start <= last and word.end > first]

    def _parts_of_terms(self) -> dict[str, tuple[str, ...]]:
        return {term.lower(): parts for term, parts in self._vocabulary.terms.items() if parts != (term,)}

    def _synonym_rules(self) -> list[_SynonymRule]:
        rules = []
        for synonym in self._vocabulary.synonyms:
            meant = tuple(forms for phrase in synonym.meant if (forms := self._forms(phrase)))
            for phrase in synonym.written:
                rules.append(_SynonymRule(self._forms(phrase), _squeeze(phrase)[0], meant))
        return rules

    def _forms(self, phrase: str) -> tuple[str, ...]:
        return tuple(word.form for word in self._words(self._readings.morphemes(phrase)))


def _batched(items: Iterable[Item], size: int) -> Iterator[tuple[Item, ...]]:
    """Lists of up to `size` items, lazily (`itertools.batched` of Python 3.12)."""
    remaining = iter(items)
    while batch := tuple(islice(remaining, size)):
        yield batch


def term_id(term: str) -> int:
    """CRC-32 of the term: the same on every machine and in every process."""
    return crc32(term.encode())


def normalised_numbers(text: str) -> Iterator[str]:
    """Amounts, articles and rates in one spelling: 7천만원 and 70,000,000원 are both `70000000원`."""
    for match in AMOUNT.finditer(text):
        if 0 < len(match.group(1).strip()) <= MAXIMUM_NUMBER_CHARACTERS:
            yield f"{won(match.group(1))}원"
    yield from articles_of(text)
    for match in RATE.finditer(text):
        if len(match.group(1)) <= MAXIMUM_NUMBER_CHARACTERS:
            yield f"{float(match.group(1).replace(',', '')):g}%"


def articles_of(text: str) -> Iterator[str]:
    """Article numbers as the law writes them: 제4조의2 for `4조의 2`, `제 4 조의2`."""
    for match in ARTICLE.finditer(text):
        branch = f"의{int(match.group(2))}" if match.group(2) else ""
        yield f"제{int(match.group(1))}조{branch}"


def won(written: str) -> int:
    """The amount before 원 as a number: "2억5천만" is 250,000,000."""
    total = 0.0
    for part, unit in _AMOUNT_PART.findall(written):
        digits = (
            float(number.replace(",", "") or 1) * UNITS[size]
            for number, size in _AMOUNT_DIGITS.findall(part)
            if number.strip(",.") or size
        )
        total += sum(digits) * UNITS[unit]
    return round(total)


def pack_terms(terms: PassageTerms) -> bytes:
    """Bytes for `Passage.vectors`: ids and counts behind a versioned head; no pickle, so nothing in it is executed."""
    kiwi, char = sorted(terms.kiwi), sorted(terms.char)
    lengths = (len(terms.sequence), len(kiwi), len(char), terms.header_length)
    return b"".join(
        (
            _BLOB.pack(_BLOB_VERSION, terms.analyser, *lengths),
            np.asarray(terms.sequence, "<u4").tobytes(),
            np.asarray(kiwi, "<u4").tobytes(),
            np.asarray([terms.kiwi[term] for term in kiwi], "<f4").tobytes(),
            np.asarray(char, "<u4").tobytes(),
            np.asarray([terms.char[term] for term in char], "<f4").tobytes(),
        )
    )


class PackedTerms:
    """Packed terms read in place, without building dictionaries. Raises ValueError for other bytes."""

    __slots__ = ("_blob", "_starts", "analyser", "header_length")

    def __init__(self, blob: bytes) -> None:
        if len(blob) < _BLOB.size:
            raise ValueError(f"{len(blob)} bytes are no packed terms")
        version, self.analyser, sequence, kiwi, char, self.header_length = _BLOB.unpack_from(blob)
        self._blob = blob
        self._starts = list(accumulate((sequence, kiwi, kiwi, char, char), initial=0))
        if version != _BLOB_VERSION or len(blob) != _BLOB.size + 4 * self._starts[-1]:
            raise ValueError(f"{len(blob)} bytes are no packed terms of version {_BLOB_VERSION}")

    @property
    def sequence(self) -> NDArray[np.uint32]:
        """Term ids of header and text in reading order."""
        return self._section(0, np.uint32)

    @property
    def kiwi(self) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Distinct term ids of the morphemes, ascending, and their counts."""
        return self._section(1, np.uint32), self._section(2, np.float32)

    @property
    def char(self) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Distinct term ids of the character pairs, ascending, and their counts."""
        return self._section(3, np.uint32), self._section(4, np.float32)

    def counts(self, vector: str) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """Term ids and counts of the vector of this name."""
        return self.kiwi if vector == "kiwi" else self.char

    def _section(self, number: int, kind: type[Scalar]) -> NDArray[Scalar]:
        start, end = self._starts[number : number + 2]
        return np.frombuffer(self._blob, kind, end - start, _BLOB.size + 4 * start)


def unpack_terms(blob: bytes) -> PassageTerms:
    """The inverse of `pack_terms`. Raises ValueError for bytes it did not write."""
    packed = PackedTerms(blob)
    (kiwi, kiwi_counts), (char, char_counts) = packed.kiwi, packed.char
    return PassageTerms(
        dict(zip(kiwi.tolist(), kiwi_counts.tolist(), strict=True)),
        dict(zip(char.tolist(), char_counts.tolist(), strict=True)),
        tuple(packed.sequence.tolist()),
        packed.header_length,
        packed.analyser,
    )


def _counts(ids: Iterable[int]) -> dict[int, float]:
    # Two terms of one passage may share an id: they are counted as one, since an index takes each id once.
    return {term: float(count) for term, count in Counter(ids).items()}


def _pairs(words: Sequence[_Word]) -> Iterator[str]:
    return (f"{left.form}_{right.form}" for left, right in pairwise(words) if right.start - left.end <= 1)


def _character_grams(text: str) -> Iterator[str]:
    for run in CHARACTER_RUN.findall(text):
        if run[0] < "가" or len(run) == 1:
            yield run.lower()
        else:
            yield from (run[i : i + 2] for i in range(len(run) - 1))


def _squeeze(text: str) -> tuple[str, list[int]]:
    offsets = [offset for offset, character in enumerate(text) if not character.isspace()]
    return "".join(text[offset].lower() for offset in offsets), offsets


def _find_in_order(forms: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Positions of `wanted` in `forms`, in order, at most two other words between neighbours; empty if not there."""
    if not wanted:
        return []
    for start, form in enumerate(forms):
        if form != wanted[0]:
            continue
        positions = [start]
        for term in wanted[1:]:
            after = positions[-1] + 1
            following = [i for i in range(after, min(after + 3, len(forms))) if forms[i] == term]
            if not following:
                break
            positions.append(following[0])
        else:
            return positions
    return []
