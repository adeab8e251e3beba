"""Keeps what an embedding model made of texts, by content, so that a benchmark that is run again asks it nothing.

Knows no model: who encodes is handed in. A run that is stopped goes on where it was.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SAVED_EVERY_TEXTS = 256
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


class VectorCache:
    """One file of vectors of one model."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, NDArray[np.float32]] = {}
        if file.exists():
            with np.load(file) as stored:
                self._known = dict(zip(stored["keys"].tolist(), stored["vectors"], strict=True))

    def vectors(self, texts: Sequence[str], encode: Encode) -> NDArray[np.float32]:
        """One row a text; only texts never seen before are encoded, longest first as batches of one length are fast."""
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        todo = sorted(missing, key=lambda key: -len(missing[key]))
        for start in range(0, len(todo), SAVED_EVERY_TEXTS):
            batch = todo[start : start + SAVED_EVERY_TEXTS]
            self._known.update(zip(batch, encode([missing[key] for key in batch]), strict=True))
            self._save()
        return np.stack([self._known[key] for key in keys])

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_suffix(".partial.npz")
        np.savez(partial, keys=list(self._known), vectors=np.stack(list(self._known.values())))
        partial.replace(self._file)
