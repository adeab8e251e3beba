"""The same calls with masked text: that these pass shows that the refusals are about the text and nothing else."""

from datetime import date

from sqlalchemy.orm import Session

from llm_service.answering.story import Finished, Question, Token
from llm_service.engines.base import EngineRequest
from llm_service.masked import MaskedText, RawText
from llm_service.masking.masker import Masker
from llm_service.retrieval.candidate import Candidate, Entitlement
from llm_service.retrieval.lexical import Lexical
from llm_service.retrieval.search import Retriever
from llm_service.store import conversations, feedback
from llm_service.store.conversations import Outcome, RoutedBy, SourceRow
from llm_service.store.models import Conversation, Feedback, Passage, Turn, TurnSource


def prompts_and_stories(passages: tuple[Candidate, ...], today: date, masked: MaskedText) -> None:
    EngineRequest(masked, passages, (masked,), "ko")
    Question(masked, (masked,), "staff", today, "ko")
    Token(masked)
    Finished(masked, False, (), "extractive", {}, {})


def searches(retriever: Retriever, lexical: Lexical, entitlement: Entitlement, masked: MaskedText) -> None:
    retriever.search(masked, entitlement, 5, [masked])
    lexical.question_terms(masked)


def rows(session: Session, conversation: Conversation, turn: Turn, routed: RoutedBy, masked: MaskedText) -> None:
    conversations.add_turn(session, conversation, "event", masked, {}, {})
    conversations.store_reply(session, "turn", routed, masked)
    feedback.add_feedback(session, turn, "event", "up", None, masked)
    Outcome("answered", masked)
    SourceRow(1, None, "label", "path", masked, 1.0)


def columns(turn: Turn, source: TurnSource, given: Feedback, passage: Passage, masked: MaskedText) -> None:
    turn.question = turn.answer = source.text = given.correction = passage.text = passage.header = masked


def masking(masker: Masker, typed: str) -> MaskedText:
    return masker.mask(RawText(typed)).text
