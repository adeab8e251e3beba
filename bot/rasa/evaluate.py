"""Measures the trained model in the Rasa environment, and prints JSON: held-out score, cross-validation, speed.

`python -m bot.rasa.evaluate HELDOUT.jsonl`; `benchmarks/route.py` calls it and adds what takes a running server.
"""

import asyncio
import json
import logging
import os
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from bot.rasa.lean import leave_out_tensorflow
from bot.rasa.model_archive import verified_archive
from bot.rasa.settings import PROJECT, models_directory

FOLDS = 5


def main() -> None:
    os.environ.update(RASA_TELEMETRY_ENABLED="false", SQLALCHEMY_SILENCE_UBER_WARNING="1")
    leave_out_tensorflow()
    from rasa.utils.log_utils import configure_structlog  # noqa: PLC0415 Rasa looks for TensorFlow while imported

    configure_structlog(logging.WARNING)
    lines = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    utterances = [(row["text"], row["intent"]) for row in map(json.loads, lines)]
    sys.stdout.write(json.dumps(asyncio.run(_measure_held_out(utterances)) | _cross_validate()) + "\n")


async def _measure_held_out(utterances: list[tuple[str, str]]) -> dict[str, Any]:
    """Macro-F1 as served, fallback included, and CPU milliseconds of Rasa's whole NLU an utterance."""
    from rasa.core.agent import Agent  # noqa: PLC0415
    from rasa.core.channels.channel import UserMessage  # noqa: PLC0415
    from sklearn.metrics import f1_score  # noqa: PLC0415

    agent = Agent.load(str(verified_archive(models_directory())))
    assert agent.processor is not None
    expected = [intent for _, intent in utterances]
    predicted, milliseconds = [], []
    for text, _ in utterances:
        started = time.process_time()
        parsed = await agent.processor.parse_message(UserMessage(text))
        milliseconds.append((time.process_time() - started) * 1000)
        predicted.append(parsed["intent"]["name"])
    centiles = statistics.quantiles(milliseconds, n=100)
    return {
        "utterances": len(utterances),
        "macro_f1": f1_score(expected, predicted, average="macro", labels=sorted(set(expected)), zero_division=0),
        "fallbacks": predicted.count("nlu_fallback"),
        "nlu_cpu_ms_p50": centiles[49],
        "nlu_cpu_ms_p95": centiles[94],
    }


def _cross_validate() -> dict[str, Any]:
    """Stratified cross-validation of the classifier over the training utterances, without fallback."""
    from rasa.shared.importers.importer import TrainingDataImporter  # noqa: PLC0415
    from sklearn.metrics import f1_score  # noqa: PLC0415
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415

    from bot.rasa.components.tfidf_intent import IntentModel, TfidfIntentClassifier  # noqa: PLC0415

    importer = TrainingDataImporter.load_from_dict(training_data_paths=[str(PROJECT / "data" / "nlu")])
    examples = importer.get_nlu_data().intent_examples
    texts = [example.get("text") for example in examples]
    intents = [example.get("intent") for example in examples]
    options = TfidfIntentClassifier.get_default_config()
    scores = []
    for kept, left_out in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(texts, intents):
        model = IntentModel.fit([texts[index] for index in kept], [intents[index] for index in kept], *options.values())
        predicted = [model.rank(texts[index])[0][0] for index in left_out]
        scores.append(f1_score([intents[index] for index in left_out], predicted, average="macro"))
    return {
        "training_utterances": len(texts),
        "cv_macro_f1": statistics.mean(scores),
        "cv_spread": statistics.stdev(scores),
    }


if __name__ == "__main__":
    main()
