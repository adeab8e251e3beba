"""Asks every part whether it can do its work now, all at once and within a time limit."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from llm_service.errors import HaechiError

CHECK_SECONDS: Final = 3.0
READY: Final = "ready"
Check = Callable[[], Awaitable[None]]


class Readiness:
    """`checks` by the name of their part; a check returns, or raises a `HaechiError`."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = dict(checks)

    async def states(self) -> dict[str, str]:
        """Each part with "ready", "slow", or the code of what is wrong."""
        states = await asyncio.gather(*(_state(check) for check in self._checks.values()))
        return dict(zip(self._checks, states, strict=True))


async def _state(check: Check) -> str:
    try:
        await asyncio.wait_for(check(), CHECK_SECONDS)
    except TimeoutError:
        return "slow"
    except HaechiError as error:
        return error.code
    return READY
