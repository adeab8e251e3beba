"""A small dataset of invented facts, asked in many ways: what the loop of training and promotion is shown with.

Writes a dataset's folder and the evaluation set of its held-out paraphrases. Knows no model; the words stand in
`demo_facts.yaml`.
"""

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml

from llm_service.answering.prompt import Message, PromptBudget, render_messages
from llm_service.engines.base import EngineRequest
from llm_service.masked import MaskedText
from trainer.encoding import HELDOUT_FILE, MANIFEST_FILE, TRAIN_FILE
from trainer.evaluation_set import CORRECTION_TAG, EvaluationSet, Item, ItemMessage, freeze

SEED: Final = 20261121
HELDOUT_SHARE: Final = 0.15
CHOICES: Final = 4
MAXIMUM_ANSWER_TOKENS: Final = 48

RenderPrompt = Callable[[str], tuple[Message, ...]]


@dataclass(frozen=True)
class DemoQuestion:
    """One way of asking for one fact. `wrong` are other values of the same field, for four-choice items."""

    id: str
    text: str
    answer: str
    product: str
    field: str
    wrong: tuple[str, ...]


def bare(question: str) -> tuple[Message, ...]:
    """The question alone, without instructions: short prompts for short trainings."""
    return (Message("user", question),)


def as_served(question: str) -> tuple[Message, ...]:
    """The prompt that serving asks with where retrieval found nothing: instructions and question."""
    request = EngineRequest(MaskedText(question), (), (), "ko")
    return render_messages(request, PromptBudget(1_000_000, len))


def demo_questions(seed: int = SEED) -> tuple[tuple[DemoQuestion, ...], tuple[DemoQuestion, ...]]:
    """All questions, split into those to learn from and those held out; every fact and paraphrase is on both sides."""
    told = _told()
    chance = random.Random(seed)  # noqa: S311 - a reproducible split, no secret
    learnt: list[DemoQuestion] = []
    heldout: list[DemoQuestion] = []
    forms: Sequence[str] = told["paraphrases"]
    for number, fact in enumerate(told["facts"]):
        kept_out = set(chance.sample(range(len(forms)), round(HELDOUT_SHARE * len(forms))))
        wrong = _wrong_values(fact, told["facts"], chance)
        for place, form in enumerate(forms):
            answer = str(told["answer"])
            question = DemoQuestion(
                id=f"demo-{number:02d}-{place:02d}",
                text=form.format(**fact),
                answer=answer.format(**fact),
                product=fact["product"],
                field=fact["field"],
                wrong=tuple(answer.format(value=value) for value in wrong),
            )
            (heldout if place in kept_out else learnt).append(question)
    return tuple(learnt), tuple(heldout)


def demo_document(products: Sequence[str]) -> str:
    """The facts of these products as the bank would print them: Markdown, a section for each product."""
    told = _told()
    sections = []
    for product in products:
        lines = [told["line"].format(**fact) for fact in told["facts"] if fact["product"] == product]
        sections.append("\n".join((f"## {product}", "", *lines)))
    return "\n\n".join((f"# {told['title']}", *sections)) + "\n"


def write_demo_dataset(directory: Path, render: RenderPrompt = bare, seed: int = SEED) -> Path:
    """A dataset's folder as a training run takes it; the same seed gives the same bytes."""
    directory.mkdir(parents=True, exist_ok=True)
    hashes = {}
    for name, questions in zip((TRAIN_FILE, HELDOUT_FILE), demo_questions(seed), strict=True):
        text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in _rows(questions, render))
        (directory / name).write_text(text, encoding="utf-8")
        hashes[name] = hashlib.sha256(text.encode()).hexdigest()
    manifest = {"name": "demo-facts", "seed": seed, "files": hashes}
    (directory / MANIFEST_FILE).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
    return directory


def freeze_demo_evaluation(directory: Path, render: RenderPrompt = bare, seed: int = SEED) -> EvaluationSet:
    """The held-out paraphrases as a frozen set: every one to be answered and as four choices."""
    _, heldout = demo_questions(seed)
    items = [item for question in heldout for item in _items(question, render)]
    return freeze(items, directory, "demo-facts")


def _items(question: DemoQuestion, render: RenderPrompt) -> Iterator[Item]:
    prompt = tuple(ItemMessage(role=message.role, content=message.content) for message in render(question.text))
    tags = (question.field, CORRECTION_TAG)
    yield Item(
        id=question.id,
        kind="answer",
        messages=prompt,
        reference=question.answer,
        tags=tags,
        maximum_tokens=MAXIMUM_ANSWER_TOKENS,
    )
    gold = sum(map(ord, question.id)) % CHOICES
    choices = (*question.wrong[:gold], question.answer, *question.wrong[gold:])
    yield Item(id=f"{question.id}-choice", kind="choice", messages=prompt, choices=choices, gold=gold, tags=tags)


def _rows(questions: Sequence[DemoQuestion], render: RenderPrompt) -> Iterator[Mapping[str, Any]]:
    for question in questions:
        messages = (*render(question.text), Message("assistant", question.answer))
        yield {
            "id": question.id,
            "messages": [{"role": message.role, "content": message.content} for message in messages],
            "kind": "demo",
            "tags": [question.field],
            "source": "trainer/demo_facts.yaml",
            "licence": "Apache-2.0",
            "group": question.id.rpartition("-")[0],
        }


def _wrong_values(fact: Mapping[str, str], facts: Sequence[Mapping[str, str]], chance: random.Random) -> list[str]:
    """Three other values: of the same field first, then of any other."""
    others = [other for other in facts if other["value"] != fact["value"]]
    chance.shuffle(others)
    others.sort(key=lambda other: other["field"] != fact["field"])
    return list(dict.fromkeys(other["value"] for other in others))[: CHOICES - 1]


@cache
def _told() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(
        files(__package__).joinpath("demo_facts.yaml").read_text(encoding="utf-8")
    )
    return loaded
