"""From the passages an answer was written on to the sources a person sees: numbered in order of appearance, cited only.

Also takes away from passages what must never reach an answer: placeholders, which would be turned back into a person's
values. Knows no engine and no wording.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from llm_service.answering.segments import CITATION
from llm_service.client import Source
from llm_service.masked import MaskedText
from llm_service.masking.placeholders import neutralise
from llm_service.retrieval.candidate import Candidate

_PLACEHOLDER: Final = re.compile(r"<([A-Z][A-Z0-9_]{0,60})>")


CitedSource = Source
"""A passage that the answer cites as [number]: the shape that travels to the gateway is the shape that is told."""


class CitationLedger:
    """Gives passages their numbers in the order in which the answer cites them.

    `passages` are those the engine was given: its [n] means `passages[n - 1]`.
    """

    def __init__(self, passages: Sequence[Candidate]) -> None:
        self._passages = tuple(passages)
        self._order: list[int] = []

    def cited_by(self, segment: str) -> tuple[Candidate, ...]:
        """The passages a segment cites, in order, each once; marks that point at no passage are passed over."""
        return tuple(self._passages[place] for place in dict.fromkeys(self._places(segment)))

    def renumber(self, segment: str) -> str:
        """The segment with its marks as the person sees them; marks that point at no passage are gone."""
        return CITATION.sub(
            lambda mark: "".join(f"[{self._number(place)}]" for place in self._places(mark[0])), segment
        )

    @property
    def sources(self) -> tuple[CitedSource, ...]:
        """The sources cited so far, in order of their numbers."""
        return tuple(_source(number, self._passages[place]) for number, place in enumerate(self._order, start=1))

    def _places(self, text: str) -> list[int]:
        written = [int(number) for mark in CITATION.finditer(text) for number in mark[1].split(",")]
        return [number - 1 for number in written if 1 <= number <= len(self._passages)]

    def _number(self, place: int) -> int:
        if place not in self._order:
            self._order.append(place)
        return self._order.index(place) + 1


def without_placeholders(passage: Candidate) -> Candidate:
    """The passage with every <PLACEHOLDER> written (PLACEHOLDER): a document must not call up anyone's values.

    Its title and label reach people too; other spellings that restoring would accept are made inert as well.
    """
    return replace(
        passage,
        text=MaskedText(_inert(passage.text)),
        label=_inert(passage.label),
        document_title=_inert(passage.document_title),
        heading_path=tuple(map(_inert, passage.heading_path)),
    )


def _inert(text: str) -> str:
    return neutralise(_PLACEHOLDER.sub(r"(\1)", text))


def _source(number: int, passage: Candidate) -> CitedSource:
    return CitedSource(
        number=number,
        passage_id=passage.passage_id,
        label=passage.label,
        document=passage.document_path,
        title=passage.document_title,
        article=passage.article,
        page=passage.page,
        heading_path=list(passage.heading_path),
        text=passage.text,
        score=passage.score,
        in_force_from=passage.in_force_from.isoformat(),
    )
