"""What answers carry, what is refused and how long it takes, over real statutes and the sample documents.

The statutes and the questions come from a folder of their own (`--statutes`); the sample documents, their questions and
the altered answers are the project's. `make eval-answers` runs it.
"""

import argparse
import asyncio
import json
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.altered_answers import Case, altered_answers
from benchmarks.corpora import statutes
from benchmarks.mechanical_alterations import mechanical_alterations
from llm_service.answering.story import AnswerStory, Finished, Question
from llm_service.answering.verify import Verifier
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Audience, Candidate
from llm_service.settings import Settings
from llm_service.store.models import Base
from llm_service.store.session import open_database
from llm_service.wiring import Analysers, Embedded, load_analysers, open_embedded

TESTS = Path(__file__).parent.parent / "tests" / "data"
SAMPLES = Path(__file__).parent.parent / "samples"
# The day after the newest edition among the statutes comes into force; every edition of `current/` holds then.
AS_OF = date(2026, 12, 18)
MECHANICAL_PASSAGES = 1000
NUMBER_KINDS = frozenset(("digit", "unit", "article", "date", "phone"))
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Asked:
    """A question and what a right answer is known by: strings it holds, articles or a document it rests on."""

    id: str
    text: MaskedText
    must: tuple[str, ...]
    gold: frozenset[str]
    document: str | None
    audience: Audience
    answerable: bool


@dataclass(frozen=True)
class Corpus:
    """Documents that are searched together, and the question sets that are asked of them."""

    name: str
    folder: Path
    audience: Sequence[Audience] | None
    questions: Mapping[str, Sequence[Asked]]


@dataclass(frozen=True)
class Outcome:
    """How one question ended. `carried`: every `must` stands in the answer; `rests_on_gold`: a right place is cited."""

    asked: Asked
    finished: Finished
    carried: bool
    rests_on_gold: bool


def main() -> None:
    """Ingest each corpus into a folder of its own (or open the one given), ask everything, print the tables."""
    arguments = _arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    analysers = load_analysers()
    outcomes: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for corpus in _corpora(arguments.statutes):
            home = (arguments.home or Path(scratch)) / corpus.name
            settings = Settings(home=home, refusal_threshold=arguments.threshold)
            with _opened(settings, corpus, analysers) as embedded:
                for name, questions in corpus.questions.items():
                    outcomes[f"{corpus.name}: {name}"] = asyncio.run(_ask_all(embedded, questions))
    console = Console()
    _print_answers(console, outcomes)
    _print_latency(console, [outcome for found in outcomes.values() for outcome in found])
    _print_verifier(console)
    if (arguments.statutes / "current").is_dir():
        _print_mechanical(console, arguments.statutes / "current", arguments.seed)
    if arguments.verbose:
        _print_each(console, outcomes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--statutes", type=Path, default=Path("../shared/data/statutes"))
    parser.add_argument("--home", type=Path, help="keep the index here and use it again")
    parser.add_argument("--threshold", type=float, default=Settings.model_fields["refusal_threshold"].default)
    parser.add_argument("--seed", type=int, default=2026, help="draws the passages that are altered by machine")
    parser.add_argument("--verbose", action="store_true", help="print every question with its answer")
    return parser.parse_args()


@contextmanager
def _opened(settings: Settings, corpus: Corpus, analysers: Analysers) -> Iterator[Embedded]:
    is_new = not (settings.home / "haechi.db").exists()
    settings.home.mkdir(parents=True, exist_ok=True)
    database = open_database(settings.resolved_database_url)
    Base.metadata.create_all(database)
    database.dispose()
    with open_embedded(settings, analysers) as embedded:
        if is_new:
            embedded.ingest.ingest_directory(corpus.folder, audience=corpus.audience)
        yield embedded


def _corpora(statutes_folder: Path) -> Iterator[Corpus]:
    """What is at hand: the sample documents always, the statutes where their folder is."""
    yield Corpus(
        "samples",
        SAMPLES,
        None,
        {
            "own": _questions(TESTS / "sample_questions.jsonl"),
            "own, second": _questions(TESTS / "sample_questions_second.jsonl"),
            "near misses": _questions(TESTS / "near_misses_samples.jsonl"),
            "not in any document": _questions(TESTS / "unanswerable_questions.jsonl"),
        },
    )
    if (statutes_folder / "current").is_dir():
        yield Corpus(
            "statutes",
            statutes_folder / "current",
            ("staff", "customer"),
            {
                "dev": _questions(statutes_folder / "questions.dev.jsonl"),
                "own": _questions(TESTS / "statute_questions.jsonl"),
                "own, second": _questions(TESTS / "statute_questions_second.jsonl"),
                "near misses": _questions(TESTS / "near_misses_statutes.jsonl"),
                "unanswerable, dev": _questions(statutes_folder / "unanswerable.dev.jsonl"),
                "not in any document": _questions(TESTS / "unanswerable_questions.jsonl"),
            },
        )


def _questions(path: Path) -> list[Asked]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_asked(json.loads(line)) for line in lines if line.strip()]


def _asked(row: dict[str, Any]) -> Asked:
    return Asked(
        id=row["id"],
        text=MaskedText(row["question"]),
        must=tuple(row.get("must", ())),
        gold=frozenset(row.get("gold", ())),
        document=row.get("document"),
        audience=row.get("audience", "staff"),
        answerable=bool(row.get("gold") or row.get("document")),
    )


async def _ask_all(embedded: Embedded, questions: Sequence[Asked]) -> list[Outcome]:
    settings = embedded.settings
    story = AnswerStory(
        embedded.index.retriever, embedded.engine, settings.passages_per_answer, settings.refusal_threshold, _at_once
    )
    return [_outcome(asked, await _answer(story, asked)) for asked in questions]


async def _answer(story: AnswerStory, asked: Asked) -> Finished:
    question = Question(asked.text, (), asked.audience, AS_OF, "ko")
    events = [event async for event in story.tell(question)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


async def _at_once(function: Callable[[], Returned]) -> Returned:
    return function()


def _outcome(asked: Asked, finished: Finished) -> Outcome:
    places = {f"{source.document.removesuffix('.md')}/{source.article}" for source in finished.sources}
    documents = {source.document for source in finished.sources}
    return Outcome(
        asked,
        finished,
        carried=all(string in finished.answer for string in asked.must),
        rests_on_gold=bool(places & asked.gold) or asked.document in documents,
    )


def _print_answers(console: Console, outcomes: dict[str, list[Outcome]]) -> None:
    columns = ("questions", "answerable refused", "unanswerable refused", "must in the answer", "cites a right place")
    table = Table(*columns, title="Answers")
    for name, found in outcomes.items():
        with_must = [outcome for outcome in found if outcome.asked.must]
        answerable = [outcome for outcome in found if outcome.asked.answerable]
        unanswerable = [outcome for outcome in found if not outcome.asked.answerable]
        table.add_row(
            name,
            _share(sum(outcome.finished.refused for outcome in answerable), len(answerable)),
            _share(sum(outcome.finished.refused for outcome in unanswerable), len(unanswerable)),
            _share(sum(outcome.carried for outcome in with_must), len(with_must)),
            _share(sum(outcome.rests_on_gold for outcome in answerable), len(answerable)),
        )
    console.print(table)
    reasons = Counter(
        str(o.finished.refusal_reason) for found in outcomes.values() for o in found if o.finished.refused
    )
    console.print("refused because:", dict(reasons), highlight=False)
    verdicts = [verdict for found in outcomes.values() for outcome in found for verdict in outcome.finished.verdicts]
    cut = sum(not verdict.passed for verdict in verdicts)
    console.print(f"sentences checked: {len(verdicts)}, cut: {cut}", highlight=False)


def _print_latency(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table("stage", "p50 ms", "p95 ms", title="Latency, one question at a time")
    for stage in ("retrieve", "answer", "verify", "first_token", "total"):
        spent = sorted(outcome.finished.timings.get(stage, 0.0) for outcome in outcomes)
        table.add_row(stage, f"{_percentile(spent, 50):.1f}", f"{_percentile(spent, 95):.1f}")
    console.print(table)
    lengths = sorted(len(outcome.finished.answer) for outcome in outcomes if not outcome.finished.refused)
    console.print(
        f"characters of an answer: p50 {_percentile(lengths, 50):.0f}, longest {lengths[-1]}", highlight=False
    )


def _print_verifier(console: Console) -> None:
    passages, cases = altered_answers(TESTS / "altered_answers.jsonl")
    verifier = Verifier()
    caught = Counter[str]()
    seen = Counter[str]()
    for case in cases:
        seen[case.kind] += 1
        caught[case.kind] += not _passes(verifier, case, passages)
    table = Table("what was altered", "sentences", "stopped", title="Verifier")
    for kind, number in sorted(seen.items()):
        table.add_row("nothing (false alarms)" if kind == "none" else kind, str(number), _share(caught[kind], number))
    numbers = [kind for kind in seen if kind in NUMBER_KINDS]
    table.add_row("all numbers", *_total(seen, caught, numbers))
    console.print(table)


def _print_mechanical(console: Console, statutes_folder: Path, seed: int) -> None:
    parts = [part for found in statutes(statutes_folder).values() for part in found]
    verifier = Verifier()
    seen, stopped = Counter[str](), Counter[str]()
    for alteration in mechanical_alterations(parts, MECHANICAL_PASSAGES, seed):
        verdicts = verifier.check(f"{alteration.sentence} [1]", [alteration.passage], "")
        seen[alteration.kind] += 1
        stopped[alteration.kind] += not all(verdict.passed for verdict in verdicts)
    table = Table("what was altered by machine", "sentences", "stopped", title=f"Verifier, drawn by seed {seed}")
    for kind, number in sorted(seen.items()):
        table.add_row("nothing (false alarms)" if kind == "none" else kind, str(number), _share(stopped[kind], number))
    console.print(table)


def _total(seen: Counter[str], caught: Counter[str], kinds: Sequence[str]) -> tuple[str, str]:
    number = sum(seen[kind] for kind in kinds)
    return str(number), _share(sum(caught[kind] for kind in kinds), number)


def _passes(verifier: Verifier, case: Case, passages: dict[str, Candidate]) -> bool:
    return all(verdict.passed for verdict in verifier.check(f"{case.sentence} [1]", [passages[case.passage]], ""))


def _print_each(console: Console, outcomes: dict[str, list[Outcome]]) -> None:
    for name, found in outcomes.items():
        for outcome in found:
            marks = [
                mark
                for mark, holds in (("must missing", not outcome.carried), ("other place", not outcome.rests_on_gold))
                if holds
            ]
            console.rule(f"{name} {outcome.asked.id} {', '.join(marks)}")
            console.print(outcome.asked.text, outcome.finished.answer, sep="\n", highlight=False, markup=False)
            console.print([source.label for source in outcome.finished.sources], highlight=False, markup=False)


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.1%})" if whole else "none"


def _percentile(ordered: Sequence[float], percent: int) -> float:
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] if ordered else 0.0


if __name__ == "__main__":
    main()
