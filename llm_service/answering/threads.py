"""A few threads of their own for work that blocks, so that neither the event loop nor other work waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Returned = TypeVar("Returned")


class Threads:
    """Runs functions on `count` threads; what does not fit waits its turn, first come, first served."""

    def __init__(self, name: str, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix=name)

    async def __call__(self, function: Callable[[], Returned], /) -> Returned:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)

    async def close(self) -> None:
        """Take no more work, forget what waits, and wait for what runs."""
        await asyncio.to_thread(self._executor.shutdown, wait=True, cancel_futures=True)
