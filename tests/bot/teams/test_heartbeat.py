"""The worker's pulse, by which a probe sees that it lives."""

import asyncio
from contextlib import suppress
from pathlib import Path

from bot.gateway.teams.app import beat


async def test_a_living_worker_touches_its_file(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    pulse = asyncio.create_task(beat(file))
    async with asyncio.timeout(5):
        while not file.exists():
            await asyncio.sleep(0)
    pulse.cancel()
    with suppress(asyncio.CancelledError):
        await pulse
