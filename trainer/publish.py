"""Makes of a trained and evaluated adapter what the registry takes: clean files, a model card, probes, the decision.

Knows files and figures; it loads no model and registers nothing.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import yaml

from llm_service.adapters.files import CONFIGURATION, WEIGHTS
from llm_service.adapters.probes import answer_sha256
from llm_service.answering.prompt import Message, render_mistral
from llm_service.errors import Conflict, InvalidInput
from llm_service.masked import MaskedText
from llm_service.store.adapters import RecordedProbe
from trainer.checkpoints import sha256_of_file
from trainer.gate import Decision
from trainer.model_card import model_card
from trainer.progress import TrainingResult
from trainer.recipe import Recipe

CARD_FILE: Final = "README.md"
EVALUATION_FILE: Final = "evaluation.json"
ORIGIN_FILE: Final = "origin.json"
PROBES_FILE: Final = "probes.json"
PROBES_WANTED: Final = 3
BASE_FILES: Final = ("config.json", "tokenizer.json", "tokenizer.model", "*.safetensors")


@dataclass(frozen=True)
class BaseIdentity:
    """Which base an adapter belongs to: the id and revision it is known by in the bank, and the hash of its files."""

    model: str
    revision: str
    sha256: Mapping[str, str]


@dataclass(frozen=True)
class Estimate:
    """What a training cost, reckoned from its time and the tariff's rated power: an estimate, nothing was metered."""

    hours: float
    kilowatt_hours: float
    won: float


@dataclass(frozen=True)
class Publication:
    """A directory for the registry, the gate's decision and the probes recorded for promotion."""

    directory: Path
    decision: Decision
    probes: tuple[RecordedProbe, ...]


def base_identity(base_dir: Path, model: str, revision: str) -> BaseIdentity:
    """The identity of a base in a folder. Reads every byte of its weights: seconds for a tiny one, a minute for 7B."""
    found = sorted({path for pattern in BASE_FILES for path in base_dir.glob(pattern)})
    return BaseIdentity(model, revision, {path.name: sha256_of_file(path) for path in found})


def publish(
    result: TrainingResult,
    recipe: Recipe,
    base: BaseIdentity,
    report: Mapping[str, Any],
    decision: Decision,
    probes: Sequence[RecordedProbe],
    directory: Path,
) -> Publication:
    """Write the directory, whole or not at all. A rejected adapter is written too: its card says why.

    Raises `Conflict` (adapter_changed) if the weights are no longer those that were trained, and (publication_exists).
    """
    if sha256_of_file(result.adapter_dir / WEIGHTS) != result.adapter_sha256:
        raise Conflict("adapter_changed", "the adapter's weights are not those that were trained; train again")
    if directory.exists():
        raise Conflict("publication_exists", "this directory is taken; every adapter gets one of its own")
    draft = directory.with_name(f".{directory.name}.{uuid4().hex}")
    draft.mkdir(parents=True)
    try:
        shutil.copyfile(result.adapter_dir / WEIGHTS, draft / WEIGHTS)
        _write(draft / CONFIGURATION, _clean_configuration(result.adapter_dir, base))
        _write(draft / EVALUATION_FILE, {"report": report, "decision": decision.as_json()})
        _write(draft / ORIGIN_FILE, _origin(result, recipe, base))
        _write(draft / PROBES_FILE, [asdict(probe) for probe in probes])
        card = model_card(result, recipe, base, report, decision, estimate(result))
        (draft / CARD_FILE).write_text(card, encoding="utf-8")
        draft.rename(directory)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Publication(directory, decision, tuple(probes))


def choose_probes(
    prompts: Sequence[Sequence[Message]],
    base_answers: Sequence[str],
    candidate_answers: Sequence[str],
    maximum_tokens: Sequence[int],
) -> tuple[RecordedProbe, ...]:
    """Up to `PROBES_WANTED` prompts whose answers tell the adapter from its base, with the hashes of both answers.

    Prompts are masked text, as evaluation sets hold it; a probe allows as many tokens as its answers were allowed, or a
    cut one would not be met again. Raises `InvalidInput` (adapter_probe_missing) if the adapter
    answers everything as its base does: nothing could show that it is served.
    """
    probes: list[RecordedProbe] = []
    for prompt, by_base, by_candidate, longest in zip(
        prompts, base_answers, candidate_answers, maximum_tokens, strict=True
    ):
        differs = answer_sha256(by_base) != answer_sha256(by_candidate)
        if differs and by_candidate and len(prompt) <= 2 and len(probes) < PROBES_WANTED:
            probes.append(_probe(prompt, by_base, by_candidate, longest))
    if not probes:
        raise InvalidInput("adapter_probe_missing", "the adapter answers every prompt as its base does")
    return tuple(probes)


def estimate(result: TrainingResult) -> Estimate:
    """Time, energy and cost of a training by the tariff's rated powers."""
    tariff = _tariff()
    hours = result.seconds / 3600 * result.processes
    watts = float(tariff["watts"].get(result.device, tariff["default_watts"]))
    kilowatt_hours = hours * watts / 1000
    won = kilowatt_hours * tariff["won_per_kilowatt_hour"] + hours * tariff["won_per_device_hour"]
    return Estimate(round(hours, 4), round(kilowatt_hours, 4), round(won, 2))


def _probe(prompt: Sequence[Message], by_base: str, by_candidate: str, maximum_tokens: int) -> RecordedProbe:
    contents = {message.role: message.content for message in prompt}
    return RecordedProbe(
        prompt=MaskedText(render_mistral(prompt)),
        system=MaskedText(contents.get("system", "")),
        user=MaskedText(contents["user"]),
        maximum_tokens=maximum_tokens,
        answer_sha256=answer_sha256(by_candidate),
        base_answer_sha256=answer_sha256(by_base),
    )


def _clean_configuration(adapter_dir: Path, base: BaseIdentity) -> Mapping[str, Any]:
    """PEFT's configuration with the base's name in the bank instead of a path on the machine that trained."""
    told = json.loads((adapter_dir / CONFIGURATION).read_text(encoding="utf-8"))
    return {**told, "base_model_name_or_path": base.model, "revision": base.revision}


def _origin(result: TrainingResult, recipe: Recipe, base: BaseIdentity) -> Mapping[str, Any]:
    told = {key: value for key, value in result.as_json().items() if key != "adapter_dir"}
    return {"training": told, "recipe": recipe.model_dump(mode="json"), "base": asdict(base)}


def _write(path: Path, told: Any) -> None:
    path.write_text(json.dumps(told, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")


@cache
def _tariff() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(files("trainer").joinpath("tariff.yaml").read_text(encoding="utf-8"))
    return loaded
