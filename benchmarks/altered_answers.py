"""The sentences the verifier is measured on: passages with altered and unaltered answers, read from one file."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate


@dataclass(frozen=True)
class Case:
    """A sentence of an answer that cites `passage`. `kind` says what was altered in it; `none` is a control."""

    case: str
    passage: str
    kind: str
    altered: bool
    sentence: str


def altered_answers(path: Path) -> tuple[dict[str, Candidate], list[Case]]:
    """The passages by id, and the cases in order."""
    passages: dict[str, Candidate] = {}
    cases: list[Case] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if "sentence" in row:
            cases.append(Case(**row))
        else:
            passages[row["id"]] = _passage(row)
    return passages, cases


def _passage(row: dict[str, str]) -> Candidate:
    return Candidate(
        passage_id=int(row["id"].removeprefix("p")),
        document_path=row["title"],
        document_title=row["title"],
        label=row["label"],
        article=row["article"],
        heading_path=(),
        page=None,
        text=MaskedText(row["text"]),
        score=1.0,
        in_force_from=date.fromisoformat(row["in_force_from"]),
        in_force_to=date.max,
    )
