"""Asks every part whether it can do its work now, all at once and within a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from llm_service.errors import HaechiError

CHECK_SECONDS: Final = 3.0
READY: Final = "ready"
DEGRADED: Final = "degraded"
Check = Callable[[], Awaitable[None]]


class Readiness:
    """`checks` by the name of their part; a check returns, or raises a `HaechiError`.

    `optional` parts have something that stands in for them: without one the service is degraded, and still ready.
    """

    def __init__(self, checks: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> None:
        self._optional = dict(optional or {})
        self._checks = {**checks, **self._optional}

    async def states(self) -> dict[str, str]:
        """Each part with "ready", "degraded", "slow", or the code of what is wrong."""
        states = await asyncio.gather(*(_state(check) for check in self._checks.values()))
        return {
            part: DEGRADED if part in self._optional and state != READY else state
            for part, state in zip(self._checks, states, strict=True)
        }


async def _state(check: Check) -> str:
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return "slow"
    except HaechiError as error:
        return error.code
    return READY
