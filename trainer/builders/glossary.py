"""Exercises out of glossaries: what a term means, which term is meant (four choices), and writing such a question.

No writer is needed: a glossary says both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from llm_service.store.passages import StoredPassage
from trainer.builders.material import Exercise, chosen, group_of, heading_of, words

CHOICES: Final = 4


@dataclass(frozen=True)
class _Puzzle:
    choices: str
    mark: str


def definitions(passages: Sequence[StoredPassage], seed: int) -> Iterator[Exercise]:
    """The meaning of every term, asked in one of the wordings."""
    wordings = words()["glossary"]
    for passage in passages:
        term = heading_of(passage)
        question = wordings[chosen(seed, "wording", passage.id) % len(wordings)].format(term=term)
        yield Exercise("glossary", question, passage.text, group_of(passage), (passage,))


def four_choices(passages: Sequence[StoredPassage], seed: int) -> Iterator[Exercise]:
    """A definition with four terms of the same glossary; a term that its own definition names gives itself away."""
    told = words()["four_choice"]
    for passage, puzzle in _puzzles(passages, seed):
        question = told["question"].format(definition=passage.text, choices=puzzle.choices)
        answer = told["answer"].format(mark=puzzle.mark, term=heading_of(passage))
        yield Exercise("four_choice", question, answer, group_of(passage), (passage,))


def writing_four_choices(passages: Sequence[StoredPassage], seed: int) -> Iterator[Exercise]:
    """The same the other way round: the question is what is to be written."""
    told = words()["four_choice_writing"]
    for passage, puzzle in _puzzles(passages, seed):
        term = heading_of(passage)
        answer = told["answer"].format(definition=passage.text, choices=puzzle.choices, mark=puzzle.mark, term=term)
        question = told["question"].format(term=term)
        yield Exercise("four_choice_writing", question, answer, group_of(passage), (passage,))


def _puzzles(passages: Sequence[StoredPassage], seed: int) -> Iterator[tuple[StoredPassage, _Puzzle]]:
    marks = words()["marks"]
    terms = sorted({heading_of(passage) for passage in passages})
    for passage in passages:
        term = heading_of(passage)
        others = [other for other in terms if other not in (term, *passage.text.split()) and other not in passage.text]
        if term in passage.text or len(others) < CHOICES - 1:
            continue
        others.sort(key=lambda other: chosen(seed, passage.id, other))
        choices = others[: CHOICES - 1]
        place = chosen(seed, "place", passage.id) % CHOICES
        choices.insert(place, term)
        listed = "\n".join(f"{mark} {choice}" for mark, choice in zip(marks, choices, strict=True))
        yield passage, _Puzzle(listed, marks[place])
