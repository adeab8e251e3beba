"""Prints the story of the loop: a sentence of each step in Korean and English, the loss as a sparkline and as a plot.

The sentences stand in `texts.yaml`. Knows no platform.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import yaml
from rich.console import Console
from rich.table import Table

from haechi.demo_loop.story import Told
from llm_service.learning_client import LossPointView, TrainingRunView

TEXTS_FILE: Final = Path(__file__).with_name("texts.yaml")
BARS: Final = "▁▂▃▄▅▆▇█"
TABLE_ROWS: Final = 8
PLOT_FILE: Final = "loss.png"


class Printer:
    """A `Teller` on a console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._told_step = -1
        self._stage = ""

    def say(self, code: str, **named: object) -> None:
        """The sentence of a code: Korean, and English below it."""
        korean, english = (_texts()[code][language].format(**named) for language in ("ko", "en"))
        self._print(f"\n{korean}", "bold")
        self._print(english, "dim")

    def progress(self, run: TrainingRunView, points: Sequence[LossPointView]) -> None:
        """The newest point of the curve and a new stage, each once."""
        known = [point for point in points if point.loss is not None]
        if known and known[-1].step > self._told_step:
            self._told_step = known[-1].step
            self._print(f"  {self._told_step:4}/{run.total_steps}  loss {known[-1].loss:.3f}  {sparkline(points)}")
        if run.stage != self._stage:
            self._stage = run.stage
            self._print(f"  {run.stage}", "dim")

    def end(self, told: Told, plot: Path) -> None:
        """The table of base and adapter, and the figures of the run."""
        base, adapter = told.exact("base"), told.exact("adapter")
        table = Table("질문 / question", "기본 모델 / base", "어댑터 / adapter", show_lines=False)
        for one in told.compared[:TABLE_ROWS]:
            table.add_row(one.asked.question, _plain(one.base), _plain(one.adapter))
        self._console.print()
        self._console.print(table)
        count = len(told.compared)
        self.say("exact", base=base, adapter=adapter, count=count)
        self._print(f"  loss {sparkline(told.points)}")
        self._print(f"  {plot}")
        self._print("  " + "  ".join(f"{part} {seconds:.1f} s" for part, seconds in told.seconds.items()), "dim")

    def _print(self, line: str, style: str | None = None) -> None:
        # markup would take [1] for a style.
        self._console.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def sparkline(points: Sequence[LossPointView]) -> str:
    """The training loss, a bar for each measured step; the highest bar is the highest loss."""
    losses = [point.loss for point in points if point.loss is not None]
    highest = max(losses, default=0.0) or 1.0
    return "".join(BARS[min(len(BARS) - 1, int(loss / highest * len(BARS)))] for loss in losses)


def draw_loss(points: Sequence[LossPointView], path: Path) -> Path:
    """The curve as a PNG: training loss as a line, held-out loss as dots."""
    # Matplotlib takes a second to load: only who draws waits for it.
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot()
    trained = [(point.step, point.loss) for point in points if point.loss is not None]
    heldout = [(point.step, point.heldout_loss) for point in points if point.heldout_loss is not None]
    axes.plot(*zip(*trained, strict=True), label="training")
    if heldout:
        axes.plot(*zip(*heldout, strict=True), "o", label="held out")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats a token)")
    axes.set_ylim(bottom=0)
    axes.legend()
    figure.savefig(path, dpi=120)
    return path


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


@cache
def _texts() -> dict[str, dict[str, str]]:
    return dict(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))
