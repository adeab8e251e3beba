"""Writes with the tiny model: orders of any adapters in one running batch, on a thread of its own.

The thread takes orders, loads and unloads in between two tokens; the event loop only waits. Knows no HTTP.
"""

import asyncio
import queue
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import torch
from tokenizers.decoders import DecodeStream

from llm_service.engines.devserver.batch import Batch
from llm_service.engines.devserver.orders import Ending, Load, Order, Piece
from llm_service.engines.devserver.resident import ResidentModel
from llm_service.errors import HaechiError, InvalidInput, Unavailable

MAXIMUM_RUNNING: Final = 8
MAXIMUM_WAITING: Final = 64
CLOSE_SECONDS: Final = 5.0


@dataclass(eq=False)
class _Row:
    """One order on its way. Whatever it says goes to the event loop that asked."""

    order: Order
    adapter: str
    prompt: list[int]
    loop: asyncio.AbstractEventLoop
    pieces: "asyncio.Queue[Piece | HaechiError]"
    decoder: DecodeStream
    chance: torch.Generator
    is_cancelled: bool = False
    tokens: list[int] = field(default_factory=list)
    text: str = ""

    def say(self, said: Piece | HaechiError) -> None:
        # The loop may have closed in the meantime: a reader that is gone needs no piece.
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self.pieces.put_nowait, said)


class ModelWriter:
    """A `Writer` (see orders.py) over a resident model."""

    def __init__(self, model: ResidentModel, model_id: str, maximum_running: int, maximum_waiting: int) -> None:
        self.model_id = model_id
        self.longest_sequence = model.longest_sequence
        self._model = model
        self._batch = Batch(model.forward)
        self._rows: list[_Row] = []
        self._arrived: queue.Queue[_Row | None] = queue.Queue()
        self._asked: queue.Queue[tuple[Callable[[], None], Future[None]]] = queue.Queue()
        self._maximum_running, self._maximum_waiting = maximum_running, maximum_waiting
        self._cancelled = 0
        self._used: Counter[str] = Counter()
        self._leaving: set[str] = set()
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="generate", daemon=True)
        self._thread.start()

    def adapters(self) -> Mapping[str, str]:
        return dict(self._model.directories)

    async def load(self, name: str, directory: str) -> None:
        await self._between_tokens(partial(self._model.load, name, directory))

    async def unload(self, name: str) -> None:
        """The name is unknown at once; orders that were taken before are written to their end with it."""
        await self._between_tokens(lambda: self._leaving.add(self._model.forget(name)))

    def load_now(self) -> Load:
        return Load(len(self._rows), self._arrived.qsize(), self._cancelled)

    def is_well(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        self._is_closing = True
        self._arrived.put(None)
        self._thread.join(CLOSE_SECONDS)

    async def write(self, order: Order) -> AsyncGenerator[Piece, None]:
        row = self._row(order)
        if self._arrived.qsize() >= self._maximum_waiting:
            raise Unavailable("engine_overloaded", "too many orders wait; try again later")
        if not self.is_well():
            raise Unavailable("engine_failed", "the model has stopped; see the log, and start the server again")
        self._used[row.adapter] += 1
        self._arrived.put(row)
        try:
            while True:
                said = await row.pieces.get()
                if isinstance(said, HaechiError):
                    raise said
                yield said
                if said.ending is not None:
                    return
        finally:
            row.is_cancelled = True
            self._used[row.adapter] -= 1

    def _row(self, order: Order) -> _Row:
        adapter = self._model.internal_name(order.adapter)
        prompt = self._model.tokens_of(order.prompt)
        if len(prompt) + order.maximum_tokens > self.longest_sequence:
            raise InvalidInput("prompt_too_long", f"prompt and answer must fit into {self.longest_sequence} tokens")
        decoder = DecodeStream(skip_special_tokens=True)
        chance = torch.Generator().manual_seed(order.seed)
        return _Row(order, adapter, prompt, asyncio.get_running_loop(), asyncio.Queue(), decoder, chance)

    async def _between_tokens(self, change: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._asked.put((change, done))
        self._arrived.put(None)
        await asyncio.wrap_future(done)

    def _work(self) -> None:
        try:
            with torch.inference_mode():
                while not self._is_closing:
                    self._change()
                    self._take_in()
                    self._drop_cancelled()
                    if self._rows:
                        self._advance(self._batch.step([row.tokens[-1] for row in self._rows]))
        finally:
            # Also when the model failed: nobody must wait for a thread that is gone.
            stopped = Unavailable("engine_failed", "the model has stopped; see the log, and start the server again")
            waiting = [self._arrived.get_nowait() for _ in range(self._arrived.qsize())]
            for row in [*self._rows, *filter(None, waiting)]:
                row.say(stopped)

    def _change(self) -> None:
        while not self._asked.empty():
            change, done = self._asked.get()
            try:
                change()
            except HaechiError as error:
                done.set_exception(error)
            else:
                done.set_result(None)
        for adapter in [name for name in self._leaving if not self._used[name] and name not in self._batch.names]:
            self._model.drop(adapter)
            self._leaving.remove(adapter)

    def _take_in(self) -> None:
        """Let waiting orders join while there is room; without any row, wait for one."""
        while len(self._rows) < self._maximum_running:
            try:
                row = self._arrived.get(block=not self._rows)
            except queue.Empty:
                return
            if row is None:
                return
            if row.is_cancelled:
                self._cancelled += 1
                continue
            logits = self._batch.join(row.prompt, row.adapter)
            self._rows.append(row)
            if self._write_token(row, logits):
                self._leave({len(self._rows) - 1})

    def _drop_cancelled(self) -> None:
        gone = {place for place, row in enumerate(self._rows) if row.is_cancelled}
        self._cancelled += len(gone)
        self._leave(gone)

    def _advance(self, logits: torch.Tensor) -> None:
        self._leave({place for place, row in enumerate(self._rows) if self._write_token(row, logits[place])})

    def _leave(self, places: set[int]) -> None:
        self._batch.leave(places)
        self._rows = [row for place, row in enumerate(self._rows) if place not in places]

    def _write_token(self, row: _Row, logits: torch.Tensor) -> bool:
        """Choose and say the row's next token; whether it was the last one."""
        token = _chosen(logits, row.order.temperature, row.chance)
        row.tokens.append(token)
        text = row.decoder.step(self._model.tokenizer.backend_tokenizer, token) or ""
        row.text += text
        ending = self._ending(row, token)
        row.say(Piece(token, text, ending))
        return ending is not None

    def _ending(self, row: _Row, token: int) -> Ending | None:
        counted = len(row.prompt), len(row.tokens)
        if token == self._model.end_token:
            return Ending("mark", *counted)
        if any(stop in row.text for stop in row.order.stop):
            return Ending("string", *counted)
        return Ending("length", *counted) if len(row.tokens) >= row.order.maximum_tokens else None


def _chosen(logits: torch.Tensor, temperature: float, chance: torch.Generator) -> int:
    if temperature <= 0:
        return int(logits.argmax())
    return int(torch.multinomial(torch.softmax(logits.float() / temperature, dim=-1), 1, generator=chance))
