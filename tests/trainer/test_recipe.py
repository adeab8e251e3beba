"""Recipes: data that is checked, named and hashed."""

from pathlib import Path

import pytest
import yaml

from llm_service.errors import InvalidInput, NotFound
from trainer.recipe import load_recipe, parse_recipe, recipe_names


def test_every_recipe_of_ours_holds_and_is_called_as_its_file() -> None:
    assert recipe_names() == ("demo-loop", "mistral-7b", "paper", "tiny-cpu")
    assert [load_recipe(name).name for name in recipe_names()] == list(recipe_names())


def test_the_papers_recipe_has_the_papers_figures() -> None:
    paper = load_recipe("paper")
    assert (paper.lora.rank, paper.lora.alpha, paper.lora.dropout) == (32, 32, 0.05)
    assert paper.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj")
    assert (paper.quantisation.kind, paper.quantisation.double) == ("nf4", True)
    assert (paper.steps, paper.batch_size, paper.accumulation_steps, paper.maximum_tokens) == (60, 2, 2, 1024)
    assert (paper.learning_rate, paper.schedule, paper.warmup_share) == (2e-4, "cosine", 0.03)
    assert (paper.maximum_gradient_norm, paper.optimizer, paper.packing) == (0.3, "paged_adamw_32bit", False)


def test_the_hash_follows_what_shapes_the_adapter_and_not_the_name() -> None:
    recipe = load_recipe("tiny-cpu")
    assert recipe.model_copy(update={"name": "other", "about": "other"}).sha256 == recipe.sha256
    assert recipe.model_copy(update={"seed": recipe.seed + 1}).sha256 != recipe.sha256


def test_a_recipe_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    told = {**load_recipe("tiny-cpu").model_dump(mode="json"), "name": "mine", "steps": 7}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    assert load_recipe(path).steps == 7


@pytest.mark.parametrize("name", ["unknown", "../recipe", "missing.yaml", "", "recipes/paper"])
def test_what_is_no_recipe_is_not_found(name: str) -> None:
    with pytest.raises(NotFound) as refused:
        load_recipe(name)
    assert refused.value.code == "recipe_unknown"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"learning_rate": 2.0}, "learning_rate"),
        ({"steps": 0}, "steps"),
        ({"unknown": 1}, "unknown"),
        ({"replay_share": 1.0}, "replay_share"),
        ({"lora": {"rank": 8, "alpha": 8, "dropout": 0.0, "target_modules": []}}, "lora.target_modules"),
        ({"evaluate_every_steps": 7}, "evaluate and save at the same steps"),
    ],
)
def test_a_recipe_that_does_not_hold_is_refused_with_its_field(change: dict[str, object], field: str) -> None:
    told = {**load_recipe("tiny-cpu").model_dump(mode="json"), **change}
    with pytest.raises(InvalidInput, match=field):
        parse_recipe(yaml.safe_dump(told))
