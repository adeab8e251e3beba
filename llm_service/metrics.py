"""What the service counts for Prometheus. Labels are states, intents, kinds and stages, never anything a person wrote.

The registry is handed in, so that several services can live in one process.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

STAGE_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
LABEL: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
MS_PER_SECOND: Final = 1000
RATES: Final = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 250)
ADAPTER: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


class GenerationCost(Protocol):
    """What a model's answer cost; `llm_service.engines.base.Measured` is one."""

    @property
    def adapter(self) -> str | None: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def answer_tokens(self) -> int: ...
    @property
    def retries(self) -> int: ...
    @property
    def queue_seconds(self) -> float: ...
    @property
    def first_token_seconds(self) -> float: ...
    @property
    def total_seconds(self) -> float: ...
    @property
    def tokens_per_second(self) -> float: ...


class Metrics:
    """Counters and histograms of one service."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._turns = Counter("haechi_turns", "Turns by how they stand", ["state", "intent"], registry=registry)
        self._entities = Counter("haechi_masked_entities", "Masked values by type", ["type"], registry=registry)
        self._declined = Counter("haechi_declined", "Requests refused, by code", ["code"], registry=registry)
        self._refusals = Counter(
            "haechi_refusals", "Questions whose passages carried no answer", ["intent"], registry=registry
        )
        self._fallbacks = Counter(
            "haechi_route_fallbacks", "Questions routed without Rasa, by reason", ["reason"], registry=registry
        )
        self._without = Counter(
            "haechi_retrieval_fallbacks",
            "Questions searched without an optional part that is set",
            ["part", "reason"],
            registry=registry,
        )
        self._degraded = Counter(
            "haechi_degraded", "Answers for which something could not be had, by code", ["code"], registry=registry
        )
        self._tokens = Counter(
            "haechi_engine_tokens", "Tokens read and written", ["direction", "adapter"], registry=registry
        )
        self._engine_retries = Counter(
            "haechi_engine_retries", "Attempts made anew before the first token", ["adapter"], registry=registry
        )
        self._engine_seconds = Histogram(
            "haechi_engine_seconds",
            "Waiting in line, until the first token, and in all",
            ["part", "adapter"],
            buckets=STAGE_SECONDS,
            registry=registry,
        )
        self._engine_rate = Histogram(
            "haechi_engine_tokens_per_second", "Pace of one answer", ["adapter"], buckets=RATES, registry=registry
        )
        self._feedback = Counter("haechi_feedback", "Verdicts on answers", ["verdict"], registry=registry)
        self._handoffs = Counter(
            "haechi_handoffs", "Hand-offs to a person, by what became of them", ["state"], registry=registry
        )
        self._ratings = Counter("haechi_handoff_ratings", "Ratings of hand-offs, 1 to 5", ["rating"], registry=registry)
        self._restored = Counter(
            "haechi_restored_values", "Values shown to their owners, by type", ["type"], registry=registry
        )
        self._stayed = Counter(
            "haechi_placeholders_stayed", "Placeholders asked for in vain, by reason", ["reason"], registry=registry
        )
        self._stages = Histogram(
            "haechi_stage_seconds", "Time of one stage of a turn", ["stage"], buckets=STAGE_SECONDS, registry=registry
        )
        self._withheld = Counter(
            "haechi_answers_withheld",
            "Answers the kill switch kept back, before or during",
            ["when"],
            registry=registry,
        )
        self.answers_off = Gauge(
            "haechi_answers_off", "1 while nobody is given an answer from documents", registry=registry
        )
        self.running_answers = Gauge("haechi_running_answers", "Answers being generated", registry=registry)
        self.engine_running = Gauge(
            "haechi_engine_running", "Answers that model servers write for this process", registry=registry
        )
        self.engine_waiting = Gauge(
            "haechi_engine_waiting", "Answers of this process that wait for a model server", registry=registry
        )
        self.open_streams = Gauge("haechi_open_streams", "Readers of answer events", registry=registry)

    def turn(self, state: str, intent: str | None) -> None:
        self._turns.labels(state=state, intent=_label(intent or "none")).inc()

    def masked(self, entity_counts: Mapping[str, int]) -> None:
        for kind, count in entity_counts.items():
            self._entities.labels(type=kind).inc(count)

    def declined(self, code: str) -> None:
        self._declined.labels(code=code).inc()

    def withheld(self, when: str) -> None:
        self._withheld.labels(when=when).inc()

    def refused(self, intent: str | None) -> None:
        self._refusals.labels(intent=_label(intent or "none")).inc()

    def routed(self, by: str, reason: str) -> None:
        if by != "rasa":
            self._fallbacks.labels(reason=_label(reason or "none")).inc()

    def searched_without(self, fallbacks: Iterable[str]) -> None:
        """Count optional parts of retrieval that did not answer, each as `part:reason`."""
        for fallback in fallbacks:
            part, _, reason = fallback.partition(":")
            self._without.labels(part=_label(part), reason=_label(reason)).inc()

    def degraded(self, codes: Iterable[str]) -> None:
        for code in codes:
            self._degraded.labels(code=_label(code)).inc()

    def generated(self, cost: GenerationCost) -> None:
        """Count one answer of a model; adapters are the published versions, `base` is the model without any."""
        adapter = cost.adapter if cost.adapter is not None and ADAPTER.fullmatch(cost.adapter) else "base"
        self._tokens.labels("in", adapter).inc(cost.prompt_tokens)
        self._tokens.labels("out", adapter).inc(cost.answer_tokens)
        self._engine_retries.labels(adapter).inc(cost.retries)
        self._engine_seconds.labels("queue", adapter).observe(cost.queue_seconds)
        self._engine_seconds.labels("first_token", adapter).observe(cost.first_token_seconds)
        self._engine_seconds.labels("total", adapter).observe(cost.total_seconds)
        self._engine_rate.labels(adapter).observe(cost.tokens_per_second)

    def feedback(self, verdict: str) -> None:
        self._feedback.labels(verdict=verdict).inc()

    def handoff(self, state: str) -> None:
        """Count a hand-off that has come to a state, or was released."""
        self._handoffs.labels(state=_label(state)).inc()

    def handoff_rated(self, rating: int) -> None:
        self._ratings.labels(rating=str(rating)).inc()

    def restored(self, kinds: Mapping[str, int], stayed: Mapping[str, int]) -> None:
        for kind, count in kinds.items():
            self._restored.labels(type=kind).inc(count)
        for reason, count in stayed.items():
            self._stayed.labels(reason=reason).inc(count)

    def stages(self, timings_ms: Mapping[str, float]) -> None:
        """Observe the milliseconds of each stage."""
        for stage, milliseconds in timings_ms.items():
            self._stages.labels(stage=_label(stage)).observe(milliseconds / MS_PER_SECOND)


def _label(name: str) -> str:
    # A label must not grow without end, whatever the caller names.
    return name if LABEL.fullmatch(name) else "other"
