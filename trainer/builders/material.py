"""What builders make exercises of: the bank's passages in force, and the words of the exercises.

Knows neither queue nor engine.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Any, Final, Protocol

import yaml

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate
from llm_service.store.passages import StoredPassage

LEAST_CHARACTERS: Final = 20


@dataclass(frozen=True)
class Exercise:
    """One draft: `passages` are what the question is asked with, or where it comes from; kin share a `group`."""

    kind: str
    question: str
    answer: str
    group: str
    passages: tuple[StoredPassage, ...]


class Search(Protocol):
    """The real retriever: the ids of the best passages for a question, best first."""

    def __call__(self, question: str, count: int) -> list[int]: ...


class Writer(Protocol):
    """The configured engine: an answer to a question from passages, [n] citing them; "" where it declines."""

    def __call__(self, question: str, passages: tuple[StoredPassage, ...]) -> str: ...


def usable(passages: Iterable[StoredPassage], today: date) -> Iterator[StoredPassage]:
    """Passages in force with a heading of their own and enough text for an exercise."""
    for passage in passages:
        in_force = passage.in_force_from <= today < passage.in_force_to
        if in_force and passage.heading_path and len(passage.text) >= LEAST_CHARACTERS:
            yield passage


def heading_of(passage: StoredPassage) -> str:
    """What the passage is about, as its document says."""
    return passage.heading_path[-1]


def group_of(passage: StoredPassage) -> str:
    """Exercises from one section are kin: a definition learnt one way would give the other away."""
    return f"{passage.document_path}#{'>'.join(passage.heading_path)}"[:128]


def chosen(seed: int, *parts: object) -> int:
    """A number that is the same for the same parts: choices of builders are repeatable."""
    told = "\0".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.sha256(told.encode()).digest()[:8])


def as_candidate(passage: StoredPassage) -> Candidate:
    """The passage as engines are given it."""
    return Candidate(
        passage_id=passage.id,
        document_path=passage.document_path,
        document_title=passage.document_title,
        label=passage.label,
        article=passage.article,
        heading_path=passage.heading_path,
        page=passage.page,
        text=MaskedText(passage.text),
        score=1.0,
        in_force_from=passage.in_force_from,
        in_force_to=passage.in_force_to,
    )


@cache
def words() -> Mapping[str, Any]:
    """The words of `words.yaml`."""
    loaded: Mapping[str, Any] = yaml.safe_load(files(__package__).joinpath("words.yaml").read_text(encoding="utf-8"))
    return loaded
