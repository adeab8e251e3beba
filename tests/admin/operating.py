"""What the pages of running the platform show in the browser's tests: turns of a day, verdicts, a conversation."""

import secrets
from datetime import timedelta

from sqlalchemy import update
from sqlalchemy.orm import Session

from llm_service.masked import MaskedText
from llm_service.store.control_models import HourCounting
from llm_service.store.models import Conversation, Feedback, Turn, now
from llm_service.store.statistics import hour_of
from tests.admin.platform import Platform

PAGES_OF_OPERATIONS = (
    ("platform", "admin", "/platform"),
    ("conversation", "agent", "/conversations/{conversation}"),
    ("turn", "agent", "/turns/{turn}"),
    ("approvals", "approver", "/approvals"),
    ("access", "auditor", "/access"),
)
CHANNELS = ("web", "web", "web", "slack", "teams")


def shown_of_operations(platform: Platform) -> dict[str, str]:
    """A conversation with a turn that was judged."""
    conversation_id, turn_ids = asked(platform, "제 번호 <PHONE_1>로 한도를 알려 주세요", verdict="down")
    platform.work(_a_day_of_turns)
    return {"conversation": conversation_id, "turn": turn_ids[0]}


def asked(
    platform: Platform, question: str, *, verdict: str | None = None, state: str = "answered", channel: str = "web"
) -> tuple[str, list[str]]:
    """A conversation of two turns; the first is judged where there is a verdict."""

    def add(session: Session) -> tuple[str, list[str]]:
        conversation = Conversation(
            channel=channel,
            thread_key=secrets.token_hex(32),
            user_key=secrets.token_hex(32),
            audience="customer",
            locale="ko",
        )
        turns = [
            Turn(
                conversation=conversation,
                event_id=str(position),
                position=position,
                question=MaskedText(text),
                answer=MaskedText("예금자보호 한도는 1인당 1억원입니다. [1]"),
                entity_counts={"PHONE": 1} if "<PHONE_1>" in text else {},
                state=state,
                intent="ask_knowledge",
                engine="extractive",
                cut_sentences=1,
            )
            for position, text in ((1, question), (2, "그러면 이자도 포함되나요?"))
        ]
        session.add_all(turns)
        session.flush()
        if verdict:
            session.add(Feedback(turn_id=turns[0].id, event_id="1", verdict=verdict, reason="wrong"))
        session.flush()
        return conversation.id, [turn.id for turn in turns]

    return platform.work(add)


def _a_day_of_turns(session: Session) -> None:
    # They come in late: the hours they are asked in have been counted as empty ones.
    session.execute(update(HourCounting).values(counted_until=hour_of(now() - timedelta(days=2))))
    for number in range(60):
        conversation = Conversation(
            channel=CHANNELS[number % len(CHANNELS)],
            thread_key=secrets.token_hex(32),
            user_key=secrets.token_hex(32),
            audience="customer" if number % 3 else "staff",
            locale="ko",
        )
        session.add(
            Turn(
                conversation=conversation,
                event_id="1",
                position=1,
                question=MaskedText(f"예금자보호 한도는 얼마까지인가요? {number}"),
                answer=MaskedText("1인당 1억원까지 보호됩니다. [1]"),
                state="refused" if number % 9 == 0 else "answered",
                intent="ask_knowledge",
                engine="extractive",
                cut_sentences=int(number % 7 == 0),
                created_at=now() - timedelta(minutes=13 * number),
            )
        )
