"""Hand-offs for the console's tests: somebody who waits, or whom an agent has."""

import secrets

from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store import handoffs
from llm_service.store.models import Conversation, Turn, now
from tests.admin.platform import Platform, platform_key

PAGES_OF_HANDOFFS = (
    ("handoffs", "agent", "/handoffs"),
    ("handoff", "agent", "/handoffs/{handoff}"),
)


def waiting(platform: Platform, said: str = "제 번호 <PHONE_1>로 연락해 주세요") -> str:
    """A hand-off that nobody has taken, of a conversation with one turn."""

    def add(session: Session) -> str:
        conversation = Conversation(
            channel="web",
            thread_key=secrets.token_hex(32),
            user_key=secrets.token_hex(32),
            audience="customer",
            locale="ko",
        )
        session.add(conversation)
        session.flush()
        turn = Turn(
            conversation_id=conversation.id,
            event_id=secrets.token_hex(8),
            position=1,
            question=MaskedText(said),
            state="replied",
            answer=MaskedText("상담원을 부르고 있습니다."),
            answered_at=now(),
        )
        session.add(turn)
        session.flush()
        return handoffs.ask(session, conversation, "asked", "", now()).id

    return platform.work(add)


def taken(platform: Platform, login: str = "agent") -> str:
    """A hand-off that an agent has, with a word of each."""
    handoff_id, agent = waiting(platform), platform_key(platform, login)

    def take(session: Session) -> None:
        handoffs.take(session, agent, handoff_id)
        handoffs.reply(session, agent, handoff_id, secrets.token_hex(8), MaskedText("무엇을 도와드릴까요?"))
        handoffs.write(session, handoff_id, secrets.token_hex(8), MaskedText("카드를 잃어버렸어요"), now())

    platform.work(take)
    return handoff_id


def shown_of_handoffs(platform: Platform) -> dict[str, str]:
    """A queue of two, one of them the agent's."""
    waiting(platform)
    return {"handoff": taken(platform)}
