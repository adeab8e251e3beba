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


class Engine(Protocol):
    """Writes an answer from the passages of a request.

    `stream` yields pieces of text that, joined, are the answer; each statement is followed by the [n] of the passage it
    rests on. Yielding nothing at all declines the question: the passages do not carry an answer.
    Raises `llm_service.errors.Unavailable` if the engine cannot be reached.
    """

    name: str

    def stream(self, request: EngineRequest) -> AsyncIterator[str]: ...


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
