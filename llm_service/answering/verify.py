"""Checks an answer sentence by sentence against the passages it cites. Knows no engine and no channel."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from llm_service.answering.segments import CITATION
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate

Failure = Literal["uncited", "quantity_not_in_source", "polarity_not_in_source", "not_carried"]
LEAST_ENTAILMENT: Final = 0.5


@dataclass(frozen=True)
class SentenceVerdict:
    """What the check found for one sentence. `unsupported` names the kinds of quantities that stand in no source."""

    sentence: MaskedText
    passed: bool
    failures: tuple[Failure, ...]
    unsupported: tuple[str, ...]
    entailment: float
    cited: tuple[int, ...]
    rewritten: bool = False


class Entailment(Protocol):
    """How far the passages carry a sentence, 0 to 1: a lexical score here; an NLI model fits the same slot."""

    def score(self, sentence: str, passages: Sequence[str]) -> float: ...


class LexicalEntailment:
    """Share of the sentence's character bigrams that occur in the passages."""

    def score(self, sentence: str, passages: Sequence[str]) -> float:
        bigrams = _bigrams(sentence)
        if not bigrams:
            return 1.0
        held = frozenset[str]().union(*map(_bigrams, passages))
        return len(bigrams & held) / len(bigrams)


class Verifier:
    """Says for every sentence of a segment whether the cited passages carry it."""

    def __init__(self, entailment: Entailment | None = None, least_entailment: float = LEAST_ENTAILMENT) -> None:
        self._entailment = entailment or LexicalEntailment()
        self._least_entailment = least_entailment

    def check(self, segment: str, cited: Sequence[Candidate], question: str) -> tuple[SentenceVerdict, ...]:
        """A verdict for each sentence of the segment, in order."""
        return tuple(self._verdict(sentence, cited, question) for sentence in sentences_of(segment))

    def _verdict(self, sentence: str, cited: Sequence[Candidate], question: str) -> SentenceVerdict:
        failures: list[Failure] = []
        score = self._entailment.score(sentence, [passage.text for passage in cited]) if cited else 0.0
        if not cited:
            failures.append("uncited")
        elif score < self._least_entailment:
            failures.append("not_carried")
        ids = tuple(passage.passage_id for passage in cited)
        return SentenceVerdict(MaskedText(sentence), not failures, tuple(failures), (), round(score, 3), ids)


_SENTENCE_END: Final = re.compile(r"(?<=[^\s\d.])[.!?](?=[\s”’\"]|$)|\n")


def sentences_of(segment: str) -> tuple[str, ...]:
    """The sentences of a segment without its citation marks."""
    text = CITATION.sub("", segment)
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = [text[start:end].strip() for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return tuple(part for part in parts if any(map(str.isalnum, part)))


def _bigrams(text: str) -> frozenset[str]:
    squeezed = "".join(character for character in text.lower() if character.isalnum())
    return frozenset(squeezed[place : place + 2] for place in range(len(squeezed) - 1))
