"""Presidio and spaCy as masking uses them, loaded without the neural libraries they look for on the way.

Both try to import PyTorch and transformers for models that masking does not have; where those are installed for
training, that costs a service that only masks 4 seconds and 300 MB. Presidio is imported here and nowhere else.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NEURAL_LIBRARIES = ("torch", "transformers", "stanza")


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Meanwhile the named libraries cannot be imported, unless they are loaded already (`sys.modules`: None)."""
    absent = [name for name in names if name not in sys.modules]
    nothing: dict[str, Any] = dict.fromkeys(absent)
    sys.modules.update(nothing)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


with _hidden(*NEURAL_LIBRARIES):
    from presidio_analyzer import AnalyzerEngine, EntityRecognizer, RecognizerRegistry, RecognizerResult
    from presidio_analyzer.context_aware_enhancers import ContextAwareEnhancer
    from presidio_analyzer.nlp_engine import NlpArtifacts, NlpEngine
    from spacy.tokens import Doc
    from spacy.vocab import Vocab

__all__ = [
    "AnalyzerEngine",
    "ContextAwareEnhancer",
    "Doc",
    "EntityRecognizer",
    "NlpArtifacts",
    "NlpEngine",
    "RecognizerRegistry",
    "RecognizerResult",
    "Vocab",
]
