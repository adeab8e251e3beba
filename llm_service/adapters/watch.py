"""Compares a canary, or a freshly promoted version, with the one it would replace, and takes it out when it is worse.

The rule is one comparison of two proportions for each measure; its numbers are kept and audited. Nothing here knows
what a turn says, only how it ended.
"""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, Literal, cast

from sqlalchemy.orm import Session

from llm_service.adapters.routing import AdapterRouter
from llm_service.logs import get_logger
from llm_service.store import adapter_rollout, adapter_turns
from llm_service.store.adapter_models import AdapterComparison
from llm_service.store.adapter_rollout import WATCH, Aliases, Target
from llm_service.store.adapter_turns import BASE, Count
from llm_service.store.models import now
from llm_service.store.transactions import Transactions

MEASURES: Final = ("failure", "refusal", "cut", "thumbs_down")
Verdict = Literal["too_few", "not_worse", "worse"]
LOG = get_logger(__name__)


@dataclass(frozen=True)
class Rule:
    """When a version counts as worse: by more than `margin`, with `minimum_turns` on both sides, beyond the interval.

    `z` is the quantile of the interval. 3.29 leaves 0.05 % on each side, not the usual 2.5 %, because the rule is asked
    again and again while the counts grow. A fresh active version is watched for `window_seconds`.
    """

    minimum_turns: int = 30
    margin: float = 0.02
    z: float = 3.29
    window_seconds: float = 3600.0


@dataclass(frozen=True)
class Difference:
    """How much more often something happens to one version than to the other, with its interval (all -1 to 1)."""

    difference: float
    lower: float
    upper: float


@dataclass(frozen=True)
class _Pair:
    target: Target
    adapter: str
    against: str
    since: datetime
    against_since: datetime
    against_until: datetime | None


def difference_of(count: Count, against: Count, z: float) -> Difference:
    """Newcombe's interval of a difference of two proportions out of two Wilson intervals (Newcombe 1998, method 10).

    It holds for small samples and for proportions near 0, where the usual one (Wald) does not.
    """
    p, low, high = _wilson(count, z)
    p_against, low_against, high_against = _wilson(against, z)
    difference = p - p_against
    lower = difference - math.hypot(p - low, high_against - p_against)
    upper = difference + math.hypot(high - p, p_against - low_against)
    return Difference(difference, max(-1.0, lower), min(1.0, upper))


def verdict_of(count: Count, against: Count, rule: Rule) -> tuple[Verdict, Difference]:
    """Whether `count` is worse than `against` under the rule; every measure counts what nobody wants."""
    difference = difference_of(count, against, rule.z)
    if min(count.turns, against.turns) < rule.minimum_turns:
        return "too_few", difference
    return ("worse" if difference.lower > rule.margin else "not_worse"), difference


class Watch:
    """Looks at who serves, as often as it is asked to."""

    def __init__(
        self, transactions: Transactions, router: AdapterRouter, rule: Rule, clock: Callable[[], datetime] = now
    ) -> None:
        self._transactions = transactions
        self._router = router
        self._clock = clock
        self.rule = rule
        self.verdicts: Counter[tuple[str, Verdict]] = Counter()
        """How often each measure was judged how, in this process."""
        self.rollbacks = 0

    async def look(self) -> list[str]:
        """Compare, keep the numbers, and roll back what is worse, all in one transaction; the versions taken out."""
        taken_out, looked = await self._transactions.run(partial(_look, rule=self.rule, moment=self._clock()))
        self.verdicts.update(looked)
        self.rollbacks += len(taken_out)
        if taken_out:
            self._router.forget()
            LOG.warning("adapters rolled back by the watch", adapters=taken_out)
        return taken_out


def _look(session: Session, rule: Rule, moment: datetime) -> tuple[list[str], list[tuple[str, Verdict]]]:
    """The versions taken out, and every (measure, verdict) of this look."""
    taken_out: list[str] = []
    verdicts: list[tuple[str, Verdict]] = []
    for pair in _pairs(adapter_rollout.aliases(session), rule, moment):
        looked = _compare(session, pair, rule, moment)
        adapter_turns.keep_comparisons(session, looked)
        verdicts += [(one.measure, cast(Verdict, one.verdict)) for one in looked]
        worse = [comparison for comparison in looked if comparison.verdict == "worse"]
        if worse:
            evidence = {"rule": asdict(rule), "worse": [_numbers(comparison) for comparison in worse]}
            adapter_rollout.roll_back(session, pair.target, WATCH, f"{worse[0].measure}_rate", evidence)
            taken_out.append(pair.adapter)
    return taken_out, verdicts


def _pairs(serving: Aliases, rule: Rule, moment: datetime) -> list[_Pair]:
    """The canary beside the active version over the same time; a fresh active one beside what was active before it."""
    pairs: list[_Pair] = []
    window = timedelta(seconds=rule.window_seconds)
    if serving.canary and serving.canary_since:
        since = serving.canary_since
        pairs.append(_Pair("canary", serving.canary, serving.active or BASE, since, since, None))
    if serving.active and serving.active_since and serving.has_previous and moment - serving.active_since <= window:
        since = serving.active_since
        pairs.append(_Pair("active", serving.active, serving.previous or BASE, since, since - window, since))
    return pairs


def _compare(session: Session, pair: _Pair, rule: Rule, moment: datetime) -> list[AdapterComparison]:
    counted = adapter_turns.counts(session, pair.adapter, pair.since)
    counted_against = adapter_turns.counts(session, pair.against, pair.against_since, pair.against_until)
    looked: list[AdapterComparison] = []
    for measure in MEASURES:
        count, against = counted[measure], counted_against[measure]
        verdict, difference = verdict_of(count, against, rule)
        looked.append(
            AdapterComparison(
                adapter=pair.adapter,
                against=pair.against,
                measure=measure,
                events=count.events,
                turns=count.turns,
                events_against=against.events,
                turns_against=against.turns,
                lower=difference.lower,
                upper=difference.upper,
                verdict=verdict,
                looked_at=moment,
            )
        )
    return looked


def _numbers(comparison: AdapterComparison) -> dict[str, str | int | float]:
    return {
        "measure": comparison.measure,
        "against": comparison.against,
        "events": comparison.events,
        "turns": comparison.turns,
        "events_against": comparison.events_against,
        "turns_against": comparison.turns_against,
        "lower": round(comparison.lower, 6),
        "upper": round(comparison.upper, 6),
    }


def _wilson(count: Count, z: float) -> tuple[float, float, float]:
    """The proportion and its interval (Wilson 1927); without any turns nothing is known: 0 to 1."""
    if count.turns == 0:
        return 0.0, 0.0, 1.0
    n, p = count.turns, count.events / count.turns
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return p, max(0.0, centre - half), min(1.0, centre + half)
