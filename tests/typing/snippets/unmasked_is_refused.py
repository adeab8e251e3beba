"""Unmasked text where only masked text may go. mypy has to refuse every line marked so, and no other line."""

from datetime import date

from sqlalchemy.orm import Session

from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.prompt import Message, PromptBudget, render_messages
from llm_service.answering.story import Finished, Question, Token
from llm_service.engines.base import EngineRequest
from llm_service.masked import MaskedText, RawText
from llm_service.masking.masker import Masked, Masker
from llm_service.retrieval.candidate import Candidate, Entitlement
from llm_service.retrieval.lexical import Lexical
from llm_service.retrieval.masked_draft import DocumentMasker
from llm_service.retrieval.search import Retriever
from llm_service.store import conversations, feedback
from llm_service.store.conversations import Outcome, RoutedBy, SourceRow
from llm_service.store.documents import PassageRecord
from llm_service.store.models import Conversation, Feedback, Passage, Turn, TurnSource

TYPED = "what a person typed"
RAW = RawText(TYPED)


def prompts(budget: PromptBudget, passages: tuple[Candidate, ...], masked: MaskedText) -> tuple[Message, ...]:
    EngineRequest(TYPED, passages, (masked,), "ko")  # refused: arg-type
    EngineRequest(RAW, passages, (masked,), "ko")  # refused: arg-type
    EngineRequest(masked, passages, (TYPED,), "ko")  # refused: arg-type
    EngineRequest(masked, passages, (RAW,), "ko")  # refused: arg-type
    render_messages(TYPED, budget)  # refused: arg-type
    return render_messages(RAW, budget)  # refused: arg-type


def stories(today: date, masked: MaskedText) -> None:
    Question(TYPED, (), "staff", today, "ko")  # refused: arg-type
    Question(RAW, (), "staff", today, "ko")  # refused: arg-type
    Question(masked, (TYPED,), "staff", today, "ko")  # refused: arg-type
    Token(TYPED)  # refused: arg-type
    Finished(TYPED, False, (), "extractive", {}, {})  # refused: arg-type


def searches(retriever: Retriever, lexical: Lexical, entitlement: Entitlement, masked: MaskedText) -> None:
    retriever.search(TYPED, entitlement)  # refused: arg-type
    retriever.search(RAW, entitlement)  # refused: arg-type
    retriever.search(masked, entitlement, 5, [TYPED])  # refused: list-item
    lexical.question_terms(TYPED)  # refused: arg-type


def rows(session: Session, conversation: Conversation, turn: Turn, routed: RoutedBy) -> None:
    conversations.add_turn(session, conversation, "event", TYPED, {}, {})  # refused: arg-type
    conversations.add_turn(session, conversation, "event", RAW, {}, {})  # refused: arg-type
    conversations.store_reply(session, "turn", routed, TYPED)  # refused: arg-type
    feedback.add_feedback(session, turn, "event", "up", None, TYPED)  # refused: arg-type
    Outcome("answered", TYPED)  # refused: arg-type
    SourceRow(1, None, "label", "path", TYPED, 1.0)  # refused: arg-type


def columns(turn: Turn, source: TurnSource, given: Feedback, passage: Passage) -> None:
    turn.question = TYPED  # refused: assignment
    turn.question = RAW  # refused: assignment
    turn.answer = TYPED  # refused: assignment
    source.text = TYPED  # refused: assignment
    given.correction = TYPED  # refused: assignment
    passage.text = TYPED  # refused: assignment
    passage.header = TYPED  # refused: assignment


def passages(masked: MaskedText) -> None:
    PassageRecord(TYPED, masked, "label", None, None, (), None, None, b"")  # refused: arg-type
    PassageRecord(masked, TYPED, "label", None, None, (), None, None, b"")  # refused: arg-type


async def masking(masker: Masker, desk: MaskingDesk, documents: DocumentMasker) -> None:
    masker.mask(TYPED)  # refused: arg-type
    masker.detect(TYPED)  # refused: arg-type
    await desk.mask(TYPED)  # refused: arg-type
    documents.mask_document(TYPED)  # refused: arg-type
    Masked(TYPED, {}, {})  # refused: arg-type


def escapes() -> tuple[MaskedText, str, bytes]:
    as_masked: MaskedText = TYPED  # refused: assignment
    as_text: str = RAW  # refused: assignment
    joined = "".join([RAW])  # refused: list-item
    return as_masked, as_text + joined, RAW.encode()  # refused: attr-defined
