"""What the gateway counts, for Prometheus: codes, reasons, stages and seconds; never ids, never text."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGE_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One registry per app, so that two gateways in one process do not count into each other."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.turns = Counter("haechi_gateway_turns", "Turns by how they ended.", ["state"], registry=self.registry)
        self.rasa_fallbacks = Counter(
            "haechi_gateway_rasa_fallbacks",
            "Questions that Rasa gave no usable reply to, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.declined = Counter(
            "haechi_gateway_declined", "Requests that went no further, by code.", ["code"], registry=self.registry
        )
        self.limited = Counter(
            "haechi_gateway_limited",
            "Requests over a rate limit, by channel and by the limit's code.",
            ["channel", "code"],
            registry=self.registry,
        )
        self.limited_alone = Counter(
            "haechi_gateway_limited_alone",
            "Decisions on rate limits that this process took alone because Redis was away.",
            registry=self.registry,
        )
        self.stages = Histogram(
            "haechi_gateway_stage_seconds",
            "Time of each stage of a turn.",
            ["stage"],
            buckets=STAGE_BUCKETS_SECONDS,
            registry=self.registry,
        )
        self.open_streams = Gauge(
            "haechi_gateway_open_streams", "Answers being streamed right now.", registry=self.registry
        )

    @contextmanager
    def follow_stream(self, first_time: bool) -> Iterator["FollowedStream"]:
        """Count one stream while it is open and, the first time a turn is streamed, how the turn ended."""
        followed = FollowedStream()
        with self.open_streams.track_inprogress():
            try:
                yield followed
            finally:
                if first_time:
                    self.turns.labels(followed.state).inc()
                    for stage, milliseconds in followed.timings.items():
                        self.stages.labels(stage).observe(milliseconds / 1000)


class FollowedStream:
    """How a stream ended; `left` until it is told: the reader went away."""

    def __init__(self) -> None:
        self.state = "left"
        self.timings: dict[str, float] = {}

    def end(self, state: str, timings_milliseconds: dict[str, float]) -> None:
        self.state = state
        self.timings = timings_milliseconds
