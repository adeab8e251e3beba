"""What every engine is asked and what it gives back: a request with numbered passages in, text with citations [n] out.

Knows no model, no index and no channel. Whatever an engine says is checked by `answering` before it is shown.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate

Locale = Literal["ko", "en"]


@dataclass(frozen=True)
class EngineRequest:
    """One question with the passages an answer may rest on; `[n]` in the answer means `passages[n - 1]`.

    `history` is earlier text of the conversation, oldest first. `adapter` names the adapter to answer with; None is the
    base model, and engines without adapters leave it unread.
    """

    question: MaskedText
    passages: tuple[Candidate, ...]
    history: tuple[MaskedText, ...]
    locale: Locale
    adapter: str | None = None


@dataclass(frozen=True)
class Queued:
    """The answer waits for a free model server; `position` 1 is next. Said again whenever the position changes."""

    position: int


@dataclass(frozen=True)
class Measured:
    """What a model's answer cost: tokens, as the server counted them, and seconds from when it was asked for.

    `retries` is how often another attempt was needed before the first token; `adapter` None is the base model.
    """

    adapter: str | None
    prompt_tokens: int
    answer_tokens: int
    queue_seconds: float
    first_token_seconds: float
    total_seconds: float
    retries: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Of the writing alone: without the first token and what came before it."""
        writing = self.total_seconds - self.first_token_seconds
        return (self.answer_tokens - 1) / writing if writing > 0 and self.answer_tokens > 1 else 0.0


EngineEvent = str | Queued | Measured


class Engine(Protocol):
    """Writes an answer from the passages of a request.

    `stream` yields pieces of text that, joined, are the answer; each statement is followed by the [n] of the passage it
    rests on. Yielding no text at all declines the question: the passages do not carry an answer. An engine that has to
    wait says so before its first piece, one that can count says what the answer cost after the last.
    Raises `llm_service.errors.Unavailable` if the engine cannot be reached, `Busy` if too many wait for it already.
    """

    name: str

    def stream(self, request: EngineRequest) -> AsyncIterator[EngineEvent]: ...


@runtime_checkable
class PromptingEngine(Protocol):
    """An engine that asks a model with a prompt, and can say which one without keeping it."""

    def prompt_sha256(self, request: EngineRequest) -> str:
        """`llm_service.answering.prompt.prompt_hash` of the prompt this request is asked with."""
        ...


@runtime_checkable
class RewritingEngine(Protocol):
    """An engine that can be asked, once, to write a statement again which the check did not pass."""

    async def rewrite(self, request: EngineRequest, statement: str, failures: tuple[str, ...]) -> str:
        """The statement written anew with its citations, or "" to give it up. `failures` are the verifier's codes."""
        ...
