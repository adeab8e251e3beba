"""Makes a frozen dataset of approved examples, and of nothing else: rendered as serving asks, checked, thinned, split.

The story is `build`. Knows no model and no queue; where the examples come from is the review queue's knowledge.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from llm_service.answering.prompt import Message, PromptBudget, question_in, render_messages
from llm_service.engines.base import EngineRequest, Locale
from llm_service.errors import InvalidInput, TooLarge
from llm_service.logs import get_logger
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate
from llm_service.store import datasets
from llm_service.store.dataset_files import HELDOUT, TRAIN, DatasetExample, DatasetFiles
from llm_service.store.datasets import ApprovedExample, Frozen, RowRecord
from llm_service.store.models import OPEN_END
from llm_service.store.transactions import Transactions
from trainer.similarity import Shingles, duplicates_among, is_near_any, shingles_of

GENERAL: Final = "general"
CITED_KINDS: Final = frozenset({"correction", "rag", "refusal", "summary"})
"""Kinds that are asked with passages, where they have some; the others are asked without instructions or passages."""
LOG = get_logger(__name__)

FindPersonalData = Callable[[str], Mapping[str, int]]
"""How many values of a person a text has, by type; placeholders are none."""


class DatasetSettings(BaseModel):
    """How a version is built. Shares are of the rows; similarities are Jaccard, of character shingles.

    `prompt_characters` bounds a rendered prompt: passages that do not fit are left out from the last on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    general_share: float = Field(0.5, ge=0, lt=1)
    heldout_share: float = Field(0.1, ge=0, le=0.5)
    duplicate_threshold: float = Field(0.9, gt=0, le=1)
    leakage_threshold: float = Field(0.8, gt=0, le=1)
    prompt_characters: int = Field(6000, ge=500)
    seed: int = Field(7, ge=0)


@dataclass(frozen=True)
class Sources:
    """What a build reads besides the records: the finder of personal data, and questions that must never be learnt."""

    find_personal_data: FindPersonalData
    evaluation_questions: Sequence[str] = ()


@dataclass(frozen=True)
class _Made:
    """A rendered row with the example it was made of."""

    row: DatasetExample
    example: ApprovedExample

    @property
    def text(self) -> str:
        return f"{self.example.question}\n{self.example.answer}"


def build(transactions: Transactions, files: DatasetFiles, version_id: str, sources: Sources) -> str:
    """Build and freeze a requested version; returns its name. A version that is ready stays as it is.

    Raises `NotFound` (dataset_not_found), `InvalidInput` (dataset_empty), and `Conflict` (dataset_outdated) when an
    example was erased or reopened meanwhile.
    """
    version = transactions.run_blocking(partial(datasets.by_id, version_id=version_id))
    if version.state == "ready":
        return version.name
    settings = DatasetSettings.model_validate(version.settings)
    examples = transactions.run_blocking(_approved)
    rows, statistics = select_rows(examples, settings, sources)
    if not rows[TRAIN]:
        raise InvalidInput("dataset_empty", "no approved example is left to train on; approve examples first")
    parent = transactions.run_blocking(partial(_parent_name, version_id=version_id))
    files.delete(version.name)  # of an attempt that was interrupted before it was frozen
    manifest = {"parents": [parent] if parent else [], "settings": settings.model_dump(), "statistics": statistics}
    _, content_sha256 = files.write(version.name, _rows_only(rows), manifest)
    frozen = Frozen(content_sha256, statistics, list(_records(rows)))
    transactions.run_blocking(partial(datasets.freeze, version_id=version_id, frozen=frozen))
    LOG.info("dataset frozen", dataset=version.name, rows=statistics["rows"], content_sha256=content_sha256)
    return version.name


def select_rows(
    examples: Sequence[ApprovedExample], settings: DatasetSettings, sources: Sources
) -> tuple[dict[str, list[_Made]], dict[str, Any]]:
    """The rows by split, and what became of every example: nothing is left out uncounted."""
    refused: Counter[str] = Counter()
    made = [one for example in examples if (one := _checked(example, settings, sources, refused)) is not None]
    # The newest approval wins where two say nearly the same or answer one question differently.
    made = _without_outdated(list(reversed(made)), refused)
    made = _without_duplicates(made, settings, refused)
    made = _without_leaks(made, settings, sources, refused)
    made = _with_general_share(made, settings, refused)
    made.sort(key=lambda one: one.row.id)
    rows: dict[str, list[_Made]] = {TRAIN: [], HELDOUT: []}
    for one in made:
        rows[split_of(one.row.group, settings)].append(one)
    return rows, _statistics(examples, rows, refused)


def split_of(group: str, settings: DatasetSettings) -> str:
    """On which side of the split a group stands: always the same one for the same seed, whatever else is built."""
    place = int.from_bytes(hashlib.sha256(f"{settings.seed}\0{group}".encode()).digest()[:8]) / 2**64
    return HELDOUT if place < settings.heldout_share else TRAIN


def render(example: ApprovedExample, prompt_characters: int) -> tuple[Message, ...]:
    """The conversation to learn: asked exactly as serving asks where there are passages, else the question alone.

    An example without passages is not put under the instructions: they say to answer from passages only, and an answer
    without any would teach to break them. Raises `TooLarge` (prompt_too_long).
    """
    answer = Message("assistant", example.answer)
    if example.kind not in CITED_KINDS or not example.sources:
        return Message("user", example.question), answer
    locale: Locale = "en" if example.locale == "en" else "ko"
    request = EngineRequest(example.question, tuple(map(_candidate, example.sources)), (), locale)
    return *render_messages(request, PromptBudget(prompt_characters, len)), answer


def masker_check(find: Callable[[str], Iterable[str]]) -> FindPersonalData:
    """A finder of personal data out of a function that names the type of each value it finds."""
    return lambda text: Counter(find(text))


def evaluation_questions(root: Path) -> list[str]:
    """The questions of every item of the frozen evaluation sets below a folder (`items.jsonl`).

    The question alone: two questions on one passage are not near because they share the passage.
    """
    questions = []
    for path in sorted(root.glob("**/items.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            messages = json.loads(line)["messages"]
            questions += [question_in(message["content"]) for message in messages if message["role"] == "user"]
    return questions


def _checked(
    example: ApprovedExample, settings: DatasetSettings, sources: Sources, refused: Counter[str]
) -> _Made | None:
    """The example as a row; None, and counted, where it still holds personal data or does not fit."""
    found: Counter[str] = Counter()
    for text in (example.question, example.answer):
        found.update(sources.find_personal_data(text))
    if found:
        refused["unmasked"] += 1
        for type_ in found:
            refused[f"unmasked:{type_}"] += 1
        return None
    try:
        messages = render(example, settings.prompt_characters)
    except TooLarge:
        refused["too_long"] += 1
        return None
    row = DatasetExample(
        id=example.id,
        messages=tuple({"role": message.role, "content": message.content} for message in messages),
        kind=example.kind,
        tags=example.tags,
        source=_origin(example),
        licence=example.licence,
        group=example.group_key,
    )
    return _Made(row, example)


def _origin(example: ApprovedExample) -> dict[str, Any]:
    return {
        "review_item": example.id,
        "feedback": example.feedback_id,
        "documents": sorted({one["document_id"] for one in example.sources if one.get("document_id")}),
        "passages": sorted({one["passage_id"] for one in example.sources if one.get("passage_id")}),
        "in_force_from": sorted({one["in_force_from"] for one in example.sources if one.get("in_force_from")}),
    }


def _without_outdated(newest_first: list[_Made], refused: Counter[str]) -> list[_Made]:
    """Of several answers to the same question on the same passages, the one approved last."""
    seen: set[tuple[str, ...]] = set()
    kept = []
    for one in newest_first:
        key = tuple(message["content"] for message in one.row.messages[:-1])
        if key in seen:
            refused["outdated"] += 1
        else:
            seen.add(key)
            kept.append(one)
    return kept


def _without_duplicates(made: list[_Made], settings: DatasetSettings, refused: Counter[str]) -> list[_Made]:
    duplicates = duplicates_among([shingles_of(one.text) for one in made], settings.duplicate_threshold)
    refused["duplicate"] += len(duplicates)
    return [one for place, one in enumerate(made) if place not in duplicates]


def _without_leaks(
    made: list[_Made], settings: DatasetSettings, sources: Sources, refused: Counter[str]
) -> list[_Made]:
    asked: list[Shingles] = [shingles_of(question) for question in sources.evaluation_questions]
    if not asked:
        return made
    kept = []
    for one in made:
        texts = (one.example.question, question_in(one.row.messages[-2]["content"]))
        if any(is_near_any(shingles_of(text), asked, settings.leakage_threshold) for text in texts):
            refused["in_evaluation"] += 1
        else:
            kept.append(one)
    return kept


def _with_general_share(made: list[_Made], settings: DatasetSettings, refused: Counter[str]) -> list[_Made]:
    """As many general rows as the share asks for, or all there are; chosen by hash, so that choices are repeatable."""
    own = [one for one in made if one.row.kind != GENERAL]
    general = [one for one in made if one.row.kind == GENERAL]
    wanted = round(len(own) * settings.general_share / (1 - settings.general_share))
    general.sort(key=lambda one: hashlib.sha256(f"{settings.seed}\0{one.row.content_sha256}".encode()).digest())
    refused["general_surplus"] += max(0, len(general) - wanted)
    return own + general[:wanted]


def _statistics(
    examples: Sequence[ApprovedExample], rows: Mapping[str, Sequence[_Made]], refused: Counter[str]
) -> dict[str, Any]:
    made = [one for split in rows.values() for one in split]
    general = sum(one.row.kind == GENERAL for one in made)
    return {
        "approved": len(examples),
        "rows": len(made),
        "general_share": round(general / len(made), 4) if made else 0.0,
        "left_out": {reason: count for reason, count in sorted(refused.items()) if count},
        "kinds": dict(sorted(Counter(one.row.kind for one in made).items())),
        "licences": dict(sorted(Counter(one.row.licence for one in made).items())),
        "groups": len({one.row.group for one in made}),
        "splits": {split: len(of_split) for split, of_split in rows.items()},
        "characters": sum(len(message["content"]) for one in made for message in one.row.messages),
    }


def _candidate(source: Mapping[str, Any]) -> Candidate:
    since = source.get("in_force_from")
    return Candidate(
        passage_id=source.get("passage_id") or 0,
        document_path=source["path"],
        document_title=source.get("title", ""),
        label=source["label"],
        article=source.get("article"),
        heading_path=(),
        page=None,
        text=MaskedText(source["text"]),
        score=1.0,
        in_force_from=date.fromisoformat(since) if since else date.min,
        in_force_to=OPEN_END,
    )


def _approved(session: Session) -> list[ApprovedExample]:
    return list(datasets.approved_examples(session))


def _parent_name(session: Session, version_id: str) -> str | None:
    parent_id = datasets.by_id(session, version_id).parent_id
    return datasets.by_id(session, parent_id).name if parent_id else None


def _rows_only(rows: Mapping[str, Sequence[_Made]]) -> dict[str, list[DatasetExample]]:
    return {split: [one.row for one in of_split] for split, of_split in rows.items()}


def _records(rows: Mapping[str, Sequence[_Made]]) -> Iterable[RowRecord]:
    for split, of_split in rows.items():
        for one in of_split:
            row = one.row
            yield RowRecord(
                row.id, split, row.kind, row.content_sha256, row.group, row.licence, one.example.id, row.source
            )
