"""Puts exercises out of the bank's documents into the review queue: read, built, masked, drafted. Trains on nothing.

Opens the data directory itself; embedded, the index belongs to the running service, so it must not run meanwhile.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from sqlalchemy.orm import Session

from llm_service import wiring
from llm_service.engines.base import EngineRequest
from llm_service.masked import MaskedText, RawText
from llm_service.masking.masker import Masker, with_placeholders
from llm_service.masking.placeholders import PLACEHOLDER, PlaceholderNames
from llm_service.retrieval.candidate import Entitlement
from llm_service.settings import Settings
from llm_service.store import review
from llm_service.store.passages import StoredPassage, passages_of_documents
from llm_service.store.review import Draft
from llm_service.wiring import Embedded
from trainer.builders import glossary, grounded
from trainer.builders.material import Exercise, as_candidate, usable
from trainer.draft_kinds import DraftKind

GLOSSARY_KINDS: Final = frozenset({"glossary", "four_choice", "four_choice_writing"})
GLOSSARY_MARK: Final = "용어"
LICENCE: Final = "bank"


@dataclass(frozen=True)
class Drafted:
    """How many exercises were built, and how many of them were new to the queue."""

    built: int
    added: int


def draft(settings: Settings, kind: DraftKind, limit: int, seed: int) -> Drafted:
    """Build exercises of a kind and put them into the queue. Raises `IndexHeld` while a service owns the index."""
    with wiring.open_embedded(settings) as opened:
        passages = opened.transactions.run_blocking(partial(_material, kind=kind))
        exercises = list(islice(_exercises(opened, kind, passages, seed), limit))
        masker = opened.analysers.masker
        drafts = [_draft(masker, exercise) for exercise in exercises]
        added = [opened.transactions.run_blocking(partial(review.add_draft, draft=one)) for one in drafts]
    return Drafted(len(drafts), sum(one is not None for one in added))


def _material(session: Session, kind: DraftKind) -> list[StoredPassage]:
    found = usable(passages_of_documents(session), wiring.today_in_korea())
    if kind in GLOSSARY_KINDS:
        return [passage for passage in found if GLOSSARY_MARK in passage.document_title]
    return list(found)


def _exercises(opened: Embedded, kind: DraftKind, passages: list[StoredPassage], seed: int) -> Iterator[Exercise]:
    search, write = partial(_search, opened), partial(_write, opened)
    match kind:
        case "glossary":
            return glossary.definitions(passages, seed)
        case "four_choice":
            return glossary.four_choices(passages, seed)
        case "four_choice_writing":
            return glossary.writing_four_choices(passages, seed)
        case "summary":
            return grounded.summaries(passages, write, seed)
        case "rag":
            return grounded.cited_answers(passages, search, write, seed)
        case "refusal":
            return grounded.refusals(passages, search, seed)


def _search(opened: Embedded, question: str, count: int) -> list[int]:
    entitlement = Entitlement("staff", wiring.today_in_korea())
    found = opened.index.retriever.search(MaskedText(question), entitlement, count, ())
    return [candidate.passage_id for candidate in found.candidates]


def _write(opened: Embedded, question: str, passages: tuple[StoredPassage, ...]) -> str:
    request = EngineRequest(MaskedText(question), tuple(map(as_candidate, passages)), (), "ko")

    async def written() -> str:
        return "".join([str(piece) async for piece in opened.engine.stream(request) if isinstance(piece, str)])

    return asyncio.run(written()).strip()


def _draft(masker: Masker, exercise: Exercise) -> Draft:
    return Draft(
        kind=exercise.kind,
        question=_masked(masker, exercise.question),
        answer=_masked(masker, exercise.answer),
        made_by=f"builder:{exercise.kind}",
        group_key=exercise.group,
        licence=LICENCE,
        sources=tuple(review.source_of(passage) for passage in exercise.passages),
    )


def _masked(masker: Masker, text: str) -> MaskedText:
    """Names too are masked here, which documents may keep: what is learnt may be told to anybody."""
    raw = RawText(text)
    kept = frozenset(match[0] for match in PLACEHOLDER.finditer(text))
    names = PlaceholderNames({("kept", placeholder): placeholder for placeholder in kept})
    return with_placeholders(raw, masker.detect_in_reply(raw), names, kept).text
