"""How sure retrieval is that an answer is among the candidates: two gates as one calibrated number between 0 and 1.

One gate is the raw score of the best passage (small talk and other worlds score low), the other the share of the
question that one place of a passage carries. Both are relative to corpus and question, so one threshold serves any.
"""

import math
from collections.abc import Mapping, Sequence

from llm_service.retrieval.ranking import Judge, Signals

JUDGED_CANDIDATES = 5

# Logistic regression on questions with and without an answer in their corpus (statutes, product documents, prose), each
# corpus weighing the same; `make eval-retrieval` prints what it does on the questions of this repository.
WEIGHTS: Mapping[str, float] = {"score": 3.6, "noun_coverage": 3.1, "window": 2.0, "heading": 1.0}
BIAS = -6.3


def features(judge: Judge, judged: Sequence[Signals], top_score: float, passages: int) -> dict[str, float]:
    """Features of the best candidates.

    `score` is the logarithm of 1 + the best BM25 score, counted in terms that one passage alone holds: five such terms
    mean the same among 100 passages and among 100,000. The others are the best shares, see `ranking.Signals`.
    """
    best = judged[:JUDGED_CANDIDATES]
    idf_of_unique_term = math.log(1 + (passages - 0.5) / 1.5) if passages else 1.0
    return {
        "score": math.log1p(top_score / idf_of_unique_term),
        "coverage": max((signals.coverage for signals in best), default=0.0),
        "noun_coverage": max((signals.noun_coverage for signals in best), default=0.0),
        "window": max((signals.window for signals in best), default=0.0),
        "heading": max((signals.heading for signals in best), default=0.0),
        "unknown_share": judge.unknown_share,
    }


def confidence(found: Mapping[str, float]) -> float:
    """Probability that the candidates carry an answer; 0 if nothing was found."""
    if found["score"] <= 0:
        return 0.0
    return 1 / (1 + math.exp(-(BIAS + sum(weight * found[name] for name, weight in WEIGHTS.items()))))
