"""Prompts, rows, searches and answers take `MaskedText` and nothing else: mypy refuses all other text.

Whoever loosens one of these types makes a test below fail, and so does whoever makes `MaskedText` somewhere new.
"""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from mypy import api

PROJECT: Final = Path(__file__).resolve().parents[2]
SNIPPETS: Final = Path(__file__).with_name("snippets")
MARK: Final = re.compile(r"# refused: ([a-z-]+)$")
ERROR: Final = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]$")

MAKERS: Final = {
    # The door: text of people, its values replaced.
    "llm_service/masking/masker.py with_placeholders",
    # Our own constants, and the sentence that stands where an answer was kept back.
    "llm_service/answering/search_desk.py <module>",
    "llm_service/answering/answer_switch.py _withheld",
    # The demonstration's questions of its own, and a passage as the service's search gave it.
    "haechi/demo_loop/material.py as_served",
    "haechi/demo_loop/material.py _candidate",
    "llm_service/retrieval/lexical.py Lexical.warm_up",
    "llm_service/store/models.py Passage",
    # A passage is masked already; taking placeholders apart adds nothing to it.
    "llm_service/answering/citations.py without_placeholders",
    # A masked question less the day it names.
    "llm_service/answering/as_of.py without_day",
    # Passages of two editions, masked when they were taken in, cut into clauses and words.
    "llm_service/retrieval/changes.py changes_between",
    "llm_service/retrieval/changes.py _differing",
    "llm_service/retrieval/changes.py word_changes",
    "llm_service/answering/retest.py _evidence",
    # A question as its row has it, read back through a view whose fields are plain text.
    "llm_service/answering/explaining.py ExplanationDesk.explain",
    # A probe's prompt: asked when an evaluation records it, from masked sets; registering checks that masking keeps it.
    "llm_service/adapters/probes.py record",
    "llm_service/adapters/registry.py probe_from",
    # Answers: pieces of an engine that was given masked text only, joined, cut into sentences, read back from the log.
    "llm_service/answering/runner.py outcome_so_far",
    "llm_service/answering/runner.py _row",
    "llm_service/answering/story.py AnswerStory._verify",
    "llm_service/answering/story.py _Told.__init__",
    "llm_service/answering/story.py _Told.add",
    "llm_service/answering/story.py _Told.finished",
    "llm_service/answering/verify.py Verifier._verdict",
}
"""Which functions make `MaskedText`, and why what they make is masked. Who adds one says why here."""

CASTS: Final = re.compile(r"cast\(\s*[\"']?MaskedText|type: ignore")


@pytest.fixture(scope="module")
def refusals() -> dict[str, Counter[tuple[int, str]]]:
    """What mypy refuses, by file, as (line, code)."""
    found: dict[str, Counter[tuple[int, str]]] = {path.name: Counter() for path in SNIPPETS.glob("*.py")}
    report, problems, _ = api.run(
        [
            *(
                "--config-file",
                str(PROJECT / "pyproject.toml"),
                "--strict",
                "--cache-dir",
                str(PROJECT / ".mypy_cache"),
            ),
            *("--no-error-summary", "--hide-error-context", "--no-pretty", "--show-error-codes"),
            *(str(path) for path in sorted(SNIPPETS.glob("*.py"))),
        ]
    )
    assert problems == ""
    for line in report.splitlines():
        if match := ERROR.match(line):
            found.setdefault(Path(match["file"]).name, Counter())[int(match["line"]), match["code"]] += 1
    return found


def test_unmasked_text_is_refused_wherever_masked_text_goes(refusals: dict[str, Counter[tuple[int, str]]]) -> None:
    source = (SNIPPETS / "unmasked_is_refused.py").read_text(encoding="utf-8").splitlines()
    marked = Counter(
        (number, match[1]) for number, line in enumerate(source, start=1) if (match := MARK.search(line)) is not None
    )
    assert len(marked) > 30
    assert refusals["unmasked_is_refused.py"] == marked


def test_masked_text_is_accepted_by_the_same_calls(refusals: dict[str, Counter[tuple[int, str]]]) -> None:
    assert refusals["masked_is_accepted.py"] == Counter()
    assert set(refusals) == {"unmasked_is_refused.py", "masked_is_accepted.py"}


def test_masked_text_is_made_where_it_is_known_to_be_masked_and_nowhere_else() -> None:
    made = {
        f"{path.relative_to(PROJECT).as_posix()} {maker}"
        for path in _sources()
        for maker in _makers(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert made - MAKERS == set(), "somebody new makes MaskedText"
    assert MAKERS - made == set(), "nobody makes it there any more: take the line away"


def test_nobody_makes_masked_text_by_a_cast() -> None:
    for path in _sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert not ("MaskedText" in line and CASTS.search(line)), f"{path.relative_to(PROJECT)}:{number}"


def _sources() -> Iterator[Path]:
    for package in ("llm_service", "bot", "haechi"):
        yield from (PROJECT / package).rglob("*.py")


def _makers(node: ast.AST, within: tuple[str, ...] = ()) -> Iterator[str]:
    """The functions whose code calls MaskedText, or hands it on to be called, as in map(MaskedText, texts)."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        within = (*within, node.name)
    if isinstance(node, ast.Call) and "MaskedText" in map(_name_of, (node.func, *node.args)):
        yield ".".join(within) or "<module>"
    for child in ast.iter_child_nodes(node):
        yield from _makers(child, within)


def _name_of(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""
