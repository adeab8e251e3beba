"""Term statistics as bytes, so that a start need not read every passage again. Knows not where they are kept.

A head says what was counted and how long the arrays are; the arrays follow as they are in memory. No pickle: nothing
in the bytes is executed.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import accumulate, pairwise
from typing import Any, TypeVar
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from llm_service.retrieval.statistics import CountedDocument, Group, TermStatistics, Visibility
from llm_service.retrieval.term_counts import TermCounts

FORMAT = 1
"""Raised whenever the bytes would be read otherwise."""

# "haechi term statistics", format, CRC-32 of everything that follows: the length of the head first.
_START = struct.Struct("<4sII")
_LENGTH = struct.Struct("<I")
_MAGIC = b"HTST"
Item = TypeVar("Item")
Scalar = TypeVar("Scalar", np.uint32, np.int32, np.int64)


class StatisticsUnusable(ValueError):
    """The bytes are not the statistics that were asked for; count the passages again."""


def pack_statistics(statistics: TermStatistics, made_with: str) -> bytes:
    """The statistics, and with which analyser and weights (`made_with`) their terms were made."""
    documents, groups = statistics.settled()
    visibilities = list(groups)
    numbers = {visibility: number for number, visibility in enumerate(visibilities)}
    head = _aligned(
        {
            "made_with": made_with,
            "groups": [[*_written(seen), group.passages, len(group.counts.terms)] for seen, group in groups.items()],
            "documents": [
                [id_, numbers[one.visibility], len(one.passage_ids), len(one.counts.terms), *one.lengths]
                for id_, one in documents.items()
            ],
        }
    )
    counts = [group.counts for group in groups.values()] + [one.counts for one in documents.values()]
    body = b"".join(
        [
            _LENGTH.pack(len(head)),
            head,
            *(np.asarray(one.passage_ids, "<i8").tobytes() for one in documents.values()),
            *(np.asarray(one.terms, "<u4").tobytes() for one in counts),
            *(np.asarray(one.counts, "<i4").tobytes() for one in counts),
        ]
    )
    return _START.pack(_MAGIC, FORMAT, crc32(body)) + body


def unpack_statistics(kept: bytes, made_with: str) -> TermStatistics:
    """The inverse. Raises `StatisticsUnusable` for bytes that are damaged, of another format or made otherwise."""
    if len(kept) < _START.size:
        raise _unusable("too short")
    magic, written_as, checksum = _START.unpack_from(kept)
    if (magic, written_as) != (_MAGIC, FORMAT):
        raise _unusable("of another format")
    body = memoryview(kept)[_START.size :]
    if crc32(body) != checksum:
        raise _unusable("damaged")
    arrays_start = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    head = json.loads(bytes(body[_LENGTH.size : arrays_start]))
    if head["made_with"] != made_with:
        raise _unusable("of another analyser")
    return _read(head, body[arrays_start:])


def _read(head: dict[str, Any], arrays: memoryview) -> TermStatistics:
    """The checksum has been compared: what is read here is what `pack_statistics` wrote."""
    visibilities = [_visibility(group) for group in head["groups"]]
    passages = [document[2] for document in head["documents"]]
    terms = [*(group[5] for group in head["groups"]), *(document[3] for document in head["documents"])]
    passages_end = 8 * sum(passages)
    terms_end = passages_end + 4 * sum(terms)
    passage_ids = _cut(np.frombuffer(arrays[:passages_end], np.int64), passages)
    counts = [
        TermCounts(of_one, how_often)
        for of_one, how_often in zip(
            _cut(np.frombuffer(arrays[passages_end:terms_end], np.uint32), terms),
            _cut(np.frombuffer(arrays[terms_end:], np.int32), terms),
            strict=True,
        )
    ]
    groups = {
        seen: Group(group[4], one) for seen, group, one in zip(visibilities, head["groups"], counts, strict=False)
    }
    documents = {
        document[0]: CountedDocument(visibilities[document[1]], ids, tuple(document[4:]), one)
        for document, ids, one in zip(head["documents"], passage_ids, counts[len(groups) :], strict=True)
    }
    return TermStatistics(documents, groups)


def _aligned(head: dict[str, object]) -> bytes:
    """JSON, with blanks behind it until the arrays begin where eight bytes are read at once."""
    written = json.dumps(head).encode()
    return written.ljust(-(-len(written) // 8) * 8)


def _cut(array: NDArray[Scalar], lengths: Sequence[int]) -> Iterator[NDArray[Scalar]]:
    return (array[start:end] for start, end in pairwise(accumulate(lengths, initial=0)))


def _written(visibility: Visibility) -> list[object]:
    since, until = visibility.in_force_from.isoformat(), visibility.in_force_to.isoformat()
    return [list(visibility.audience), since, until, list(visibility.groups)]


def _visibility(group: Sequence[Any]) -> Visibility:
    audience, since, until, groups = group[:4]
    return Visibility(tuple(audience), date.fromisoformat(since), date.fromisoformat(until), tuple(groups))


def _unusable(why: str) -> StatisticsUnusable:
    return StatisticsUnusable(f"the kept term statistics are {why}; count the passages again")
