"""What one model server is asked: text for a prompt by one adapter, which adapters it holds, whether it is well.

One object stands for one replica at one address. Knows neither passages nor citations; choosing between replicas,
retrying and giving up is not done here either.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal, Protocol

PromptForm = Literal["text", "messages"]


@dataclass(frozen=True)
class Capabilities:
    """What a server can do for adapters.

    `loads_adapters`: at run time, by a route. `lists_adapters`: says which it holds. `rejects_unknown`: answers an
    unknown adapter with an error; a server that does not answers it from the base model with status 200.
    """

    loads_adapters: bool
    lists_adapters: bool
    rejects_unknown: bool


@dataclass(frozen=True)
class Prompt:
    """One prompt in both forms; a deployment uses one of them throughout.

    `text` is the rendered prompt without the leading beginning-of-sequence mark; `messages` are (role, content) pairs.
    """

    text: str
    messages: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class StatementEnds:
    """How the end of a statement is told: by one of the characters `marks`, then `trailing` ones and blanks, if any.

    That it was the end is known by the next character.
    """

    marks: str
    trailing: str = ""


@dataclass(frozen=True)
class Sampling:
    """How a server writes. `stop` strings end the text and are not part of it; `seconds` limits the whole answer.

    With `ends`, whoever reads wants whole statements: after the first word a client may hand over several pieces as
    one, yet none later than when they show that a statement may have ended. Without, each piece comes as it is.
    """

    maximum_tokens: int = 512
    temperature: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    seconds: float = 60.0
    ends: StatementEnds | None = None


@dataclass(frozen=True)
class Usage:
    """Tokens of one generation as the server counted them, and why it ended."""

    prompt_tokens: int
    answer_tokens: int
    finish: Literal["stop", "length"]


@dataclass(frozen=True)
class Delta:
    """A piece of text, never half a character; the last one carries the usage where the server tells it.

    `pieces` is how many of the server's it is made of.
    """

    text: str
    usage: Usage | None = None
    pieces: int = 1


@dataclass(frozen=True)
class Health:
    """Whether a replica answers, and which base model and revision it says it serves ("" where it does not)."""

    ready: bool
    model: str = ""
    detail: str = ""


class ModelServer(Protocol):
    """One replica. `name` is its dialect ("tgi", "vllm", …), `address` its own URL.

    `stream` ends the server's work as soon as its reader leaves (closes the iterator). Every method raises
    `llm_service.errors.Unavailable` where the server cannot be reached or fails, with a code that says how
    (engine_unreachable, engine_overloaded, engine_timeout, engine_failed, engine_stream_cut);
    `InvalidInput` (engine_refused_request) where it refuses the request; `NotFound` (adapter_unknown) where it says
    that it has no such adapter. `activate` and `deactivate` are only for servers that `loads_adapters`,
    `adapters` only for those that `lists_adapters`; others raise `Misconfigured`.
    """

    name: str
    address: str
    capabilities: Capabilities

    def stream(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncIterator[Delta]: ...

    async def adapters(self) -> frozenset[str]: ...

    async def activate(self, adapter: str, directory: str) -> None: ...

    async def deactivate(self, adapter: str) -> None: ...

    async def health(self) -> Health: ...

    async def close(self) -> None:
        """Give its connections back."""
        ...
