"""Says of an event stream, as it comes in, when its reader has something to do: where a statement may have ended.

With hundreds of answers at once, waking a reader for every word costs more than reading it. Looks at bytes and reads no
JSON; whatever it does not know wakes the reader, so that only waiting is decided here.
"""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from llm_service.engines.model_server import Delta, StatementEnds
from llm_service.errors import HaechiError

_WORD: Final = re.compile(rb'"(?:text|content)":\s?"((?:[^"\\]|\\.)*)"')
_LAST_BLANK: Final = 0x3000
_BLANKS: Final = "".join(filter(str.isspace, map(chr, range(_LAST_BLANK + 1))))


class Gathering:
    """Asked of every piece of a stream whether its reader is to be woken; `heard_at` is when the last one came.

    The first word wakes, then each one that shows that a statement may have ended, and everything that is no word:
    usage, errors, the end, an event in pieces.
    """

    def __init__(self, ends: StatementEnds, clock: Callable[[], float]) -> None:
        self.heard_at = 0.0
        self._clock = clock
        self._has_begun = False
        self._held = b""
        self._mark, self._may_have_ended, self._has_ended = _patterns(ends)

    def __call__(self, piece: bytes) -> bool:
        self.heard_at = self._clock()
        words = _WORD.findall(piece)
        if not words or len(words) != piece.count(b"data:") or not piece.endswith(b"\n"):
            return True
        self._held += b"".join(words)
        is_first = not self._has_begun and bool(self._held)
        self._has_begun = self._has_begun or is_first
        may_have_ended = self._may_have_ended.search(self._held) is not None
        if (ended := self._has_ended.search(self._held)) is not None:
            self._held = self._held[ended.end() - 1 :]
        if self._mark.search(self._held) is None:
            self._held = b""
        return is_first or may_have_ended


def together(deltas: Iterable[Delta]) -> Iterator[Delta]:
    """Deltas that came together as one; what was said before a failure is told before it."""
    said: list[str] = []
    usage = None
    try:
        for delta in deltas:
            usage = delta.usage or usage
            if delta.text:
                said.append(delta.text)
    except HaechiError:
        if said:
            yield Delta("".join(said), usage, len(said))
        raise
    if said or usage is not None:
        yield Delta("".join(said), usage, len(said))


@functools.cache
def _patterns(ends: StatementEnds) -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """A mark; one with anything but blanks behind it; one with something behind it that is no part of the end."""
    mark, blank, part = map(_any_of, (ends.marks, _BLANKS, f"{ends.marks}{ends.trailing}{_BLANKS}"))
    return (
        re.compile(mark),
        re.compile(b"%b%b*+." % (mark, blank), re.DOTALL),
        re.compile(b"%b%b*+." % (mark, part), re.DOTALL),
    )


def _any_of(characters: str) -> bytes:
    """A pattern for any of some characters in a JSON string, written out or escaped."""
    spelt = {json.dumps(character, ensure_ascii=escaped)[1:-1] for character in characters for escaped in (True, False)}
    return b"(?:%b)" % b"|".join(re.escape(one.encode()) for one in sorted(spelt))
