"""How often the watch takes out a canary that is as good, and how soon one that is worse, in simulated turns.

`python -m benchmarks.adapter_watch`. Seeded; the rule is the product's, asked after every ten turns of the canary.
"""

import random
from statistics import median
from typing import Final

from llm_service.adapters.watch import Rule, verdict_of
from llm_service.store.adapter_turns import Count

SEED: Final = 20261121
RUNS: Final = 300
TURNS: Final = 2000
LOOK_EVERY: Final = 10
CASES: Final = ((0.02, 0.02), (0.10, 0.10), (0.30, 0.30), (0.02, 0.10), (0.10, 0.20), (0.10, 0.30), (0.02, 0.50))


def turns_until_taken_out(rule: Rule, rate_against: float, rate: float, chance: random.Random) -> int | None:
    """The canary's turns until the rule takes it out; None if it stays for all of them."""
    events = events_against = 0
    for turns in range(1, TURNS + 1):
        events += chance.random() < rate
        events_against += chance.random() < rate_against
        if turns % LOOK_EVERY == 0:
            verdict, _ = verdict_of(Count(events, turns), Count(events_against, turns), rule)
            if verdict == "worse":
                return turns
    return None


def main() -> None:
    """Print one row for each pair of rates."""
    rule, chance = Rule(), random.Random(SEED)
    print(f"rule: {rule}; {RUNS} runs of {TURNS} turns each, a look every {LOOK_EVERY} turns")
    print(f"{'active':>7} {'canary':>7} {'taken out':>10} {'median turns':>13}")
    for rate_against, rate in CASES:
        ended = [turns_until_taken_out(rule, rate_against, rate, chance) for _ in range(RUNS)]
        out = [turns for turns in ended if turns is not None]
        print(f"{rate_against:7.0%} {rate:7.0%} {len(out) / RUNS:10.1%} {median(out) if out else '-':>13}")


if __name__ == "__main__":
    main()
