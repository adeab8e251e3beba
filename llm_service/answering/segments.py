"""Cuts an answer, while it streams in, into the smallest pieces that can be checked: statements with their citations.

A segment runs up to and including its [n], or to the end of its paragraph. Knows nothing of passages.
"""

import re
from collections.abc import Iterator
from typing import Final

from llm_service.engines.model_server import StatementEnds

CITATION: Final = re.compile(r"\[(\d{1,3}(?:\s?,\s?\d{1,3}){0,9})\]")

# After the marks: the full stop some writers put there, then blanks. One more character proves that it is over.
# Every repetition is bounded, because a language model may repeat itself for ever: of a longer run the end is found.
_CITED_END: Final = re.compile(r"(?:\[\d{1,3}(?:\s?,\s?\d{1,3}){0,9}\][ \t]?){1,8}[.。]?\s{0,48}(?=[^\s\[.。])")
_PARAGRAPH_END: Final = re.compile(r"\n[^\S\n]{0,48}\n\s{0,48}(?=\S)")
_OPEN_CITATION_CHARACTERS: Final = 48
# Of what ends a segment the last character, and what may still stand between it and the next segment.
SEGMENT_ENDS: Final = StatementEnds(marks="]\n", trailing="[.。")


class Segmenter:
    """Collects pieces of a stream and hands out segments as soon as they are complete.

    >>> segmenter = Segmenter()
    >>> [*segmenter.feed("한도는 1억원입니다. [1"), *segmenter.feed("] 단, "), *segmenter.flush()]
    ['한도는 1억원입니다. [1] ', '단, ']
    """

    def __init__(self) -> None:
        self._held = ""

    def feed(self, piece: str) -> Iterator[str]:
        """Segments that this piece completes; joined with the later ones they are the stream, unchanged."""
        # What was held before is searched again only where a mark may have been cut in two.
        searched = max(0, len(self._held) - _OPEN_CITATION_CHARACTERS)
        self._held += piece
        while (end := _first_end(self._held, searched)) is not None:
            yield self._held[:end]
            self._held, searched = self._held[end:], 0

    def flush(self) -> Iterator[str]:
        """What is left when the stream ends."""
        if self._held:
            yield self._held
        self._held = ""


def _first_end(text: str, start: int) -> int | None:
    paragraph = _PARAGRAPH_END.search(text, start)
    cited = _CITED_END.search(text, start, paragraph.end() if paragraph else len(text))
    first = cited or paragraph
    return first.end() if first else None
