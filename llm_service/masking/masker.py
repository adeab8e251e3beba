"""The one door through which text becomes `MaskedText`: Presidio's AnalyzerEngine as the frame, own Korean
recognisers inside.

Fails closed: whatever goes wrong inside, the caller gets `MaskingUnavailable` and never unmasked text. Knows
neither the vault nor channels; the raw values it returns are in `RawText` and belong to the caller.
"""

import logging
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kiwipiepy import Kiwi

from llm_service.client import PLACEHOLDER_TYPES
from llm_service.errors import MaskingUnavailable, TooLarge
from llm_service.masked import MaskedText, RawText
from llm_service.masking.korean.accounts import AccountRecogniser
from llm_service.masking.korean.addresses import AddressRecogniser
from llm_service.masking.korean.birthdates import BirthdateRecogniser
from llm_service.masking.korean.business_numbers import BusinessNumberRecogniser
from llm_service.masking.korean.cards import CardRecogniser
from llm_service.masking.korean.customers import CustomerNumberRecogniser
from llm_service.masking.korean.foreign_names import ForeignNameRecogniser
from llm_service.masking.korean.identity_documents import DriverLicenceRecogniser, PassportRecogniser
from llm_service.masking.korean.internet import IpRecogniser, MailRecogniser
from llm_service.masking.korean.names import PersonRecogniser
from llm_service.masking.korean.phones import PhoneRecogniser
from llm_service.masking.korean.recogniser import KoreanRecogniser
from llm_service.masking.korean.resident_numbers import ResidentNumberRecogniser
from llm_service.masking.korean.vehicles import VehiclePlateRecogniser
from llm_service.masking.language import LANGUAGE, KoreanLanguageEngine
from llm_service.masking.placeholders import PLACEHOLDER, Naming, PlaceholderNames, neutralise
from llm_service.masking.presidio import (
    AnalyzerEngine,
    ContextAwareEnhancer,
    EntityRecognizer,
    NlpArtifacts,
    RecognizerRegistry,
    RecognizerResult,
)
from llm_service.masking.rules import DEFAULT_DATA, read_accounts, read_names, read_phones

MAX_MASK_CHARACTERS = 4000
DOCUMENT_PIECE_CHARACTERS = 2000
DOCUMENT_OVERLAP_CHARACTERS = 120
SCORE_THRESHOLD = 0.4
# Neither blank, letter, digit nor separator: no recogniser joins what stands on its two sides.
PLACE_OF_A_PLACEHOLDER = "■"
# Names are masked in what people write; on prose the rules for names take loan words for persons.
DOCUMENT_TYPES = tuple(type_ for type_ in PLACEHOLDER_TYPES if type_ != "PERSON")
WARM_UP_TEXT = "고객 홍길동입니다. 010-1234-5678, 공일공 일이삼사 오육칠팔, a@b.kr"


@dataclass(frozen=True)
class Entity:
    """A value found in the raw text at offsets `start`..`end` (end after its last character)."""

    type: str
    start: int
    end: int
    score: float


@dataclass(frozen=True)
class Masked:
    """A masked text, how many values of each type it had, and the raw value behind each placeholder."""

    text: MaskedText
    counts: Mapping[str, int]
    placeholders: Mapping[str, RawText]


class Masker:
    """Thread-safe once built. Call `warm_up` before the first text, or the first text pays for it."""

    def __init__(self, recognisers: Sequence[KoreanRecogniser], language_engine: KoreanLanguageEngine) -> None:
        logging.getLogger("presidio-analyzer").setLevel(logging.WARNING)
        self._language_engine = language_engine
        registry = RecognizerRegistry(recognizers=list(recognisers), supported_languages=[LANGUAGE])
        self._analyzer = AnalyzerEngine(
            registry=registry,
            nlp_engine=language_engine,
            supported_languages=[LANGUAGE],
            default_score_threshold=SCORE_THRESHOLD,
            context_aware_enhancer=_RecognisersEnhanceThemselves(),
        )

    def warm_up(self) -> None:
        """Loads Kiwi and runs every rule once; until it returns the service is not ready.

        Raises `MaskingUnavailable` if the masker cannot work on this machine.
        """
        found = {entity.type for entity in self.detect(RawText(WARM_UP_TEXT))}
        if not {"PERSON", "PHONE", "EMAIL"} <= found:
            raise MaskingUnavailable(
                "the masker does not find the values of its own warm-up text: check the data files"
            )

    def detect(self, raw: RawText) -> tuple[Entity, ...]:
        """Every value of every type in a chat text, in order, without overlaps.

        Raises `TooLarge` over MAX_MASK_CHARACTERS and `MaskingUnavailable` if anything fails.
        """
        _refuse_too_long(raw)
        return self._detect(raw.reveal(), PLACEHOLDER_TYPES)

    def detect_in_reply(self, raw: RawText) -> tuple[Entity, ...]:
        """Every value in what the platform itself says: placeholders in it are no values, whatever surrounds them.

        Raises as `detect` does.
        """
        _refuse_too_long(raw)
        return self._detect(
            PLACEHOLDER.sub(lambda match: PLACE_OF_A_PLACEHOLDER * len(match[0]), raw.reveal()), PLACEHOLDER_TYPES
        )

    def mask(self, raw: RawText, known: PlaceholderNames | None = None) -> Masked:
        """A chat text with every value replaced by `<TYPE_n>`; `known` carries the conversation's numbering and is
        extended.

        Raises `TooLarge` over MAX_MASK_CHARACTERS and `MaskingUnavailable` if anything fails.
        """
        names = known if known is not None else PlaceholderNames()
        return with_placeholders(raw, self.detect(raw), names)

    def mask_document(self, raw: RawText, with_names: bool = False) -> Masked:
        """A document of any length with identifiers masked, names only if asked; time grows linearly with length.

        Raises `MaskingUnavailable` if anything fails.
        """
        types = (*DOCUMENT_TYPES, "PERSON") if with_names else DOCUMENT_TYPES
        found = [
            Entity(entity.type, entity.start + offset, entity.end + offset, entity.score)
            for offset, piece in _document_pieces(raw.reveal())
            for entity in self._detect(piece, types)
        ]
        entities = tuple(_united(found))
        return with_placeholders(raw, entities, PlaceholderNames())

    def _detect(self, text: str, types: tuple[str, ...]) -> tuple[Entity, ...]:
        if not text or text.isspace():
            return ()
        try:
            results = self._analyzer.analyze(text, language=LANGUAGE, entities=list(types))
        # Whatever a rule raises, the text must not pass; the cause's own message could quote it, so only its kind is
        # told.
        except Exception as error:  # noqa: BLE001
            raise MaskingUnavailable(
                f"a recogniser failed with {type(error).__name__}; the text was not masked"
            ) from None
        return tuple(_united(Entity(r.entity_type, r.start, r.end, r.score) for r in results))


def build_masker(data: Path = DEFAULT_DATA, analyser: Kiwi | None = None) -> Masker:
    """The masker with all recognisers and the bank's data files from `data`. Raises `Misconfigured` if a file is
    invalid. `analyser` is one to share; without it the masker loads its own.
    """
    accounts, names = read_accounts(data), read_names(data)
    recognisers: list[KoreanRecogniser] = [
        ResidentNumberRecogniser(),
        PassportRecogniser(),
        DriverLicenceRecogniser(),
        BusinessNumberRecogniser(),
        CardRecogniser(),
        AccountRecogniser(accounts),
        PhoneRecogniser(read_phones(data).branch_numbers),
        MailRecogniser(),
        IpRecogniser(),
        VehiclePlateRecogniser(),
        CustomerNumberRecogniser(),
        AddressRecogniser(),
        PersonRecogniser(names, accounts.bank_names),
        ForeignNameRecogniser(names),
        BirthdateRecogniser(),
    ]
    return Masker(recognisers, KoreanLanguageEngine(analyser))


def with_placeholders(raw: RawText, entities: Sequence[Entity], names: Naming, kept: Container[str] = ()) -> Masked:
    """The text with its detected values replaced by the placeholders that `names` gives them.

    Whatever else looks like a placeholder is made inert, but for those in `kept`.
    """
    text = raw.reveal()
    parts: list[str] = []
    values: dict[str, RawText] = {}
    at = 0
    for entity in entities:
        value = text[entity.start : entity.end]
        placeholder = names.name_of(entity.type, value)
        parts += (neutralise(text[at : entity.start], kept), placeholder)
        values.setdefault(placeholder, RawText(value))
        at = entity.end
    parts.append(neutralise(text[at:], kept))
    return Masked(MaskedText("".join(parts)), Counter(entity.type for entity in entities), values)


def _refuse_too_long(raw: RawText) -> None:
    if len(raw) > MAX_MASK_CHARACTERS:
        raise TooLarge(
            "text_too_long", f"a message has at most {MAX_MASK_CHARACTERS} characters; this one has {len(raw)}"
        )


def _united(found: Iterable[Entity]) -> Iterator[Entity]:
    """Overlapping findings become one that covers them all; the highest score gives the type."""
    pending: Entity | None = None
    for entity in sorted(found, key=lambda e: (e.start, -e.end)):
        if pending is None or entity.start >= pending.end:
            if pending:
                yield pending
            pending = entity
            continue
        best = entity if entity.score > pending.score else pending
        pending = Entity(best.type, pending.start, max(pending.end, entity.end), best.score)
    if pending:
        yield pending


def _document_pieces(text: str) -> Iterator[tuple[int, str]]:
    """(offset, piece) of a long text, cut at line ends where there is one, else at a blank, else hard.

    Each piece reaches into the next one, so that a value that stands on a cut is whole in one of them.
    """
    start = 0
    while len(text) - start > DOCUMENT_PIECE_CHARACTERS:
        limit = start + DOCUMENT_PIECE_CHARACTERS
        cut = (
            max(text.rfind("\n", start, limit), text.rfind(". ", start, limit)) + 1 or text.rfind(" ", start, limit) + 1
        )
        cut = cut if cut > start else limit
        yield start, text[start : cut + DOCUMENT_OVERLAP_CHARACTERS]
        start = cut
    yield start, text[start:]


class _RecognisersEnhanceThemselves(ContextAwareEnhancer):
    """Replaces Presidio's lemma enhancer, whose ValueError quotes the value and which deep-copies every result."""

    def __init__(self) -> None:
        super().__init__(0.0, 0.0, 0, 0)

    def enhance_using_context(
        self,
        text: str,
        raw_results: list[RecognizerResult],
        nlp_artifacts: NlpArtifacts,
        recognizers: list[EntityRecognizer],
        context: list[str] | None = None,
    ) -> list[RecognizerResult]:
        return raw_results
