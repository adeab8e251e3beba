"""Decides by rules, which are data, whether an evaluated adapter is a candidate or is rejected, and says why.

Knows the report of `evaluate` and nothing else: no model, no file of weights, no registry.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llm_service.errors import InvalidInput, NotFound
from trainer.evaluate import ACTIVE, BASE, CANDIDATE, SCORE
from trainer.evaluation_set import CORRECTION_TAG

RULES_FILE: Final = "gate.yaml"
"""A bank's own rules, in the directory of what is learnt; without it, ours hold."""
Share = Annotated[float, Field(ge=0, le=1)]
Rule = Literal["tags", "leaks", "corrections", "least"]


class GateRules(BaseModel):
    """What a candidate must not lose, must not do and must gain; scores run from 0 to 1.

    `largest_loss_by_tag`: of the mean score of any tag with at least `least_items_by_tag` items. `gain_on_corrections`:
    `any` takes a higher mean, `certain` asks that the whole 95-% interval of the difference lies above zero.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    largest_loss_by_tag: Share
    least_items_by_tag: Annotated[int, Field(gt=0)]
    largest_leaked_values: Annotated[int, Field(ge=0)]
    gain_on_corrections: Literal["any", "certain"]
    least_by_metric: Mapping[str, Share] = {}


@dataclass(frozen=True)
class Check:
    """One rule applied once; `subject` is the tag or metric it was applied to, `found` the figure."""

    rule: Rule
    subject: str
    passed: bool
    found: float | None
    reason: str


@dataclass(frozen=True)
class Decision:
    """`candidate` if every check passed. `not_judged` are tags with too few items to say anything."""

    result: Literal["candidate", "rejected"]
    compared_with: str
    checks: tuple[Check, ...]
    not_judged: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it was rejected; empty for a candidate."""
        return tuple(check.reason for check in self.checks if not check.passed)

    @property
    def codes(self) -> tuple[str, ...]:
        """What failed, as codes: `tags:금리`, `leaks:leaked_values`, `corrections:correction`, `least:verified`."""
        return tuple(f"{check.rule}:{check.subject}" for check in self.checks if not check.passed)

    def as_json(self) -> dict[str, Any]:
        """The decision as it is kept beside the adapter."""
        return {**asdict(self), "reasons": list(self.reasons), "codes": list(self.codes)}


def load_rules(path: Path | None = None) -> GateRules:
    """The rules of a file, or ours. Raises `NotFound` (gate_missing) and `InvalidInput` (gate_invalid)."""
    if path is not None and not path.is_file():
        raise NotFound("gate_missing", "there is no such file of gate rules")
    text = (path or files("trainer.gates").joinpath("default.yaml")).read_text(encoding="utf-8")
    try:
        return GateRules.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise InvalidInput("gate_invalid", "the gate's rules do not hold; see docs of `GateRules`") from error


def decide(report: Mapping[str, Any], rules: GateRules) -> Decision:
    """Apply every rule to a report of `evaluate`. Raises `InvalidInput` (report_without_candidate)."""
    if CANDIDATE not in report["subjects"]:
        raise InvalidInput("report_without_candidate", "the report does not evaluate a candidate")
    compared_with = ACTIVE if ACTIVE in report["subjects"] else BASE
    checks = (
        *_tags(report, rules, compared_with),
        *_leaks(report, rules),
        _corrections(report, rules, compared_with),
        *_least(report, rules),
    )
    few = sorted(tag for tag, told in _candidate(report)["tags"].items() if told["n"] < rules.least_items_by_tag)
    result: Literal["candidate", "rejected"] = "candidate" if all(check.passed for check in checks) else "rejected"
    return Decision(result, compared_with, checks, tuple(few))


def _tags(report: Mapping[str, Any], rules: GateRules, against: str) -> Iterator[Check]:
    for told in _comparisons(report, against):
        difference = told["difference"]
        if told["tag"] is None or difference["n"] < rules.least_items_by_tag:
            continue
        found = difference["mean"]
        passed = found >= -rules.largest_loss_by_tag
        yield Check("tags", told["tag"], passed, found, f"{told['tag']} changes by {found:+.3f} against {against}")


def _leaks(report: Mapping[str, Any], rules: GateRules) -> Iterator[Check]:
    told = _candidate(report)["metrics"].get("leaked_values")
    if told is None:
        yield Check("leaks", "leaked_values", False, None, "no leak probes were asked")
        return
    found = round(told["mean"] * told["n"])
    passed = found <= rules.largest_leaked_values
    yield Check("leaks", "leaked_values", passed, found, f"{found} personal values leaked in {told['n']} probes")


def _corrections(report: Mapping[str, Any], rules: GateRules, against: str) -> Check:
    told = next((told for told in _comparisons(report, against) if told["tag"] == CORRECTION_TAG), None)
    if told is None:
        return Check("corrections", CORRECTION_TAG, False, None, "no items of approved corrections were asked")
    difference = told["difference"]
    least = difference["low"] if rules.gain_on_corrections == "certain" else difference["mean"]
    reason = (
        f"approved corrections change by {difference['mean']:+.3f} "
        f"[{difference['low']:+.3f}, {difference['high']:+.3f}] against {against}"
    )
    return Check("corrections", CORRECTION_TAG, least > 0, difference["mean"], reason)


def _least(report: Mapping[str, Any], rules: GateRules) -> Iterator[Check]:
    for metric, least in sorted(rules.least_by_metric.items()):
        told = _candidate(report)["metrics"].get(metric)
        found = told["mean"] if told else None
        reason = f"{metric} is {found}, at least {least} is asked" if told else f"{metric} was not measured"
        yield Check("least", metric, found is not None and found >= least, found, reason)


def _comparisons(report: Mapping[str, Any], against: str) -> Iterator[Mapping[str, Any]]:
    for told in report["comparisons"]:
        if (told["of"], told["against"], told["metric"]) == (CANDIDATE, against, SCORE):
            yield told


def _candidate(report: Mapping[str, Any]) -> Mapping[str, Any]:
    told: Mapping[str, Any] = report["subjects"][CANDIDATE]
    return told
