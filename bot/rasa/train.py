"""Trains the model when its sources changed, and only then: `python -m bot.rasa.train` in the Rasa environment."""

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

from bot.rasa.lean import leave_out_tensorflow
from bot.rasa.model_archive import ARCHIVE_NAME, is_current, record
from bot.rasa.settings import PROJECT, models_directory


class TrainingFailed(Exception):
    """Rasa trained nothing; its own output says why."""


def train(models: Path) -> bool:
    """Make the archive in `models` current. Returns whether it had to train. Raises TrainingFailed."""
    if is_current(models):
        return False
    # No cache: what is trained comes from the sources alone, and nothing is left in the working directory.
    os.environ.update(RASA_TELEMETRY_ENABLED="false", SQLALCHEMY_SILENCE_UBER_WARNING="1", RASA_MAX_CACHE_SIZE="0")
    leave_out_tensorflow()
    # Only now: Rasa looks for TensorFlow while it is imported.
    from rasa.model_training import train as train_model  # noqa: PLC0415
    from rasa.utils.log_utils import configure_structlog  # noqa: PLC0415

    configure_structlog(logging.WARNING)

    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=models) as workplace:
        result = train_model(
            domain=str(PROJECT / "domain.yml"),
            config=str(PROJECT / "config.yml"),
            training_files=[str(PROJECT / "data")],
            output=workplace,
            force_training=True,
            fixed_model_name="haechi",
        )
        if result.code != 0 or result.model is None:
            raise TrainingFailed("Rasa did not train; see its messages above")
        shutil.move(result.model, models / ARCHIVE_NAME)
    record(models)
    return True


def main() -> None:
    trained = train(models_directory())
    sys.stdout.write("Trained the intents and rules.\n" if trained else "The trained model is current.\n")


if __name__ == "__main__":
    main()
