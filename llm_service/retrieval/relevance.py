"""How sure retrieval is that an answer is among the candidates: two gates as one calibrated number between 0 and 1.

One gate is the evidence itself (how much rare wording was found: small talk has none), the other the share of the
question that one place of a passage carries. Both are relative to question and corpus, so one threshold serves any.
"""

import math
from collections.abc import Mapping, Sequence

from llm_service.retrieval.ranking import Judge, Signals

JUDGED_CANDIDATES = 5

# Logistic regression on questions with and without an answer in the corpus; `make eval-retrieval` prints how it does.
WEIGHTS: Mapping[str, float] = {"evidence": 0.5, "coverage": 2.0, "noun_coverage": 2.0, "window": 2.0}
BIAS = -4.0


def features(judge: Judge, judged: Sequence[Signals], passages: int) -> dict[str, float]:
    """Features of the best candidates: shares, and `evidence`, the idf mass in one window over a unique term's."""
    best = judged[:JUDGED_CANDIDATES]
    rarest = math.log(1 + (passages + 0.5) / 1.5) if passages else 1.0
    return {
        "coverage": max((signals.coverage for signals in best), default=0.0),
        "noun_coverage": max((signals.noun_coverage for signals in best), default=0.0),
        "window": max((signals.window for signals in best), default=0.0),
        "heading": max((signals.heading for signals in best), default=0.0),
        "evidence": max((signals.window for signals in best), default=0.0) * judge.mass / rarest,
    }


def confidence(found: Mapping[str, float]) -> float:
    """Probability that the candidates carry an answer; 0 if there is nothing to judge."""
    if found["evidence"] <= 0:
        return 0.0
    return 1 / (1 + math.exp(-(BIAS + sum(weight * found[name] for name, weight in WEIGHTS.items()))))
