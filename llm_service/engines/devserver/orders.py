"""What the development server's routes ask of whatever writes: an order in, pieces out, adapters by name.

Knows no HTTP and no model; the real writer and the scripted one are interchangeable behind `Writer`.
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

Messages = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Order:
    """One generation. `prompt` is text, to which the beginning mark is added, or (role, content) messages.

    `adapter` None is the base model; `stop` strings end the generation after they were written, as TGI does it.
    """

    prompt: str | Messages
    adapter: str | None
    maximum_tokens: int
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int = 0


@dataclass(frozen=True)
class Ending:
    """Why a generation ended, and its tokens. `reason`: the model's end mark, a stop string, or the limit."""

    reason: Literal["length", "mark", "string"]
    prompt_tokens: int
    answer_tokens: int


@dataclass(frozen=True)
class Piece:
    """One token. `text` is empty while a character is not complete; only the last piece has an ending."""

    token: int
    text: str
    ending: Ending | None = None


@dataclass(frozen=True)
class Load:
    """How many generations run and wait now, and how many were given up because their reader left."""

    running: int
    waiting: int
    cancelled: int


class Writer(Protocol):
    """Writes for orders. Closing the pieces of an order ends its work.

    `write` raises `NotFound` (adapter_unknown), `InvalidInput` (prompt_too_long), and `Unavailable` (engine_overloaded,
    engine_failed). `load` raises `NotFound` (adapter_directory_missing), `Conflict` (adapter_loaded) and `InvalidInput`
    (adapter_invalid); `unload` raises `NotFound` (adapter_unknown).
    """

    model_id: str
    longest_sequence: int

    def adapters(self) -> Mapping[str, str]:
        """Directory of each adapter by its name."""
        ...

    async def load(self, name: str, directory: str) -> None: ...

    async def unload(self, name: str) -> None: ...

    def write(self, order: Order) -> AsyncGenerator[Piece, None]: ...

    def load_now(self) -> Load: ...

    def is_well(self) -> bool: ...

    def close(self) -> None:
        """End what runs and let go of threads."""
        ...
