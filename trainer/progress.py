"""What a training run tells while it runs and when it is done. Knows no model, no queue and no database."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, Protocol

EVENTS_FILE: Final = "events.jsonl"
OUTCOME_FILE: Final = "outcome.json"


@dataclass(frozen=True)
class Progress:
    """Where a run stands after `step` of `steps`. What was not measured at this step is None.

    `loss` is the mean since the last report, `heldout_loss` that of the held-out rows; `tokens_per_second` counts real
    tokens, padding left out.
    """

    step: int
    steps: int
    loss: float | None = None
    heldout_loss: float | None = None
    learning_rate: float | None = None
    tokens_per_second: float | None = None


class Reporter(Protocol):
    """Who is told. A line never holds text of a row. After a resume, steps since the checkpoint are told again."""

    def progress(self, progress: Progress) -> None: ...

    def line(self, text: str) -> None: ...


ShouldStop = Callable[[], bool]
"""Asked after every step; True ends the run with a checkpoint (`Conflict`, training_cancelled)."""


@dataclass(frozen=True)
class TrainingResult:
    """An adapter and how it came to be. Hashes are SHA-256; `seconds` and `tokens` are of this process alone.

    `heldout_loss` is that of the adapter kept (None without held-out rows); `rows_too_long` were left out.
    """

    adapter_dir: Path
    adapter_sha256: str
    recipe_sha256: str
    dataset_sha256: str
    ended: Literal["finished", "early"]
    steps: int
    best_step: int
    resumed_from: int
    loss: float
    heldout_loss: float | None
    rows: int
    rows_too_long: int
    tokens: int
    seconds: float
    peak_gib: float
    device: str
    processes: int
    versions: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The result as it is kept beside the adapter."""
        return {**asdict(self), "adapter_dir": str(self.adapter_dir)}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> "TrainingResult":
        """What `as_json` wrote."""
        return cls(**{**told, "adapter_dir": Path(told["adapter_dir"])})


def read_curve(run_dir: Path) -> tuple[Progress, ...]:
    """The loss curve of a run, one point a step: what was told last counts, as a resume tells steps again."""
    path = run_dir / EVENTS_FILE
    told: dict[int, Progress] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        event = _event(line)
        if event is not None:
            told[event.step] = _merged(told.get(event.step), event)
    return tuple(told[step] for step in sorted(told))


def _event(line: str) -> Progress | None:
    """The progress that a line tells; None for other lines and for the half line of a process that was killed."""
    try:
        told = json.loads(line)
    except ValueError:
        return None
    return Progress(**told["progress"]) if "progress" in told else None


def _merged(earlier: Progress | None, later: Progress) -> Progress:
    """One point of both: the loss and the held-out loss of a step are told one after the other."""
    if earlier is None:
        return later
    known = {name: value for name, value in asdict(later).items() if value is not None}
    return Progress(**{**asdict(earlier), **known})
