"""What a passage bears out, laid open once for checking: its quantities, its own place in the law, its sentences.

Knows no answer and no threshold.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from llm_service.answering.quantities import Bound, Quantity, quantities_of
from llm_service.retrieval.candidate import Candidate

REMEMBERED_PASSAGES: Final = 512

# A mark such as ” belongs to the quotation, an ellipsis to nobody: both part sentences like a line end does.
_SENTENCE_END: Final = re.compile(r"(?<=[^\s\d.])[.!?](?=[\s”’\")…]|$)|[\n…]")
_ROW: Final = re.compile(r"^.* \| .*$", re.MULTILINE)
_POSITION: Final = re.compile(r"(?m)^\W{0,3}(?:([①-⑳])|([0-9]{1,3}(?:의[0-9]{1,2})?)\.(?=\s)|([가-하])\.(?=\s))")
_FIRST_CIRCLED: Final = ord("①")

Chain = tuple[str, ...]
"""The parts of a citation of law, outermost first: ("제4조의2", "제1항", "제3호")."""


@dataclass(frozen=True)
class Sentence:
    text: str
    bigrams: frozenset[str]


@dataclass(frozen=True)
class Evidence:
    """`bounds` maps a quantity to the words found behind it, None for none; `row_numbers` are those without a unit."""

    bigrams: frozenset[str]
    bounds: Mapping[tuple[str, str], frozenset[Bound | None]]
    numbers: frozenset[Fraction]
    row_numbers: frozenset[Fraction]
    chains: frozenset[Chain]
    sentences: tuple[Sentence, ...]


@lru_cache(maxsize=REMEMBERED_PASSAGES)
def evidence_of(passage: Candidate) -> Evidence:
    """Everything an answer that cites this passage may rest on: its text, its label and titles, its dates."""
    heading = heading_of(passage)
    found = (*quantities_of(passage.text), *quantities_of(heading))
    return Evidence(
        bigrams=bigrams_of(f"{passage.text}\n{heading}"),
        bounds=_bounds(found),
        numbers=frozenset(quantity.number for quantity in found if quantity.number is not None),
        row_numbers=frozenset(_row_numbers(passage.text)),
        chains=frozenset((*_chains(found), *_own_positions(passage))),
        sentences=tuple(Sentence(text, bigrams_of(text)) for text in sentences_of(passage.text)),
    )


@lru_cache(maxsize=REMEMBERED_PASSAGES)
def squeezed_passage(passage: Candidate) -> str:
    """The text and the heading of a passage without blanks, to look for what is quoted word for word."""
    return squeezed(f"{passage.text}\n{heading_of(passage)}")


def heading_of(passage: Candidate) -> str:
    """What a passage says about itself beside its text: titles, label, first day in force."""
    return "\n".join((passage.document_title, passage.label, *passage.heading_path, passage.in_force_from.isoformat()))


def sentences_of(text: str) -> tuple[str, ...]:
    """The sentences of a text, parted at full stops, line ends and ellipses."""
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    parts = [text[start:end].strip(" \t\n…“”") for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]
    return tuple(part for part in parts if any(map(str.isalnum, part)))


def bigrams_of(text: str) -> frozenset[str]:
    """Pairs of neighbouring letters and digits, blanks and signs disregarded."""
    letters = "".join(filter(str.isalnum, text.lower()))
    return frozenset(letters[place : place + 2] for place in range(len(letters) - 1))


def squeezed(text: str) -> str:
    """The text without blanks."""
    return "".join(text.split())


def chain_of(quantity: Quantity) -> Chain:
    """The parts of an article's quantity."""
    return tuple(quantity.value.split("/"))


def _bounds(found: tuple[Quantity, ...]) -> dict[tuple[str, str], frozenset[Bound | None]]:
    bounds: dict[tuple[str, str], frozenset[Bound | None]] = {}
    for quantity in found:
        key = (quantity.kind, quantity.value)
        bounds[key] = bounds.get(key, frozenset()) | {quantity.bound}
    return bounds


def _row_numbers(text: str) -> Iterator[Fraction]:
    """Bare numbers in rows of tables: their unit may stand in the head of the column."""
    for row in _ROW.findall(text):
        for quantity in quantities_of(row):
            if quantity.kind == "number" and quantity.number is not None:
                yield quantity.number


def _chains(found: tuple[Quantity, ...]) -> Iterator[Chain]:
    return (chain_of(quantity) for quantity in found if quantity.kind == "article")


def _own_positions(passage: Candidate) -> Iterator[Chain]:
    """The 항, 호 and 목 that the passage itself is made of, below its own article."""
    article = (passage.article.replace(" ", ""),) if passage.article else ()
    labelled = [chain for chain in _chains(quantities_of(passage.label)) if chain[:1] == article]
    paragraph: Chain = ()
    item: Chain = ()
    for circled, number, letter in _POSITION.findall(passage.text):
        if circled:
            paragraph, item = (f"제{ord(circled) - _FIRST_CIRCLED + 1}항",), ()
        elif number:
            head, _, branch = number.partition("의")
            item = (f"제{int(head)}호" + (f"의{int(branch)}" if branch else ""),)
        yield (*article, *paragraph, *item, *((f"{letter}목",) if letter else ()))
        for chain in labelled:
            yield (*chain, *item)
