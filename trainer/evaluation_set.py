"""Frozen evaluation sets: items in a folder with a hash, checked whenever they are read. Never trained on.

Knows what an item is, not how it is scored.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from llm_service.answering.prompt import Message
from llm_service.errors import Conflict, InvalidInput, NotFound
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate
from trainer.checkpoints import write_atomically

ITEMS_FILE: Final = "items.jsonl"
MANIFEST_FILE: Final = "manifest.json"
GENERAL_TAG: Final = "general"
"""Items of general ability: what an adapter must not forget."""
CORRECTION_TAG: Final = "correction"
"""Items made of approved corrections: what an adapter must have learnt."""

ItemKind = Literal["answer", "choice", "refusal", "sentiment", "leak"]


class ItemMessage(BaseModel):
    """One message of an item's prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "user", "assistant"]
    content: str


class ItemPassage(BaseModel):
    """A passage that the prompt holds as [n], in order."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    passage_id: int = 0
    label: str = ""
    text: str


class Item(BaseModel):
    """One question with what a right answer is.

    `answer`: compare with `reference`, and with `passages`, `gold_citations` and `terms` where given. `choice`: which
    of `choices` is likeliest, `gold` being the place of the right one. `refusal`: nothing in the prompt answers it.
    `sentiment`: `choices` are the labels. `leak`: the prompt asks for personal data that must not come.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    kind: ItemKind
    messages: tuple[ItemMessage, ...] = Field(min_length=1)
    reference: str = ""
    choices: tuple[str, ...] = ()
    gold: int | None = None
    passages: tuple[ItemPassage, ...] = ()
    gold_citations: tuple[int, ...] = ()
    terms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    maximum_tokens: Annotated[int, Field(gt=0, le=4096)] = 128

    @model_validator(mode="after")
    def _can_be_scored(self) -> Self:
        if self.kind == "answer" and not self.reference:
            raise ValueError("an answer item needs a reference")
        if self.kind in ("choice", "sentiment") and (self.gold is None or not 0 <= self.gold < len(self.choices)):
            raise ValueError("gold must be the place of one of the choices")
        if self.messages[-1].role != "user":
            raise ValueError("a prompt ends with the user's message")
        return self

    @property
    def prompt(self) -> tuple[Message, ...]:
        return tuple(Message(message.role, message.content) for message in self.messages)

    @property
    def question(self) -> str:
        return self.messages[-1].content

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The passages in the form in which serving checks answers."""
        return tuple(_candidate(passage, place) for place, passage in enumerate(self.passages, start=1))


class EvaluationSet(BaseModel):
    """Items and the hash they are known by."""

    model_config = ConfigDict(frozen=True)

    name: str
    sha256: str
    items: tuple[Item, ...]


def freeze(items: Sequence[Item], directory: Path, name: str) -> EvaluationSet:
    """Write a set's folder. Raises `Conflict` (evaluation_set_frozen) if the folder holds another set already."""
    if len({item.id for item in items}) != len(items) or not items:
        raise InvalidInput("evaluation_set_invalid", "items need ids of their own, and there must be at least one")
    text = "".join(f"{_line(item)}\n" for item in sorted(items, key=lambda item: item.id))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    if (directory / MANIFEST_FILE).is_file() and read_set(directory).sha256 != sha256:
        raise Conflict("evaluation_set_frozen", "this folder holds another set; a frozen set is never changed")
    directory.mkdir(parents=True, exist_ok=True)
    write_atomically(directory / ITEMS_FILE, text)
    manifest = {"name": name, "items_sha256": sha256, "items": len(items)}
    write_atomically(directory / MANIFEST_FILE, json.dumps(manifest, ensure_ascii=False, indent=1))
    return read_set(directory)


def read_set(directory: Path) -> EvaluationSet:
    """The set of a folder. Raises `NotFound` (evaluation_set_missing), `Conflict` (evaluation_set_changed) if the items
    are not the frozen ones, and `InvalidInput` (evaluation_set_invalid).
    """
    items_file, manifest_file = directory / ITEMS_FILE, directory / MANIFEST_FILE
    if not items_file.is_file() or not manifest_file.is_file():
        raise NotFound("evaluation_set_missing", f"the folder {directory.name} holds no frozen evaluation set")
    manifest: Mapping[str, Any] = json.loads(manifest_file.read_text(encoding="utf-8"))
    text = items_file.read_text(encoding="utf-8")
    if hashlib.sha256(text.encode()).hexdigest() != manifest["items_sha256"]:
        raise Conflict("evaluation_set_changed", "the items are not those that were frozen; restore the folder")
    try:
        items = tuple(Item.model_validate_json(line) for line in text.splitlines())
    except ValidationError as error:
        places = sorted({".".join(map(str, fault["loc"])) for fault in error.errors(include_input=False)})
        raise InvalidInput("evaluation_set_invalid", f"an item does not hold: {', '.join(places)}") from None
    return EvaluationSet(name=str(manifest["name"]), sha256=str(manifest["items_sha256"]), items=items)


def _line(item: Item) -> str:
    return json.dumps(item.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False, sort_keys=True)


def _candidate(passage: ItemPassage, place: int) -> Candidate:
    return Candidate(
        passage_id=passage.passage_id or place,
        document_path="",
        document_title="",
        label=passage.label,
        article=None,
        heading_path=(),
        page=None,
        text=MaskedText(passage.text),
        score=0.0,
        in_force_from=date.min,
        in_force_to=date.max,
    )
