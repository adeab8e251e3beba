"""Cuts text that is too long for one passage: between lines first, then between sentences, never inside either if it
can."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

_SENTENCE_END = re.compile(r"(?<=[다요음함임됨것까죠오]\.)\s+|(?<=[!?。])\s+|(?<=[a-z)\]]\.)\s+(?=[A-Z가-힣])")
_BREAKS = (". ", ", ", "ㆍ", " ")


def pack(items: Sequence[Item], room: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Neighbouring items in groups of at most `room`; an item larger than that stands alone."""
    group: list[Item] = []
    filled = 0
    for item in items:
        if group and filled + size(item) > room:
            yield group
            group, filled = [], 0
        group.append(item)
        filled += size(item)
    if group:
        yield group


def split_long(lines: Sequence[str], room: int) -> Iterator[list[str]]:
    """Lines in groups of at most `room` characters; a line longer than that is cut between sentences."""
    return pack([piece for line in lines for piece in sentence_pieces(line, room)], room, len)


def sentence_pieces(line: str, room: int) -> Iterator[str]:
    """The line in pieces of at most `room` characters, whole sentences together; a sentence longer than that is cut at
    a comma or blank."""
    if len(line) <= room:
        yield line
        return
    sentences = [piece for sentence in _SENTENCE_END.split(line) for piece in _hard_pieces(sentence, room)]
    for group in pack(sentences, room, len):
        yield " ".join(group)


def _hard_pieces(sentence: str, room: int) -> Iterator[str]:
    start = 0
    while len(sentence) - start > room:
        middle, end = start + room // 2, start + room
        cut = next((at + len(mark) for mark in _BREAKS if (at := sentence.rfind(mark, middle, end)) >= 0), end)
        yield sentence[start:cut].strip()
        start = cut
    if rest := sentence[start:].strip():
        yield rest
