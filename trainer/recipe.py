"""What a training run is made with, as data: a recipe is a YAML file, checked when it is read and known by its hash.

Knows no model, no dataset and no machine: the same recipe runs on a CPU, on one GPU and on several.
"""

import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llm_service.engines.model_server import PromptForm
from llm_service.errors import InvalidInput, NotFound

SUFFIX: Final = ".yaml"

Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[int, Field(gt=0)]


class Lora(BaseModel):
    """The adapter's shape (Hu et al. 2021, arXiv 2106.09685); names as in PEFT's `LoraConfig`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: Positive
    alpha: Positive
    dropout: Share
    target_modules: tuple[str, ...] = Field(min_length=1)


class Quantisation(BaseModel):
    """How the frozen base is held: NF4 with double quantisation is QLoRA (Dettmers et al. 2023, arXiv 2305.14314)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["nf4", "none"]
    double: bool = True


class EarlyStopping(BaseModel):
    """Stop when the held-out loss has not improved by `least_improvement` in `patience` evaluations."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patience: Positive
    least_improvement: float = Field(ge=0)


class Recipe(BaseModel):
    """One way of training an adapter. Sizes are per device; steps are optimizer steps; lengths are tokens.

    `replay_share` is the least share of general rows in what is trained on, against forgetting. `prompt_form` is the
    form in which the deployment asks its model servers: training renders with the same function.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,40}$")
    about: str
    lora: Lora
    quantisation: Quantisation
    prompt_form: PromptForm = "text"
    loss_on: Literal["answers", "everything"] = "answers"
    packing: bool = True
    maximum_tokens: Positive
    replay_share: Share = 0.0
    batch_size: Positive
    accumulation_steps: Positive = 1
    steps: Positive
    learning_rate: float = Field(gt=0, le=0.1)
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    warmup_share: Share = 0.03
    weight_decay: float = Field(default=0.0, ge=0)
    maximum_gradient_norm: float = Field(gt=0)
    optimizer: Literal["paged_adamw_32bit", "paged_adamw_8bit", "adamw_torch_fused"] = "paged_adamw_32bit"
    activation_checkpointing: bool
    fused_kernels: bool = False
    log_every_steps: Positive = 10
    save_every_steps: Positive = 10
    evaluate_every_steps: Positive
    early_stopping: EarlyStopping | None = None
    seed: int = Field(default=20260101, ge=0)

    @model_validator(mode="after")
    def _evaluations_fall_on_checkpoints(self) -> Self:
        if self.early_stopping and self.evaluate_every_steps != self.save_every_steps:
            raise ValueError("with early stopping, evaluate and save at the same steps: the best one must be there")
        return self

    @property
    def sha256(self) -> str:
        """Hash of everything that shapes the adapter: `name` and `about` say nothing about the training."""
        shaping = self.model_dump(mode="json", exclude={"name", "about"})
        return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def load_recipe(name_or_path: str | Path) -> Recipe:
    """A recipe of ours by name, or one from a file (a path that ends in .yaml).

    Raises `NotFound` (recipe_unknown) or `InvalidInput` (recipe_invalid) with the fields that are wrong.
    """
    path = Path(name_or_path)
    if path.suffix == SUFFIX:
        text = path.read_text(encoding="utf-8") if path.is_file() else None
    else:
        ours = files("trainer.recipes").joinpath(f"{path}{SUFFIX}") if path.name == str(path) else None
        text = ours.read_text(encoding="utf-8") if ours is not None and ours.is_file() else None
    if text is None:
        raise NotFound("recipe_unknown", f"there is no such recipe; ours are {', '.join(recipe_names())}")
    return parse_recipe(text)


def parse_recipe(text: str) -> Recipe:
    """The recipe that a YAML text says. Raises `InvalidInput` (recipe_invalid) naming the wrong fields."""
    try:
        return Recipe.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InvalidInput("recipe_invalid", "the recipe is no YAML") from error
    except ValidationError as error:
        fields = ", ".join(_places(error))
        raise InvalidInput("recipe_invalid", f"the recipe does not hold: {fields}") from error


def recipe_names() -> tuple[str, ...]:
    """The recipes that come with the platform, in order of their names."""
    return tuple(
        sorted(path.name.removesuffix(SUFFIX) for path in files("trainer.recipes").iterdir() if _is_recipe(path.name))
    )


def _is_recipe(name: str) -> bool:
    return name.endswith(SUFFIX)


def _places(error: ValidationError) -> Iterable[str]:
    for fault in error.errors(include_input=False, include_url=False):
        yield f"{'.'.join(map(str, fault['loc'])) or 'recipe'} ({fault['msg']})"
