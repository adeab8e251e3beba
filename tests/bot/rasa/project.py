"""Where the Rasa project lies, and its utterances, for the tests that read its files."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
RASA = ROOT / "bot" / "rasa"
HERE = Path(__file__).resolve().parent


def utterances(name: str) -> list[tuple[str, str]]:
    """(text, intent) of `development` or `heldout`."""
    lines = (HERE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [(row["text"], row["intent"]) for row in map(json.loads, lines)]


def macro_f1(expected: Sequence[str], predicted: Sequence[str]) -> float:
    """Mean over the expected intents of the harmonic mean of precision and recall."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for truth, guess in zip(expected, predicted, strict=True):
        counts[truth][0] += truth == guess
        counts[truth][1] += 1
        counts[guess][1] += 1
    intents = set(expected)
    return sum(2 * counts[intent][0] / counts[intent][1] for intent in intents) / len(intents)
