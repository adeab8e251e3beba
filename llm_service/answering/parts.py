"""What the routes of the service work with; `llm_service.wiring` builds it, tests may build another."""

from dataclasses import dataclass

from llm_service.adapters.desk import AdapterDesk
from llm_service.answering.answer_switch import AnswerSwitch
from llm_service.answering.audit_desk import AuditDesk
from llm_service.answering.blind_desk import BlindDesk
from llm_service.answering.comparing import SideBySide
from llm_service.answering.control_desk import ControlDesk
from llm_service.answering.conversation_desk import ConversationDesk
from llm_service.answering.curated_desk import CuratedDesk
from llm_service.answering.document_desk import DocumentDesk
from llm_service.answering.erasing import EraseDesk
from llm_service.answering.evaluation_desk import EvaluationDesk
from llm_service.answering.explaining import ExplanationDesk
from llm_service.answering.handoff_desk import HandoffDesk
from llm_service.answering.intake import TurnIntake
from llm_service.answering.learning_desk import LearningDesk
from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.reader import AnswerReader
from llm_service.answering.readiness import Readiness
from llm_service.answering.restoring import RestoreDesk
from llm_service.answering.retention import Retention
from llm_service.answering.review_desk import ReviewDesk
from llm_service.answering.revision_desk import RevisionDesk
from llm_service.answering.rotating import KeyRotation
from llm_service.answering.runner import AnswerRunner
from llm_service.answering.search_desk import SearchDesk
from llm_service.answering.statistics_desk import StatisticsDesk
from llm_service.answering.verdicts import VerdictDesk
from llm_service.metrics import Metrics
from llm_service.store.identities import Identities


@dataclass(frozen=True)
class Parts:
    intake: TurnIntake
    runner: AnswerRunner
    reader: AnswerReader
    explaining: ExplanationDesk
    verdicts: VerdictDesk
    masking: MaskingDesk
    search: SearchDesk
    documents: DocumentDesk
    revisions: RevisionDesk
    restoring: RestoreDesk
    retention: Retention
    rotation: KeyRotation
    erasing: EraseDesk
    audit: AuditDesk
    review: ReviewDesk
    curated: CuratedDesk
    learning: LearningDesk
    evaluations: EvaluationDesk
    blind: BlindDesk
    adapters: AdapterDesk
    switch: AnswerSwitch
    controls: ControlDesk
    statistics: StatisticsDesk
    conversations: ConversationDesk
    comparing: SideBySide
    handoffs: HandoffDesk
    identities: Identities
    readiness: Readiness
    metrics: Metrics
