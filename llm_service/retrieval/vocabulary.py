"""Language data that retrieval reads at start: terms that stay whole, words that mean the same, words that only ask.

The files are edited by people who know banking, not Python; nothing here knows how text is analysed or searched.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from llm_service.errors import Misconfigured

DATA_DIRECTORY = Path(__file__).parent / "data"
TERMS_FILE = "finance_terms.yaml"
SYNONYMS_FILE = "synonyms.yaml"
QUESTION_WORDS_FILE = "question_words.yaml"


@dataclass(frozen=True)
class Synonym:
    """Whoever writes one of `written` may mean any of `meant`: lay word and legal term, abbreviation and full name."""

    written: tuple[str, ...]
    meant: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Terms with their parts, synonyms, words that only ask, words that point back at the last question.

    `terms_version` changes with the terms alone: they decide how passages are indexed; the rest acts on questions only.
    """

    terms: Mapping[str, tuple[str, ...]]
    synonyms: tuple[Synonym, ...]
    question_words: frozenset[str]
    follow_up_words: frozenset[str]
    terms_version: str


def load_vocabulary(directory: Path = DATA_DIRECTORY) -> Vocabulary:
    """Read the three files of `directory`. Raises `Misconfigured` with file and entry when one cannot be used."""
    terms = _terms_of(_read(directory / TERMS_FILE))
    words = _read(directory / QUESTION_WORDS_FILE)
    fingerprint = hashlib.sha256(repr(sorted(terms.items())).encode()).hexdigest()[:12]
    return Vocabulary(
        terms=terms,
        synonyms=_synonyms_of(_read(directory / SYNONYMS_FILE)),
        question_words=frozenset(words["asking"]),
        follow_up_words=frozenset(words["pointing_back"]),
        terms_version=fingerprint,
    )


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(
            "vocabulary_unreadable", f"{path.name} cannot be read ({type(error).__name__}); mend or restore the file"
        ) from error


def _terms_of(written: Any) -> dict[str, tuple[str, ...]]:
    if isinstance(written, dict) and isinstance(written.get("terms"), dict):
        written = written["terms"]
    if not isinstance(written, dict):
        raise Misconfigured("vocabulary_invalid", f"{TERMS_FILE} must map each term to the list of its parts")
    return {str(term): tuple(str(part) for part in parts or (term,)) for term, parts in written.items()}


def _synonyms_of(written: Any) -> tuple[Synonym, ...]:
    entries = written.get("synonyms") if isinstance(written, dict) else written
    if not isinstance(entries, list):
        raise Misconfigured("vocabulary_invalid", f"{SYNONYMS_FILE} must be a list of entries with from and to")
    return tuple(_synonym_of(position, entry) for position, entry in enumerate(entries, start=1))


def _synonym_of(position: int, entry: Any) -> Synonym:
    try:
        synonym = Synonym(tuple(map(str, entry["from"])), tuple(map(str, entry["to"])))
    except (TypeError, KeyError):
        raise Misconfigured("vocabulary_invalid", f"entry {position} of {SYNONYMS_FILE} needs from and to") from None
    if not all((*synonym.written, *synonym.meant)) or not synonym.written or not synonym.meant:
        raise Misconfigured("vocabulary_invalid", f"entry {position} of {SYNONYMS_FILE} has an empty phrase")
    return synonym
