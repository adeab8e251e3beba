"""The language engine that Presidio hands every text to first: it makes the views and, when a recogniser asks, the
morphemes.

Replaces Presidio's spaCy engines, which need a download or know no Korean. Knows no kind of personal data.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

from kiwipiepy import Kiwi, Token

from llm_service.masking.presidio import Doc, NlpArtifacts, NlpEngine, Vocab
from llm_service.masking.views import View, base_view, guessed_views

LANGUAGE = "ko"
KIWI_PIECE_CHARACTERS = 200
KIWI_UNBROKEN_CHARACTERS = 16
# Narrower beam than the default of 8: faster on hostile texts, equal leak rates on the evaluation sets.
KIWI_CUTOFF_SCORE = 5.0
# Kiwi gives ids up to about 60 to tags, not to words: such a token is in none of its dictionaries.
LAST_UNKNOWN_TOKEN_ID = 60

_DIGIT = re.compile(r"[0-9]")
_HANGUL = re.compile(r"[가-힣]")
_PIECE = re.compile(rf"[^\s]{{1,{KIWI_UNBROKEN_CHARACTERS}}}\s*|\s+")


@dataclass(frozen=True, slots=True)
class Morpheme:
    """One morpheme of the base view. `known` means that it stands in Kiwi's dictionary."""

    form: str
    tag: str
    start: int
    end: int
    known: bool


class Reading:
    """One text as all recognisers see it: its views, and its morphemes if one of them asks."""

    def __init__(self, original: str, kiwi: Kiwi) -> None:
        self.original = original
        self._kiwi = kiwi
        self.base = base_view(original)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """The base view and the guessed ones; empty when nothing in the text can be a number."""
        if not _DIGIT.search(self.base.text) and not self._guessed:
            return ()
        return (self.base, *self._guessed)

    @cached_property
    def _guessed(self) -> tuple[View, ...]:
        return guessed_views(self.base)

    @cached_property
    def has_hangul(self) -> bool:
        return _HANGUL.search(self.base.text) is not None

    @cached_property
    def morphemes(self) -> tuple[Morpheme, ...]:
        """Kiwi's morphemes of the base view, equal pieces read once. Long texts go in pieces: Kiwi is quadratic on
        them.
        """
        tokens: dict[str, list[Token]] = {}
        morphemes: list[Morpheme] = []
        for offset, piece in pieces(self.base.text):
            if piece not in tokens:
                tokens[piece] = self._kiwi.tokenize(piece)
            morphemes.extend(_morpheme(token, offset) for token in tokens[piece])
        return tuple(morphemes)


def _morpheme(token: Token, offset: int) -> Morpheme:
    start = token.start + offset
    return Morpheme(token.form, token.tag, start, start + token.len, token.id > LAST_UNKNOWN_TOKEN_ID)


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """(offset, piece) of a text cut at blanks; a short text is one piece, in a long one unbroken stretches are cut
    too.
    """
    if len(text) <= KIWI_PIECE_CHARACTERS:
        yield 0, text
        return
    start = end = 0
    for match in _PIECE.finditer(text):
        cut_a_stretch = end > start and not text[end - 1].isspace()
        if end > start and (cut_a_stretch or match.end() - start > KIWI_PIECE_CHARACTERS):
            yield start, text[start:end]
            start = end
        end = match.end()
    if end > start:
        yield start, text[start:end]


# Presidio wants a spaCy document; no rule here reads it.
_NO_TOKENS = Doc(Vocab(), words=[])


class ReadingArtifacts(NlpArtifacts):
    """Presidio's carrier between engine and recognisers, with the reading in it."""

    def __init__(self, reading: Reading, engine: NlpEngine) -> None:
        super().__init__(
            entities=[], tokens=_NO_TOKENS, tokens_indices=[], lemmas=[], nlp_engine=engine, language=LANGUAGE
        )
        self.reading = reading


def reading_of(artifacts: NlpArtifacts) -> Reading:
    """The reading that `KoreanLanguageEngine` put into the artifacts."""
    if not isinstance(artifacts, ReadingArtifacts):
        raise TypeError("the recognisers of llm_service.masking need the artifacts of KoreanLanguageEngine")
    return artifacts.reading


class KoreanLanguageEngine(NlpEngine):
    """Kiwi without its typo and multi-word dictionaries: equal scores for names, a fifth less memory.

    An analyser that the process holds already does as well, with those dictionaries and the bank's terms in it, and a
    second one costs a quarter of a gigabyte.
    """

    engine_name = "kiwi"

    def __init__(self, kiwi: Kiwi | None = None) -> None:
        self._kiwi = kiwi
        self._loading = Lock()

    def load(self) -> None:
        """Loads Kiwi and tokenises once, because the first call builds its tables."""
        with self._loading:
            if self._kiwi is None:
                kiwi = Kiwi(load_typo_dict=False, load_multi_dict=False, num_workers=1)
                kiwi.global_config.cutoff_threshold = KIWI_CUTOFF_SCORE
                kiwi.tokenize("준비")
                self._kiwi = kiwi

    def is_loaded(self) -> bool:
        # AnalyzerEngine loads what says it is not; loading belongs to warm_up, which readiness waits for.
        return True

    def process_text(self, text: str, language: str) -> ReadingArtifacts:
        if self._kiwi is None:
            self.load()
        assert self._kiwi is not None
        return ReadingArtifacts(Reading(text, self._kiwi), self)

    def process_batch(
        self, texts: Iterable[str], language: str, batch_size: int = 1, n_process: int = 1, **kwargs: Any
    ) -> Iterator[tuple[str, ReadingArtifacts]]:
        for text in texts:
            yield text, self.process_text(text, language)

    def is_stopword(self, word: str, language: str) -> bool:
        return False

    def is_punct(self, word: str, language: str) -> bool:
        return False

    def get_supported_entities(self) -> list[str]:
        return []

    def get_supported_languages(self) -> list[str]:
        return [LANGUAGE]
