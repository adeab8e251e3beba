"""Intent classifier of the Rasa pipeline: TF-IDF over character n-grams and a multinomial logistic regression.

Its model is a JSON file (labels, n-grams) and an npz file of numbers, loaded without pickle, so that a model archive
holds no code. It knows nothing of rules, slots or conversations.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasa.engine.graph import ExecutionContext, GraphComponent
from rasa.engine.recipes.default_recipe import DefaultV1Recipe
from rasa.engine.storage.resource import Resource
from rasa.engine.storage.storage import ModelStorage
from rasa.nlu.classifiers.classifier import IntentClassifier
from rasa.shared.nlu.constants import INTENT, TEXT
from rasa.shared.nlu.training_data.message import Message
from rasa.shared.nlu.training_data.training_data import TrainingData
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression

from bot.rasa.components.text_features import count_jamo_ngrams, count_syllable_ngrams, normalise

INTENT_RANKING = "intent_ranking"
VOCABULARY_FILE = "vocabulary.json"
WEIGHTS_FILE = "weights.npz"
RANKING_LENGTH = 10

# How much n-grams never seen in training weaken the evidence of those that were: nonsense has to end unsure.
UNKNOWN_WEIGHT = 0.3

Counts = Counter[str]
Numbers = npt.NDArray[Any]
COUNTERS: tuple[tuple[str, Callable[[str], Counter[str]], int], ...] = (
    # name, counter, least number of utterances an n-gram occurs in
    ("syllables", count_syllable_ngrams, 1),
    ("jamo", count_jamo_ngrams, 2),
)


@dataclass(frozen=True)
class Block:
    """One kind of n-gram: its column for each n-gram and the inverse document frequency of each column."""

    columns: dict[str, int]
    idf: Numbers

    @classmethod
    def learn(cls, counted: Sequence[Counts], least_documents: int) -> "Block":
        """The block of a corpus; smoothed idf as in Salton & Buckley 1988: ln((1 + n) / (1 + df)) + 1."""
        frequencies = Counter(ngram for counts in counted for ngram in counts)
        kept = sorted(ngram for ngram, documents in frequencies.items() if documents >= least_documents)
        documents = np.array([frequencies[ngram] for ngram in kept], dtype=np.float64)
        idf = np.log((1 + len(counted)) / (1 + documents)) + 1
        return cls({ngram: column for column, ngram in enumerate(kept)}, idf)

    def vector(self, counts: Counts) -> tuple[Numbers, Numbers]:
        """Columns and values of one utterance: (1 + ln tf) · idf, scaled to length one or, with unknown parts, less."""
        known = [(self.columns[ngram], count) for ngram, count in counts.items() if ngram in self.columns]
        if not known:
            return np.empty(0, dtype=np.int64), np.empty(0)
        columns = np.array([column for column, _ in known], dtype=np.int64)
        values = (1 + np.log([count for _, count in known])) * self.idf[columns]
        unknown = len(counts) - len(known)
        return columns, values / np.sqrt(values @ values + UNKNOWN_WEIGHT * unknown * self.idf.max() ** 2)


@dataclass(frozen=True)
class IntentModel:
    """Trained weights: one (n-grams, intents) array per block. Without intercepts, no evidence favours no intent."""

    labels: tuple[str, ...]
    blocks: tuple[Block, ...]
    weights: tuple[Numbers, ...]

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[str], strength: float, max_iterations: int) -> "IntentModel":
        """Train on utterances and their intents. `strength` is the inverse of the L2 penalty."""
        counted = [[counter(normalise(text)) for text in texts] for _, counter, _ in COUNTERS]
        blocks = tuple(Block.learn(counts, least) for counts, (_, _, least) in zip(counted, COUNTERS, strict=True))
        matrix = hstack([_matrix(block, counts) for block, counts in zip(blocks, counted, strict=True)]).tocsr()
        regression = LogisticRegression(
            C=strength, class_weight="balanced", fit_intercept=False, max_iter=max_iterations, tol=1e-3, random_state=0
        )
        regression.fit(matrix, list(labels))
        edges = np.cumsum([len(block.columns) for block in blocks])[:-1]
        weights = tuple(
            np.ascontiguousarray(part.T, dtype=np.float32) for part in np.split(regression.coef_, edges, axis=1)
        )
        return cls(tuple(map(str, regression.classes_)), blocks, weights)

    def rank(self, text: str) -> list[tuple[str, float]]:
        """Every intent with its probability, the likeliest first."""
        normalised = normalise(text)
        scores = np.zeros(len(self.labels))
        for (_, counter, _), block, weights in zip(COUNTERS, self.blocks, self.weights, strict=True):
            columns, values = block.vector(counter(normalised))
            scores += values @ weights[columns]
        odds = np.exp(scores - scores.max())
        probabilities = odds / odds.sum()
        order = np.argsort(-probabilities, kind="stable")
        return [(self.labels[index], float(probabilities[index])) for index in order]

    def save(self, directory: Path) -> None:
        vocabulary = {
            "labels": self.labels,
            "ngrams": {name: list(block.columns) for (name, _, _), block in zip(COUNTERS, self.blocks, strict=True)},
        }
        (directory / VOCABULARY_FILE).write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
        arrays: dict[str, Numbers] = {}
        for (name, _, _), block, weights in zip(COUNTERS, self.blocks, self.weights, strict=True):
            arrays |= {f"idf_{name}": block.idf, f"weights_{name}": weights}
        np.savez_compressed(directory / WEIGHTS_FILE, **arrays)

    @classmethod
    def load(cls, directory: Path) -> "IntentModel":
        vocabulary = json.loads((directory / VOCABULARY_FILE).read_text(encoding="utf-8"))
        with np.load(directory / WEIGHTS_FILE, allow_pickle=False) as arrays:
            blocks = tuple(
                Block({ngram: column for column, ngram in enumerate(vocabulary["ngrams"][name])}, arrays[f"idf_{name}"])
                for name, _, _ in COUNTERS
            )
            weights = tuple(arrays[f"weights_{name}"] for name, _, _ in COUNTERS)
            return cls(tuple(vocabulary["labels"]), blocks, weights)


def _matrix(block: Block, counted: Iterable[Counts]) -> csr_matrix:
    vectors = [block.vector(counts) for counts in counted]
    starts = np.cumsum([0, *(len(columns) for columns, _ in vectors)])
    columns = np.concatenate([columns for columns, _ in vectors])
    values = np.concatenate([values for _, values in vectors])
    return csr_matrix((values, columns, starts), shape=(len(vectors), len(block.columns)))


@DefaultV1Recipe.register(DefaultV1Recipe.ComponentType.INTENT_CLASSIFIER, is_trainable=True)
class TfidfIntentClassifier(IntentClassifier, GraphComponent):  # type: ignore[misc]
    """Rasa's side of the classifier: reads training data, stores the model, writes intents into messages."""

    def __init__(
        self, config: dict[str, Any], storage: ModelStorage, resource: Resource, model: IntentModel | None = None
    ) -> None:
        self._config = config
        self._storage = storage
        self._resource = resource
        self._model = model

    @staticmethod
    def get_default_config() -> dict[str, Any]:
        return {"strength": 10.0, "max_iterations": 300}

    @classmethod
    def create(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
    ) -> "TfidfIntentClassifier":
        return cls(config, model_storage, resource)

    # Rasa wires its graph by parameter names: this one has to be `training_data`.
    def train(self, training_data: TrainingData) -> Resource:
        examples = [example for example in training_data.intent_examples if example.get(TEXT)]
        self._model = IntentModel.fit(
            [example.get(TEXT) for example in examples],
            [example.get(INTENT) for example in examples],
            self._config["strength"],
            self._config["max_iterations"],
        )
        with self._storage.write_to(self._resource) as directory:
            self._model.save(directory)
        return self._resource

    @classmethod
    def load(
        cls,
        config: dict[str, Any],
        model_storage: ModelStorage,
        resource: Resource,
        execution_context: ExecutionContext,
        **_: Any,
    ) -> "TfidfIntentClassifier":
        with model_storage.read_from(resource) as directory:
            return cls(config, model_storage, resource, IntentModel.load(directory))

    def process(self, messages: list[Message]) -> list[Message]:
        if self._model is None:
            raise RuntimeError("The intent classifier has no model: train before serving")
        for message in messages:
            ranking = self._model.rank(message.get(TEXT) or "")
            named = [{"name": name, "confidence": confidence} for name, confidence in ranking[:RANKING_LENGTH]]
            message.set(INTENT, named[0], add_to_output=True)
            message.set(INTENT_RANKING, named, add_to_output=True)
        return messages
