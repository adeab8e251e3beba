"""Plain BM25 over tokens, the classical comparison for retrieval, with the parameters of rank_bm25's Okapi variant."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

K1 = 1.5
B = 0.75


class Bm25:
    """Ranks texts for a question, best first; `tokens` cuts both the same way."""

    def __init__(self, texts: Sequence[str], tokens: Callable[[str], list[str]]) -> None:
        self._tokens = tokens
        counts = [Counter(tokens(text)) for text in texts]
        lengths = [sum(count.values()) for count in counts]
        average = sum(lengths) / len(lengths)
        self._postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for number, (count, length) in enumerate(zip(counts, lengths, strict=True)):
            norm = K1 * (1 - B + B * length / average)
            for token, times in count.items():
                self._postings[token].append((number, times * (K1 + 1) / (times + norm)))
        self._passages = len(texts)

    def rank(self, question: str, limit: int) -> list[int]:
        """Numbers of the best texts."""
        scores: defaultdict[int, float] = defaultdict(float)
        for token in self._tokens(question):
            postings = self._postings.get(token, [])
            idf = math.log(1 + (self._passages - len(postings) + 0.5) / (len(postings) + 0.5))
            for number, weight in postings:
                scores[number] += idf * weight
        return sorted(scores, key=scores.__getitem__, reverse=True)[:limit]
