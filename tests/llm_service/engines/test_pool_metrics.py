"""What a scrape says of the model servers."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from llm_service.engines.model_server import Capabilities, Delta, Health, Prompt, Sampling, Usage
from llm_service.engines.pool import Pool, PoolLimits
from llm_service.engines.pool_metrics import PoolMetrics
from llm_service.errors import Unavailable

PROMPT = Prompt("[INST] 질문 [/INST]", (("user", "질문"),))


@dataclass
class _Server:
    """A model server that is gone, or answers."""

    address: str
    is_gone: bool
    name: str = "scripted"
    capabilities: Capabilities = Capabilities(False, False, False)  # noqa: RUF009  frozen

    async def stream(self, prompt: Prompt, adapter: str | None, sampling: Sampling) -> AsyncIterator[Delta]:
        if self.is_gone:
            raise Unavailable("engine_unreachable", "gone")
        yield Delta("말", Usage(1, 1, "stop"))

    async def adapters(self) -> frozenset[str]:
        return frozenset()

    async def activate(self, adapter: str, directory: str) -> None: ...

    async def deactivate(self, adapter: str) -> None: ...

    async def health(self) -> Health:
        return Health(not self.is_gone)

    async def close(self) -> None: ...


async def _answered(pool: Pool) -> None:
    async for _ in pool.stream(PROMPT, None, Sampling()):
        pass


async def test_a_replica_that_is_gone_is_told_with_its_failures_and_the_opening_of_its_breaker() -> None:
    pool = Pool([_Server("http://gone", is_gone=True)], PoolLimits(attempts=1, failures=2, open_seconds=60))
    registry = CollectorRegistry()
    registry.register(PoolMetrics(pool))
    replica = {"replica": "http://gone"}
    assert registry.get_sample_value("haechi_engine_replica_well", replica) == 1
    for _ in range(2):
        with pytest.raises(Unavailable):
            await _answered(pool)
    assert registry.get_sample_value("haechi_engine_replica_well", replica) == 0
    assert registry.get_sample_value("haechi_engine_replica_failures_total", replica) == 2
    assert registry.get_sample_value("haechi_engine_breaker_openings_total", replica) == 1


async def test_a_replica_that_answers_is_well_and_has_no_failures() -> None:
    pool = Pool([_Server("http://well", is_gone=False)], PoolLimits())
    registry = CollectorRegistry()
    registry.register(PoolMetrics(pool))
    await _answered(pool)
    replica = {"replica": "http://well"}
    assert registry.get_sample_value("haechi_engine_replica_well", replica) == 1
    assert registry.get_sample_value("haechi_engine_replica_running", replica) == 0
    assert registry.get_sample_value("haechi_engine_replica_failures_total", replica) == 0
