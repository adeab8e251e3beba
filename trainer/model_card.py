"""Writes the page that goes with an adapter (Mitchell et al. 2019): what it was made of, how it scores, its limits.

Knows figures only; no file and no model.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from trainer.gate import Decision
from trainer.progress import TrainingResult
from trainer.recipe import Recipe

if TYPE_CHECKING:
    from trainer.publish import BaseIdentity, Estimate

LIMITS: Final = (
    "Answers are meant to rest on retrieved passages and to be verified; without them the adapter may invent.",
    "Clauses in force change: the adapter knows the state of its dataset, the passages know that of today.",
    "Scores are of the frozen set named here; what that set does not ask, they do not say.",
    "The adapter belongs to the base with the hashes below. With another base it may answer nonsense without an error.",
)


def model_card(
    result: TrainingResult,
    recipe: Recipe,
    base: "BaseIdentity",
    report: Mapping[str, Any],
    decision: Decision,
    cost: "Estimate",
) -> str:
    """The card as Markdown."""
    sections = (
        ("Decision", _decision(decision)),
        ("Data", _data(result)),
        ("Recipe", _recipe(recipe, result)),
        ("Scores", _scores(report)),
        ("By tag", _tags(report)),
        ("Limits", (f"- {limit}" for limit in LIMITS)),
        ("Cost", _cost(result, cost)),
        ("Hashes (SHA-256)", _hashes(result, base, report)),
    )
    body = "\n".join(f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections)
    return f"# LoRA adapter for {base.model} ({base.revision})\n\n{body}"


def _decision(decision: Decision) -> Iterator[str]:
    yield f"**{decision.result}**, compared with {decision.compared_with}."
    yield ""
    for check in decision.checks:
        yield f"- {'passed' if check.passed else 'FAILED'}: {check.reason}"
    if decision.not_judged:
        yield f"- not judged, too few items: {', '.join(decision.not_judged)}"


def _data(result: TrainingResult) -> Iterator[str]:
    yield f"{result.rows} rows learnt from, {result.rows_too_long} left out as too long; {result.tokens} tokens read."


def _recipe(recipe: Recipe, result: TrainingResult) -> Iterator[str]:
    yield f"`{recipe.name}`: {recipe.about}"
    yield ""
    yield (
        f"{result.ended} after {result.steps} steps (kept: step {result.best_step}); loss {result.loss:.4f}, "
        f"held out {_figure(result.heldout_loss)}."
    )
    yield ""
    for name, value in recipe.model_dump(mode="json", exclude={"name", "about"}).items():
        yield f"- {name}: {value}"


def _scores(report: Mapping[str, Any]) -> Iterator[str]:
    names = list(report["subjects"])
    yield f"Set `{report['set']['name']}`, {report['set']['items']} items; means with 95-% bootstrap intervals."
    yield f"Text is compared after: {report['normalisation']}. Tokens: {report['tokenizer']}."
    yield ""
    yield from _table("metric", names, {name: report["subjects"][name]["metrics"] for name in names})
    for name in names:
        corpus = report["subjects"][name].get("corpus")
        if corpus:
            yield f"\n{name}: BLEU {corpus['bleu']}, chrF++ {corpus['chrf']} over {corpus['n']} answers."


def _tags(report: Mapping[str, Any]) -> Iterator[str]:
    names = list(report["subjects"])
    yield from _table("tag", names, {name: report["subjects"][name]["tags"] for name in names})


def _table(of: str, names: list[str], figures: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield f"| {of} | {' | '.join(names)} |"
    yield f"| --- | {' | '.join('---' for _ in names)} |"
    for key in sorted({key for told in figures.values() for key in told}):
        yield f"| {key} | {' | '.join(_interval(figures[name].get(key)) for name in names)} |"


def _cost(result: TrainingResult, cost: "Estimate") -> Iterator[str]:
    yield (
        f"Estimate from time and rated power, not metered: {cost.hours} device hours on {result.processes} × "
        f"{result.device}, {cost.kilowatt_hours} kWh, {cost.won} KRW. Peak memory {result.peak_gib} GiB."
    )


def _hashes(result: TrainingResult, base: "BaseIdentity", report: Mapping[str, Any]) -> Iterator[str]:
    yield f"- adapter: `{result.adapter_sha256}`"
    yield f"- recipe: `{result.recipe_sha256}`"
    yield f"- dataset manifest: `{result.dataset_sha256}`"
    yield f"- evaluation set: `{report['set']['sha256']}`"
    for name, sha256 in sorted(base.sha256.items()):
        yield f"- base, {name}: `{sha256}`"
    yield f"- versions: {', '.join(f'{name} {told}' for name, told in sorted(result.versions.items()))}"


def _interval(told: Mapping[str, Any] | None) -> str:
    return f"{told['mean']:.3f} [{told['low']:.3f}, {told['high']:.3f}], n {told['n']}" if told else "–"


def _figure(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
