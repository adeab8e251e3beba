"""Measures how much later a sentence is shown because it is checked first: `python -m benchmarks.hold_back`.

A scripted engine writes answers token by token at a fixed pace: sentences of real passages, some altered, each with its
[n]. For every sentence it prints the time from its last token to the verdict: waiting for the token that proves its
end, and the work of segmenter and verifier. A machine's clock is read for the work only; the pace is reckoned.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import quantiles
from time import perf_counter

from benchmarks.altered_answers import Case, altered_answers
from llm_service.answering.evidence import evidence_of, squeezed_passage
from llm_service.answering.segments import Segmenter
from llm_service.answering.verify import Verifier
from llm_service.retrieval.candidate import Candidate

CHARACTERS_PER_TOKEN = 2
TOKENS_PER_SECOND = 30.0
SENTENCES_PER_ANSWER = 5
ROUNDS = 5
BAR_MILLISECONDS = 150.0


@dataclass(frozen=True)
class HeldBack:
    """Of one segment: tokens that came after its last one before it was let go, milliseconds of work on it."""

    tokens: int
    work: float


def main() -> None:
    arguments = _arguments()
    passages, cases = altered_answers(Path("tests/data/altered_answers.jsonl"))
    measured = [found for _ in range(ROUNDS) for answer in _answers(cases, passages) for found in _hold_back(*answer)]
    pace = 1000 / arguments.tokens_per_second
    works = [one.work for one in measured]
    waits = [one.tokens * pace for one in measured]
    added = [one.tokens * pace + one.work for one in measured]
    print(f"{len(measured)} sentences, {len(passages)} passages, {arguments.tokens_per_second:g} tokens a second")
    for name, milliseconds in (("work", works), ("wait for the next token", waits), ("added", added)):
        ranks = quantiles(milliseconds, n=100)
        print(f"  {name:24} p50 {ranks[49]:6.1f} ms   p95 {ranks[94]:6.1f} ms   p99 {ranks[98]:6.1f} ms")
    is_kept = quantiles(added, n=100)[94] <= BAR_MILLISECONDS
    print(f"  bar: p95 of what is added at most {BAR_MILLISECONDS:g} ms: {'kept' if is_kept else 'NOT kept'}")


def _answers(cases: Sequence[Case], passages: dict[str, Candidate]) -> Iterator[tuple[str, list[Candidate]]]:
    """Answers of a few sentences, each citing the passage it was made from, with the passages they were given.

    What the verifier remembers of passages is forgotten before each answer: other answers come in between.
    """
    for start in range(0, len(cases), SENTENCES_PER_ANSWER):
        told = cases[start : start + SENTENCES_PER_ANSWER]
        evidence_of.cache_clear()
        squeezed_passage.cache_clear()
        given = [key for key, _ in groupby(case.passage for case in told)]
        text = " ".join(f"{case.sentence} [{given.index(case.passage) + 1}]" for case in told)
        yield text, [passages[key] for key in given]


def _hold_back(text: str, passages: Sequence[Candidate]) -> Iterator[HeldBack]:
    segmenter, verifier = Segmenter(), Verifier()
    fed = let_go = 0
    work = 0.0
    for start in range(0, len(text), CHARACTERS_PER_TOKEN):
        piece = text[start : start + CHARACTERS_PER_TOKEN]
        fed += len(piece)
        began = perf_counter()
        segments = list(segmenter.feed(piece))
        work += perf_counter() - began
        for segment in segments:
            let_go += len(segment)
            last = let_go - len(segment) + len(segment.rstrip())
            waited = -(-fed // CHARACTERS_PER_TOKEN) - -(-last // CHARACTERS_PER_TOKEN)
            yield HeldBack(waited, _checked(verifier, segment, passages) + work * 1000)
            work = 0.0
    for segment in segmenter.flush():
        yield HeldBack(0, _checked(verifier, segment, passages) + work * 1000)


def _checked(verifier: Verifier, segment: str, passages: Sequence[Candidate]) -> float:
    """Milliseconds of checking a segment against the passage it cites."""
    number = int(segment.rpartition("[")[2].partition("]")[0])
    began = perf_counter()
    verifier.check(segment, [passages[number - 1]], "")
    return (perf_counter() - began) * 1000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens-per-second", type=float, default=TOKENS_PER_SECOND, help="pace of the engine")
    return parser.parse_args()


if __name__ == "__main__":
    main()
