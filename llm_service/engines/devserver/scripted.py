"""Writes without a model, by a fixed clock: so many tokens a second for every order, however many there are.

For measuring what stands in front of an engine. It repeats the first passage of the prompt with citations, so that
the check of answers has real work, and says the adapter's name first, so that a mix-up of adapters is seen.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from typing import Final

from llm_service.engines.devserver.orders import Ending, Load, Order, Piece
from llm_service.errors import Conflict, NotFound, Unavailable

# The first lines of foreign text in a rendered prompt, as `llm_service.answering.prompt` marks them.
_PASSAGE: Final = re.compile(r"(?:^▏ .+\n?)+", re.MULTILINE)
_WORD: Final = re.compile(r"\s*\S+")
_WITHOUT_PASSAGE: Final = "문서에서 찾지 못했습니다."
_LONGEST_SEQUENCE: Final = 32_768


class ScriptedWriter:
    """A `Writer` (see orders.py). Tokens are words; counts of prompt tokens are words too."""

    def __init__(
        self, model_id: str, tokens_per_second: float, first_token_seconds: float, maximum_running: int
    ) -> None:
        self.model_id = model_id
        self.longest_sequence = _LONGEST_SEQUENCE
        self._seconds = 1 / tokens_per_second
        self._first_token_seconds = first_token_seconds
        self._maximum_running = maximum_running
        self.directories: dict[str, str] = {}
        self._running = 0
        self._cancelled = 0

    def adapters(self) -> Mapping[str, str]:
        return dict(self.directories)

    async def load(self, name: str, directory: str) -> None:
        if name in self.directories:
            raise Conflict("adapter_loaded", "an adapter of this name is loaded; names are used once")
        self.directories[name] = directory

    async def unload(self, name: str) -> None:
        self._known(name)
        del self.directories[name]

    def load_now(self) -> Load:
        return Load(self._running, 0, self._cancelled)

    def is_well(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing runs on its own here."""

    async def write(self, order: Order) -> AsyncGenerator[Piece, None]:
        if order.adapter is not None:
            self._known(order.adapter)
        if self._running >= self._maximum_running:
            raise Unavailable("engine_overloaded", "too many orders run; try again later")
        prompt = order.prompt if isinstance(order.prompt, str) else "\n".join(content for _, content in order.prompt)
        counted, words, is_whole = len(prompt.split()), _script(prompt, order.adapter), False
        self._running += 1
        try:
            clock = asyncio.get_running_loop().time
            begun = clock() + self._first_token_seconds
            for number, word in enumerate(words[: order.maximum_tokens]):
                await asyncio.sleep(max(0.0, begun + number * self._seconds - clock()))
                is_whole = number + 1 in (len(words), order.maximum_tokens)
                reason: Ending | None = None
                if is_whole:
                    reason = Ending("mark" if number + 1 == len(words) else "length", counted, number + 1)
                yield Piece(number, word, reason)
        finally:
            self._running -= 1
            self._cancelled += not is_whole

    def _known(self, name: str) -> None:
        if name not in self.directories:
            raise NotFound("adapter_unknown", "there is no adapter of this name here")


def _script(prompt: str, adapter: str | None) -> list[str]:
    passage = _PASSAGE.search(prompt)
    lines = [f"{line.removeprefix('▏ ')} [1]" for line in passage[0].splitlines()] if passage else [_WITHOUT_PASSAGE]
    return _WORD.findall("\n".join([f"({adapter}) {lines[0]}" if adapter else lines[0], *lines[1:]]))
