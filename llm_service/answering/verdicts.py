"""Takes in verdicts on answers, with their corrections masked like everything else. Their review is not known here."""

from functools import partial

from sqlalchemy.orm import Session

from llm_service.answering.masking_desk import MaskingDesk
from llm_service.answering.text_rules import require_question
from llm_service.client import Verdict
from llm_service.errors import Conflict
from llm_service.masked import RawText
from llm_service.masking.vault import Detected, Vault
from llm_service.metrics import Metrics
from llm_service.store import conversations
from llm_service.store.conversations import FINISHED_STATES
from llm_service.store.feedback import add_feedback, feedback_by_event
from llm_service.store.transactions import Transactions


class VerdictDesk:
    """Stores feedback, once for each event."""

    def __init__(
        self,
        transactions: Transactions,
        masking: MaskingDesk,
        vault: Vault,
        metrics: Metrics,
        maximum_characters: int,
    ) -> None:
        self._transactions = transactions
        self._masking = masking
        self._vault = vault
        self._metrics = metrics
        self._maximum_characters = maximum_characters

    async def give(
        self,
        turn_id: str | None,
        conversation_id: str,
        event_id: str,
        verdict: Verdict,
        reason: str | None,
        correction: RawText | None,
    ) -> tuple[str, bool]:
        """The feedback's id, and whether it is new. Without a turn it is about the conversation's last answer.

        Raises `NotFound` (turn_not_found, answer_not_found), `Conflict` (turn_not_finished) while the answer is still
        coming, what `require_question` raises for the correction, `MaskingUnavailable` and `VaultUnavailable`.
        """
        if correction is not None:
            require_question(correction, self._maximum_characters)
        detected = (await self._masking.detect(correction)).detected if correction is not None else None
        feedback_id, is_new = await self._transactions.run(
            partial(
                _give,
                vault=self._vault,
                turn_id=turn_id,
                conversation_id=conversation_id,
                event_id=event_id,
                verdict=verdict,
                reason=reason,
                correction=detected,
            )
        )
        if is_new:
            self._metrics.feedback(verdict)
        return feedback_id, is_new


def _give(
    session: Session,
    vault: Vault,
    turn_id: str | None,
    conversation_id: str,
    event_id: str,
    verdict: Verdict,
    reason: str | None,
    correction: Detected | None,
) -> tuple[str, bool]:
    if turn_id is None:
        turn = conversations.last_answer(session, conversation_id)
    else:
        turn = conversations.owned_turn(session, turn_id, conversation_id)
    if turn.state not in FINISHED_STATES:
        raise Conflict("turn_not_finished", "feedback is taken once the answer has ended")
    known = feedback_by_event(session, turn.id, event_id)
    if known is not None:
        return known.id, False
    masked = None
    if correction is not None:
        # The answer's placeholders, so that who reviews the correction sees which value it speaks of.
        masked = vault.mask(session, conversations.locked(session, conversation_id), correction).text
    return add_feedback(session, turn, event_id, verdict, reason, masked).id, True
