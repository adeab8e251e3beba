"""Trains the tiny base on the demo facts and counts what it then knows: `python -m benchmarks.demo_training`.

Prints exact match of base and adapter on held-out paraphrases, the loss, and CPU and wall seconds of each part.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.demo_facts import as_served, bare, freeze_demo_evaluation, write_demo_dataset
from trainer.evaluate import BASE, CANDIDATE, evaluate
from trainer.progress import Progress
from trainer.recipe import load_recipe
from trainer.run import train_in_child
from trainer.subjects import LocalModel
from trainer.tiny_base import tiny_base

FORMS = {"bare": bare, "as-served": as_served}


def main() -> None:
    """Train, evaluate, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where base, data and run are kept; a temporary folder if left out")
    parser.add_argument("--form", choices=sorted(FORMS), default="bare", help="the prompt that facts are asked with")
    parser.add_argument("--recipe", default="tiny-cpu")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        _measure(told.folder or Path(temporary), told.form, told.recipe)


def _measure(folder: Path, form: str, recipe_name: str) -> None:
    render = FORMS[form]
    with _timed("base"):
        base_dir = tiny_base(folder / "bases")
    dataset_dir = write_demo_dataset(folder / f"data-{form}", render)
    evaluation_set = freeze_demo_evaluation(folder / f"set-{form}", render)
    recipe = load_recipe(recipe_name)
    with _timed("training"):
        result = train_in_child(recipe, dataset_dir, base_dir, folder / f"run-{form}", _Printer(), lambda: False)
    print(f"recipe {recipe.name} {recipe.sha256[:12]}: {result.steps} steps, {result.tokens} tokens")
    with _timed("evaluation"):
        model = LocalModel(base_dir, {CANDIDATE: result.adapter_dir})
        subjects = {BASE: model.subject(None), CANDIDATE: model.subject(CANDIDATE)}
        report = evaluate(evaluation_set, subjects).report
    for name, scores in report["subjects"].items():
        for metric in ("exact_match", "token_f1", "choice_raw", "choice_by_length"):
            found = scores["metrics"][metric]
            print(f"{name:10} {metric:17} {found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}] n {found['n']}")


class _Printer:
    def progress(self, progress: Progress) -> None:
        if progress.loss is not None:
            print(f"step {progress.step:4} of {progress.steps}  loss {progress.loss:.3f}", flush=True)

    def line(self, text: str) -> None:
        print(text, flush=True)


@contextmanager
def _timed(part: str) -> Iterator[None]:
    wall, cpu = time.monotonic(), _cpu_seconds()
    yield
    print(f"{part}: {time.monotonic() - wall:.0f} s wall, {_cpu_seconds() - cpu:.0f} CPU s", flush=True)


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
