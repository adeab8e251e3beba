"""Turns a dataset's rows into token ids and marks which of them are learnt.

A prompt is rendered by the one function that serving asks with, so that a row's beginning is, token for token, what a
model server sees. Knows no recipe but its prompt form, no model and no training loop.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast

from llm_service.answering.prompt import Message, render_mistral
from llm_service.engines.model_server import PromptForm
from llm_service.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED: Final = -100
"""The label of a token that is read but not learnt (PyTorch's `CrossEntropyLoss.ignore_index`)."""

GENERAL: Final = "general"
"""The `kind` of rows that keep general ability: what is replayed against forgetting."""

TRAIN_FILE: Final = "train.jsonl"
HELDOUT_FILE: Final = "heldout.jsonl"
MANIFEST_FILE: Final = "manifest.json"

_ROLES: Final = ("system", "user", "assistant")


@dataclass(frozen=True)
class Row:
    """One example of a dataset: a conversation that ends with the answer to learn."""

    id: str
    kind: str
    messages: tuple[Message, ...]
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Encoded:
    """A row as tokens; `labels` repeat the ids that are learnt and are `IGNORED` elsewhere."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]


@dataclass(frozen=True)
class EncodedRows:
    """The rows that fit, and how many were left out because they are longer than a sequence may be."""

    rows: tuple[Encoded, ...]
    too_long: int

    @property
    def tokens(self) -> int:
        return sum(len(row.input_ids) for row in self.rows)


def read_rows(path: Path) -> tuple[Row, ...]:
    """The rows of a dataset's file. Raises `NotFound` (dataset_missing) or `InvalidInput` (dataset_row_invalid)."""
    if not path.is_file():
        raise NotFound("dataset_missing", f"the dataset has no {path.name}; freeze a dataset version first")
    with path.open(encoding="utf-8") as lines:
        return tuple(_row(line, number) for number, line in enumerate(lines, start=1) if line.strip())


def prompt_ids(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], form: PromptForm) -> list[int]:
    """The token ids that a model server makes of this prompt, the beginning-of-sequence mark included.

    `text` is the rendered prompt, to which servers add the mark; `messages` is the tokenizer's own chat template.
    """
    if form == "text":
        return _ids(tokenizer, render_mistral(messages))
    chat = [{"role": message.role, "content": message.content} for message in messages]
    told = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True, return_dict=True)
    return list(cast("Mapping[str, list[int]]", told)["input_ids"])


def encode(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Message],
    form: PromptForm,
    loss_on: Literal["answers", "everything"] = "answers",
) -> Encoded:
    """A conversation as tokens: every answer with its end is learnt, what was asked is not (unless `everything`).

    Raises `InvalidInput` (prompt_not_a_prefix) if the tokenizer joins a prompt's end with an answer's beginning: the
    model would learn from tokens that serving never sends.
    """
    whole = _conversation(tokenizer, messages, form)
    if loss_on == "everything":
        return Encoded(tuple(whole), tuple(whole))
    labels = [IGNORED] * len(whole)
    for place, message in enumerate(messages):
        if message.role != "assistant":
            continue
        start = prompt_ids(tokenizer, messages[:place], form)
        end = _conversation(tokenizer, messages[: place + 1], form)
        if whole[: len(start)] != start or whole[: len(end)] != end:
            raise InvalidInput("prompt_not_a_prefix", "the tokenizer joins prompt and answer; use another prompt form")
        labels[len(start) : len(end)] = whole[len(start) : len(end)]
    return Encoded(tuple(whole), tuple(labels))


def encode_rows(
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Row],
    form: PromptForm,
    loss_on: Literal["answers", "everything"],
    maximum_tokens: int,
) -> EncodedRows:
    """All rows that fit whole. A row that is too long is left out: cut, it would teach an answer without its end."""
    encoded = [encode(tokenizer, row.messages, form, loss_on) for row in rows]
    fitting = tuple(row for row in encoded if len(row.input_ids) <= maximum_tokens)
    return EncodedRows(fitting, len(encoded) - len(fitting))


def with_replay(rows: Sequence[Row], share: float, seed: int) -> tuple[Row, ...]:
    """The rows with general ones repeated until they are `share` of all; as they are if they are that many already.

    Without any general row nothing is added: which rows a dataset holds is decided where it is frozen.
    """
    general = [row for row in rows if row.kind == GENERAL]
    wanted = round(share / (1 - share) * (len(rows) - len(general)))
    if not general or wanted <= len(general):
        return tuple(rows)
    order = random.Random(seed)  # noqa: S311 - a reproducible order, no secret
    extra = [order.choice(general) for _ in range(wanted - len(general))]
    return (*rows, *extra)


def _conversation(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], form: PromptForm) -> list[int]:
    if form == "text":
        return _ids(tokenizer, render_mistral(messages))
    chat = [{"role": message.role, "content": message.content} for message in messages]
    told = tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True)
    return list(cast("Mapping[str, list[int]]", told)["input_ids"])


def _ids(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return list(cast("Mapping[str, list[int]]", tokenizer(text, add_special_tokens=True))["input_ids"])


def _row(line: str, number: int) -> Row:
    try:
        told = json.loads(line)
        messages = tuple(_messages(told["messages"]))
        row = Row(str(told["id"]), str(told["kind"]), messages, tuple(map(str, told.get("tags", ()))))
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("dataset_row_invalid", f"row {number} of the dataset is not as rows are written") from error
    if not messages or messages[-1].role != "assistant":
        raise InvalidInput("dataset_row_invalid", f"row {number} of the dataset does not end with an answer")
    return row


def _messages(told: Sequence[Mapping[str, str]]) -> Iterator[Message]:
    for message in told:
        role = message["role"]
        if role not in _ROLES:
            raise ValueError("unknown role")
        yield Message(cast("Literal['system', 'user', 'assistant']", role), str(message["content"]))
