"""Ends a stream of text at the first of some strings, which may arrive in pieces and is not part of the text.

Knows no server: those that send the stop string along and those that do not give the same text through it.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from llm_service.engines.model_server import Delta


class StopScanner:
    """Feed it pieces; what it hands back can be shown. `found` says that a stop string came and nothing more will."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.found = False
        self._stop = tuple(filter(None, stop))
        self._beginnings = frozenset(string[0] for string in self._stop)
        self._held = ""

    def feed(self, piece: str) -> str:
        """As much of the text as cannot belong to a stop string any more."""
        if self.found:
            return ""
        if not self._held and self._beginnings.isdisjoint(piece):
            return piece
        self._held += piece
        places = [place for stop in self._stop if (place := self._held.find(stop)) >= 0]
        if places:
            self.found = True
            shown, self._held = self._held[: min(places)], ""
            return shown
        kept = max((self._beginning_of(stop) for stop in self._stop), default=0)
        shown, self._held = self._held[: len(self._held) - kept], self._held[len(self._held) - kept :]
        return shown

    def flush(self) -> str:
        """What was held back, once the stream has ended without a stop string."""
        shown, self._held = self._held, ""
        return shown

    def _beginning_of(self, stop: str) -> int:
        """How many characters at the end of the text may be the beginning of a stop string."""
        longest = min(len(stop) - 1, len(self._held))
        return next((length for length in range(longest, 0, -1) if self._held.endswith(stop[:length])), 0)


async def until_stop(deltas: AsyncGenerator[Delta, None], stop: Sequence[str]) -> AsyncGenerator[Delta, None]:
    """The deltas up to the first stop string, and the usage that comes after it."""
    scanner = StopScanner(stop)
    async with aclosing(deltas):
        async for delta in deltas:
            text = scanner.feed(delta.text) + (scanner.flush() if delta.usage is not None else "")
            if text is delta.text:
                yield delta
            elif text or delta.usage is not None:
                yield Delta(text, delta.usage, delta.pieces)
    if rest := scanner.flush():
        yield Delta(rest)
