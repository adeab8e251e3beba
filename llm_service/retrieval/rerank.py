"""What orders the first candidates anew by reading each together with the question, and its implementation over HTTP.

Models of this machine are in `local_models.py`. Knows neither index nor rows; how candidates are handed on is decided
in `search.py`.
"""

import math
from collections.abc import Sequence
from typing import Final, Protocol

from llm_service.masked import MaskedText
from llm_service.retrieval.inference_server import InferenceServer, malformed

SETTING: Final = "HAECHI_RERANKER"
MAXIMUM_CHARACTERS: Final = 8000


class Reranker(Protocol):
    """One cross-encoder. May be used from several threads."""

    depth: int
    """How many candidates it is given."""

    def scores(self, asked: Sequence[MaskedText], passages: Sequence[MaskedText]) -> list[float]:
        """How well each passage answers the question (and what it follows on, oldest first); more is better.

        Raises `Unavailable` where it is gone or has not finished in its time.
        """

    def close(self) -> None:
        """Let go of the model."""


class ServerReranker:
    """A server that speaks Text Embeddings Inference's /rerank (Hugging Face, "Text Embeddings Inference API").

    `seconds` is the longest a question may wait for it.
    """

    def __init__(self, url: str, api_key: str, depth: int, seconds: float) -> None:
        self._server = InferenceServer(url.rstrip("/").removesuffix("/rerank"), api_key, SETTING)
        self._seconds = seconds
        self.depth = depth

    def scores(self, asked: Sequence[MaskedText], passages: Sequence[MaskedText]) -> list[float]:
        texts = [passage[:MAXIMUM_CHARACTERS] for passage in passages]
        body = {"query": " ".join(asked), "texts": texts, "raw_scores": True, "truncate": True}
        return _in_order(self._server.ask("rerank", body, self._seconds), len(texts))

    def close(self) -> None:
        self._server.close()


def _in_order(reply: object, expected: int) -> list[float]:
    """Scores in the order of the texts; the server sends them best first, each with its index."""
    try:
        by_index = {int(row["index"]): float(row["score"]) for row in reply}  # type: ignore[attr-defined]
    except (KeyError, TypeError, ValueError):
        raise malformed(SETTING) from None
    if set(by_index) != set(range(expected)) or not all(map(math.isfinite, by_index.values())):
        raise malformed(SETTING)
    return [by_index[index] for index in range(expected)]
