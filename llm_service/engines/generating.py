"""The engine that lets a model write: renders the prompt with what it is handed, and asks a pool of model servers.

Knows neither the prompt's words nor which servers there are; whatever the model says is checked by whoever asked.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from llm_service.engines.base import EngineEvent, EngineRequest
from llm_service.engines.model_server import ModelServer, Prompt, Sampling
from llm_service.engines.pool import Pool
from llm_service.errors import HaechiError, Unavailable

REWRITE_TOKENS: Final = 192
REWRITE_SECONDS: Final = 10.0


@dataclass(frozen=True)
class Prompting:
    """How a request becomes a prompt: for the answer, for writing a statement anew, and as a hash to explain it by."""

    answer: Callable[[EngineRequest], Prompt]
    rewrite: Callable[[EngineRequest, str, tuple[str, ...]], Prompt]
    sha256: Callable[[EngineRequest], str]


class GeneratingEngine:
    """An `Engine`, a `PromptingEngine` and a `RewritingEngine`. `name` is the servers' dialect."""

    def __init__(self, name: str, pool: Pool, prompting: Prompting, sampling: Sampling) -> None:
        self.name = name
        self.pool = pool
        self._prompting = prompting
        self._sampling = sampling

    def prompt_sha256(self, request: EngineRequest) -> str:
        return self._prompting.sha256(request)

    def stream(self, request: EngineRequest) -> AsyncGenerator[EngineEvent, None]:
        return self.pool.stream(self._prompting.answer(request), request.adapter, self._sampling)

    async def ping(self) -> None:
        """Raises `Unavailable` (engine_unreachable) if no model server says that it is well."""
        asked = await asyncio.gather(*(_is_well(server) for server in self.pool.servers))
        if not any(asked):
            raise Unavailable("engine_unreachable", "no model server is well; see HAECHI_ENGINE_URLS")

    async def close(self) -> None:
        for server in self.pool.servers:
            await server.close()

    async def rewrite(self, request: EngineRequest, statement: str, failures: tuple[str, ...]) -> str:
        prompt = self._prompting.rewrite(request, statement, failures)
        sampling = replace(self._sampling, maximum_tokens=REWRITE_TOKENS, seconds=REWRITE_SECONDS)
        async with aclosing(self.pool.stream(prompt, request.adapter, sampling)) as events:
            return "".join([event async for event in events if isinstance(event, str)])


async def _is_well(server: ModelServer) -> bool:
    try:
        return (await server.health()).ready
    except HaechiError:
        return False
