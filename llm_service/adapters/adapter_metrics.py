"""What became of adapters, for Prometheus: verdicts of the watch, its rollbacks, which replica carries which version.

Read when it is asked. Labels are measures, verdicts, addresses and published versions; nothing a person wrote.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from llm_service.adapters.fleet import Fleet
from llm_service.adapters.watch import Watch


class AdapterMetrics(Collector):
    """Register it where the service's other metrics are."""

    def __init__(self, watch: Watch, fleet: Fleet) -> None:
        self._watch = watch
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        verdicts = CounterMetricFamily(
            "haechi_adapter_watch_verdicts", "Comparisons of versions", labels=["measure", "verdict"]
        )
        for (measure, verdict), count in self._watch.verdicts.items():
            verdicts.add_metric([measure, verdict], count)
        rollbacks = CounterMetricFamily("haechi_adapter_watch_rollbacks", "Versions that the watch took out")
        rollbacks.add_metric([], self._watch.rollbacks)
        ready = GaugeMetricFamily("haechi_adapter_replica_ready", "1 while the replica answers", labels=["replica"])
        carried = GaugeMetricFamily(
            "haechi_adapter_carried", "1 for a version that a replica is proved to carry", labels=["replica", "adapter"]
        )
        for replica in self._fleet.views():
            ready.add_metric([replica.address], float(replica.is_ready))
            for adapter in replica.carries:
                carried.add_metric([replica.address, adapter], 1.0)
        yield from (verdicts, rollbacks, ready, carried)
