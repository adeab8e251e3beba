"""The learning loop on real processes: a wrong answer, approvals, a dataset, QLoRA, the gate, two replicas, and back.

Deselect it with `-m "not learning_loop"`: it trains for minutes.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from haechi.demo_loop.material import material
from haechi.demo_loop.scene import scene
from haechi.demo_loop.story import BASE_ADAPTER, Story, Told
from haechi.demo_loop.telling import draw_loss, sparkline
from llm_service.learning_client import LossPointView, TrainingRunView

PRODUCTS = 2
TIMEOUT_SECONDS = 1800  # what a machine that is shared may need; two idle cores need minutes


class Silent:
    """A teller that tells nobody."""

    def say(self, code: str, **named: object) -> None:
        pass

    def progress(self, run: TrainingRunView, points: Sequence[LossPointView]) -> None:
        pass


@pytest.mark.learning_loop
@pytest.mark.timeout(TIMEOUT_SECONDS)
async def test_a_wrong_answer_becomes_a_right_one_and_goes_back_on_call(tmp_path: Path, tiny_base: Path) -> None:
    async with scene(tmp_path / "home", tiny_base) as stage:
        told = await Story(stage, material(PRODUCTS), Silent()).tell()
    people_saw_a_quotation_first(told)
    the_model_answers_after_the_promotion(told)
    assert told.exact("base") <= 0.1
    assert told.exact("adapter") >= 0.8
    assert told.is_prompt_the_trained_one
    assert told.promoted.reading.failed == 0
    assert told.rolled_back.after.explained.adapter == BASE_ADAPTER
    assert draw_loss(told.points, tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert sparkline(told.points)[0] == "█"


def people_saw_a_quotation_first(told: Told) -> None:
    """The base's text did not pass the check, and what stood in for it was called what it is."""
    assert told.before.explained.adapter == BASE_ADAPTER
    assert told.before.explained.engine == "extractive"
    assert "quotation_fallback" in told.before.seen.notices
    assert any(verdict["failures"] for verdict in told.before.explained.verdicts)


def the_model_answers_after_the_promotion(told: Told) -> None:
    after = told.after
    assert (after.explained.engine, after.explained.adapter) == ("devserver", told.adapter)
    assert all(verdict["passed"] for verdict in after.explained.verdicts)
    assert len(after.seen.sources) == 1
