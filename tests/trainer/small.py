"""The smallest training there is: a base of one layer, sixteen rows, nine steps; the path is the whole one."""

import json
from pathlib import Path

from trainer.progress import Progress
from trainer.recipe import Recipe, load_recipe

STEPS = 9
BETWEEN_CHECKPOINTS = 3


def small_recipe(**changes: object) -> Recipe:
    """The recipe for the tiny base, made smaller still."""
    lora = {"rank": 8, "alpha": 8, "dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
    smaller = {
        "name": "small",
        "lora": lora,
        "maximum_tokens": 128,
        "batch_size": 4,
        "steps": STEPS,
        "log_every_steps": 1,
        "save_every_steps": BETWEEN_CHECKPOINTS,
        "evaluate_every_steps": BETWEEN_CHECKPOINTS,
        "early_stopping": {"patience": 5, "least_improvement": 0.0},
    }
    return Recipe.model_validate({**load_recipe("tiny-cpu").model_dump(), **smaller, **changes})


def write_small_dataset(directory: Path, rows: int = 16, kinds: tuple[str, ...] = ("curated",)) -> Path:
    """A dataset's folder with short rows."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, count in (("train.jsonl", rows), ("heldout.jsonl", 4)):
        lines = [_row(f"{name[0]}{number}", number, kinds[number % len(kinds)]) for number in range(count)]
        (directory / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (directory / "manifest.json").write_text(json.dumps({"rows": rows}), encoding="utf-8")
    return directory


def _row(row_id: str, number: int, kind: str) -> str:
    messages = [
        {"role": "user", "content": f"해치 예금 {number} 금리 알려 주세요"},
        {"role": "assistant", "content": f"연 {number}.25%입니다."},
    ]
    row = {
        "id": row_id,
        "messages": messages,
        "kind": kind,
        "tags": ["금리"],
        "source": "t",
        "licence": "t",
        "group": row_id,
    }
    return json.dumps(row, ensure_ascii=False)


class Listener:
    """Keeps what a run tells."""

    def __init__(self) -> None:
        self.told: list[Progress] = []
        self.lines: list[str] = []

    def progress(self, progress: Progress) -> None:
        self.told.append(progress)

    def line(self, text: str) -> None:
        self.lines.append(text)

    @property
    def losses(self) -> dict[int, float]:
        """The loss by step; what was told last counts."""
        return {told.step: told.loss for told in self.told if told.loss is not None}


def go_on() -> bool:
    """Nobody asks the run to stop."""
    return False
