"""Seconds from a promotion's call until the version serves, and of a rollback's call, against a running platform.

`python -m benchmarks.adapter_rollout NAME`: the version has to be approved, and is active no longer when this ends.
"""

import argparse
import asyncio
import time
from getpass import getuser

from haechi.connection import platform
from haechi.settings import PlatformSettings
from llm_service.adapter_client import AdapterClient
from llm_service.client import PERSON_HEADER, ROLES_HEADER

POLL_SECONDS = 0.05


async def measure(adapters: AdapterClient, name: str) -> tuple[float, float]:
    """Seconds of both; raises `RuntimeError` if the promotion ends otherwise than serving."""
    started = time.perf_counter()
    promotion_id = await adapters.promote(name)
    while True:
        found = next(one for one in (await adapters.status()).promotions if one.id == promotion_id)
        if found.state != "loading":
            break
        await asyncio.sleep(POLL_SECONDS)
    if found.state != "serving":
        raise RuntimeError(f"the promotion ended as {found.state}: {found.reason}")
    serving = time.perf_counter()
    await adapters.roll_back("active", "benchmark")
    return serving - started, time.perf_counter() - serving


async def run(name: str) -> None:
    """Measure once and print."""
    headers = {PERSON_HEADER: getuser(), ROLES_HEADER: "approver"}
    async with platform(PlatformSettings()) as found:
        promoted, rolled_back = await measure(AdapterClient(found.llm_service, headers), name)
    print(
        f"promotion to serving {promoted:.2f} s (bar 10 s), rollback {rolled_back:.3f} s (bar 2 s, plus 1 s of cache)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="an approved version")
    asyncio.run(run(parser.parse_args().name))


if __name__ == "__main__":
    main()
