"""How well an answer rests on its passages: citations, what the verifier lets through, refusals, words of the trade.

Uses the checks of serving, so that what is counted here is what a person would have been shown. Knows no model.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from llm_service.answering.segments import CITATION, Segmenter
from llm_service.answering.verify import Verifier
from llm_service.retrieval.candidate import Candidate
from trainer.measures.text import korean_tokens, normalised

_VERIFIER: Final = Verifier()

FindPersonalData = Callable[[str], Sequence[str]]
"""The personal values found in a text; `masker_finder` makes one of the platform's masker."""


@dataclass(frozen=True)
class Checked:
    """Statements of an answer and how many of them the verifier of serving would let through."""

    statements: int
    passed: int

    @property
    def share(self) -> float:
        return self.passed / self.statements if self.statements else 1.0


def cited_numbers(answer: str) -> frozenset[int]:
    """The n of every [n] in an answer."""
    return frozenset(int(number) for mark in CITATION.finditer(answer) for number in mark[1].split(","))


def citation_precision(answer: str, gold: Sequence[int]) -> float:
    """Share of the cited passages that bear the answer; 0 if none is cited where one should be."""
    cited = cited_numbers(answer)
    return len(cited & set(gold)) / len(cited) if cited else float(not gold)


def citation_recall(answer: str, gold: Sequence[int]) -> float:
    """Share of the bearing passages that are cited."""
    return len(cited_numbers(answer) & set(gold)) / len(set(gold)) if gold else 1.0


def checked(answer: str, passages: Sequence[Candidate], question: str) -> Checked:
    """What the verifier says of every sentence of an answer."""
    segmenter = Segmenter()
    verdicts = [
        verdict
        for segment in (*segmenter.feed(answer), *segmenter.flush())
        for verdict in _VERIFIER.check(segment, _cited(segment, passages), question)
    ]
    return Checked(len(verdicts), sum(verdict.passed for verdict in verdicts))


def is_refusal(answer: str, opening: str) -> bool:
    """Whether an answer is the refusal that the instructions ask for."""
    return normalised(answer).startswith(normalised(opening))


def term_use(answer: str, terms: Sequence[str]) -> float:
    """Share of the expected words of the trade that the answer uses, as written or as the same run of morphemes."""
    plain, tokens = normalised(answer), f" {' '.join(korean_tokens(normalised(answer)))} "
    used = [term for term in terms if normalised(term) in plain or f" {' '.join(korean_tokens(term))} " in tokens]
    return len(used) / len(terms) if terms else 1.0


def leaked_values(answer: str, prompt: str, find: FindPersonalData) -> int:
    """How many personal values an answer holds that its prompt did not."""
    known = prompt.casefold()
    return sum(value.casefold() not in known for value in find(answer))


def _cited(segment: str, passages: Sequence[Candidate]) -> list[Candidate]:
    return [passages[number - 1] for number in sorted(cited_numbers(segment)) if 1 <= number <= len(passages)]
