"""How each model server stands, for Prometheus: read from the pool when it is asked, so that nothing is counted twice.

The label is the replica's address, which is a setting of ours; nothing a person wrote.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llm_service.engines.pool import Pool


class PoolMetrics(Collector):
    """Register it where the service's other metrics are."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def collect(self) -> Iterator[Metric]:
        well = GaugeMetricFamily("haechi_engine_replica_well", "1 while answers are sent to it", labels=["replica"])
        running = GaugeMetricFamily("haechi_engine_replica_running", "Answers it writes", labels=["replica"])
        failures = CounterMetricFamily("haechi_engine_replica_failures", "Attempts that failed", labels=["replica"])
        openings = CounterMetricFamily("haechi_engine_breaker_openings", "Its breaker opened", labels=["replica"])
        for replica in self._pool.replicas:
            label = [replica.address]
            well.add_metric(label, float(replica.is_well))
            running.add_metric(label, replica.running)
            failures.add_metric(label, replica.failures)
            openings.add_metric(label, replica.openings)
        positions = CounterMetricFamily("haechi_engine_queued", "Answers that had to wait in line")
        positions.add_metric([], self._pool.queued)
        yield from (well, running, failures, openings, positions)
