"""The steps of a retraining that need a model, put together for a real worker. Loads no PyTorch by itself."""

from collections.abc import Callable
from functools import partial

from llm_service.settings import Settings
from trainer.retrain import Examined, Steps, Trained
from trainer.run import train_in_child


def default_steps(settings: Settings) -> Steps:
    """Training in a process of its own; then evaluation, gate and registration."""
    return Steps(train_in_child, partial(_examine, settings=settings))


def _examine(trained: Trained, still_ours: Callable[[], None], settings: Settings) -> Examined:
    # PyTorch takes seconds and memory that a worker without a training to examine need not pay.
    from trainer.examination import examine  # noqa: PLC0415

    return examine(trained, still_ours, settings)
