"""The worker's pulse, by which a probe sees that it lives."""

import asyncio
from contextlib import suppress
from pathlib import Path

from bot.gateway.teams.app import beat


async def test_a_living_worker_touches_its_file(tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    pulse = asyncio.create_task(beat(file))
    await asyncio.sleep(0)
    assert file.exists()
    pulse.cancel()
    with suppress(asyncio.CancelledError):
        await pulse
