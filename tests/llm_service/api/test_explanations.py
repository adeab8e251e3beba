"""Why an answer is as it is: told to its own conversation, to operators with an audit row, and to nobody else."""

from dataclasses import asdict

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from llm_service.client import AcceptedTurn, ConversationKey, Route, ServiceError
from llm_service.store.models import AuditEvent

STAFF = ConversationKey(channel="api", thread="t-1", user="teller", audience="staff", groups=("credit",))
ROUTE = Route(intent="ask_knowledge", confidence=0.41, by="fallback", reason="rasa_unreachable", milliseconds=3.5)
DEPOSIT = "# 든든정기예금\n\n## 중도해지\n든든정기예금 중도해지이율은 연 0.50%입니다.\n".encode()
QUESTION = "010-1234-5678인데요, 든든정기예금 중도해지이율은 얼마인가요?"


async def test_the_whole_story_of_an_answer_is_told(service) -> None:
    turn = await _answered(service)
    told = await service.client.explanation(turn.turn_id, turn.conversation_id)
    assert (told.state, told.channel, told.engine) == ("answered", "api", "extractive")
    assert "<PHONE_1>" in told.question
    assert "1234" not in told.question
    assert told.route == {"intent": "ask_knowledge", "confidence": 0.41, "by": "fallback", "reason": "rasa_unreachable"}
    assert {"정기", "예금"} & set(told.query_terms) or "든든정기예금" in told.query_terms
    assert (told.filters["audience"], told.filters["groups"]) == ("staff", ["credit"])
    assert told.filters["as_of"]
    assert told.candidates[0]["score"] > 0
    assert {"fused", "coverage", "window", "heading"} <= set(told.candidates[0]["signals"])
    assert told.confidence >= told.refusal_threshold
    assert {"score", "window"} <= set(told.features)
    assert told.refusal_reason is None
    assert (told.prompt_sha256, told.adapter) == (None, None)
    assert [verdict["passed"] for verdict in told.verdicts] == [True] * len(told.verdicts) != []
    assert "0.50%" in told.answer
    assert [source.number for source in told.sources] == [1]
    assert {"mask", "route", "retrieve", "total"} <= set(told.timings)
    assert {"analyse", "index", "rank", "rows"} <= set(told.retrieval_timings)


async def test_a_refusal_is_explained_too(service) -> None:
    turn = await _ask(service, "오늘 서울 날씨 어때요?")
    told = await service.client.explanation(turn.turn_id, turn.conversation_id)
    assert (told.state, told.refusal_reason, told.sources) == ("refused", "no_passages", [])


async def test_one_s_own_turn_is_read_without_an_audit_row(service) -> None:
    turn = await _answered(service)
    await service.client.explanation(turn.turn_id, turn.conversation_id)
    assert _reads(service) == []


async def test_an_operator_reads_any_turn_and_leaves_an_audit_row(service) -> None:
    turn = await _answered(service)
    own = await service.client.explanation(turn.turn_id, turn.conversation_id)
    assert asdict(await service.client.explanation(turn.turn_id)) == asdict(own)
    (row,) = _reads(service)
    assert (row.actor, row.subject_kind, row.subject_id) == ("service", "turn", turn.turn_id)
    assert row.details == {"conversation_id": turn.conversation_id, "view": "explanation"}


@pytest.mark.parametrize("turn_id", ["0" * 32, "not-an-id", "%27"])
async def test_an_unknown_turn_is_not_found_and_not_audited(service, turn_id: str) -> None:
    with pytest.raises(ServiceError) as refused:
        await service.client.explanation(turn_id)
    assert (refused.value.status, refused.value.code) == (404, "turn_not_found")
    assert _reads(service) == []


async def test_a_turn_of_another_conversation_is_as_unknown(service) -> None:
    turn = await _answered(service)
    with pytest.raises(ServiceError) as refused:
        await service.client.explanation(turn.turn_id, "0" * 32)
    assert (refused.value.status, refused.value.code) == (404, "turn_not_found")
    assert _reads(service) == []


async def _answered(service) -> AcceptedTurn:
    await service.client.upload_document("예금.md", DEPOSIT, ["staff"], groups=["credit", "audit"])
    return await _ask(service, QUESTION)


async def _ask(service, question: str) -> AcceptedTurn:
    turn = await service.client.create_turn("m-1", STAFF, question)
    await service.client.start_answer(turn.turn_id, turn.conversation_id, ROUTE)
    assert [event async for event in service.client.events(turn.turn_id, turn.conversation_id)][-1].event == "done"
    return turn


def _reads(service) -> list[AuditEvent]:
    with Session(service.database) as session:
        return list(session.scalars(select(AuditEvent).where(AuditEvent.action == "conversation.read")))
