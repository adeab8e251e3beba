"""A version that does worse than the one it stands in for is taken out, by a rule whose numbers can be read."""

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from llm_service.adapters.adapter_metrics import AdapterMetrics
from llm_service.adapters.watch import Rule, difference_of, verdict_of
from llm_service.masked import MaskedText
from llm_service.store import adapter_turns, adapters
from llm_service.store.adapter_turns import Count
from llm_service.store.models import AuditEvent, Conversation, Feedback, Turn, new_id, now
from tests.llm_service.adapters.memory_replica import MemoryReplica
from tests.llm_service.adapters.stage import Stage

Z_95 = 1.959964


@pytest.fixture
def stage(database: Engine, tmp_path: Path, replicas: list[MemoryReplica]) -> Stage:
    return Stage(database, tmp_path, replicas, Rule(minimum_turns=20, margin=0.02, z=Z_95))


# Newcombe, R. G. (1998): Interval estimation for the difference between independent proportions. Table II, method 10.
@pytest.mark.parametrize(
    ("count", "against", "lower", "upper"),
    [
        (Count(56, 70), Count(48, 80), 0.0524, 0.3339),
        (Count(9, 10), Count(3, 10), 0.1705, 0.8090),
        (Count(10, 10), Count(0, 20), 0.6791, 1.0),
        (Count(10, 10), Count(0, 10), 0.6075, 1.0),
    ],
)
def test_the_interval_is_the_published_one(count: Count, against: Count, lower: float, upper: float) -> None:
    found = difference_of(count, against, Z_95)
    assert (found.lower, found.upper) == (pytest.approx(lower, abs=5e-4), pytest.approx(upper, abs=5e-4))


@pytest.mark.parametrize(
    ("count", "against", "verdict"),
    [
        (Count(19, 19), Count(0, 500), "too_few"),
        (Count(19, 200), Count(0, 19), "too_few"),
        (Count(20, 20), Count(0, 20), "worse"),
        (Count(2, 100), Count(2, 100), "not_worse"),
        (Count(0, 100), Count(50, 100), "not_worse"),
        (Count(4, 100), Count(2, 100), "not_worse"),
        (Count(300, 1000), Count(100, 1000), "worse"),
        (Count(0, 0), Count(0, 0), "too_few"),
    ],
)
def test_a_verdict_needs_enough_turns_and_a_difference_beyond_chance(
    count: Count, against: Count, verdict: str
) -> None:
    assert verdict_of(count, against, Rule(minimum_turns=20))[0] == verdict


async def test_a_canary_that_fails_more_often_is_taken_out_and_rejected(stage: Stage) -> None:
    active, canary = await stage.serving(1), await stage.approved(2)
    await stage.promote(canary, "canary", 0.5)
    await stage.step()
    await tell(stage, active, {"answered": 40})
    await tell(stage, canary, {"answered": 20, "failed": 20})
    assert await stage.watch.look() == [canary]
    serving = await stage.aliases()
    assert (serving.active, serving.canary) == (active, None)
    state = await stage.run(lambda session: adapters.state_of(session, canary))
    assert (state.state, state.reason) == ("rejected", "failure_rate")
    row = await stage.run(
        lambda session: session.scalars(select(AuditEvent).where(AuditEvent.action == "adapter.rolled_back")).one()
    )
    assert row.actor == "watch"
    assert row.details["worse"][0]["events"] == 20
    assert row.details["rule"]["minimum_turns"] == 20


async def test_a_scrape_tells_verdicts_rollbacks_and_who_carries_what(stage: Stage) -> None:
    registry = CollectorRegistry()
    registry.register(AdapterMetrics(stage.watch, stage.fleet))
    active, canary = await stage.serving(1), await stage.approved(2)
    await stage.promote(canary, "canary", 0.5)
    await stage.step()
    await tell(stage, active, {"answered": 40})
    await tell(stage, canary, {"answered": 20, "failed": 20})
    await stage.watch.look()
    labels = {"measure": "failure", "verdict": "worse"}
    assert registry.get_sample_value("haechi_adapter_watch_verdicts_total", labels) == 1
    assert registry.get_sample_value("haechi_adapter_watch_rollbacks_total") == 1
    for server in stage.servers:
        told = {"replica": server.address, "adapter": active}
        assert registry.get_sample_value("haechi_adapter_carried", told) == 1


@pytest.mark.parametrize("measure", ["refusal", "cut", "thumbs_down"])
async def test_each_measure_can_take_a_canary_out(stage: Stage, measure: str) -> None:
    active, canary = await stage.serving(1), await stage.approved(2)
    await stage.promote(canary, "canary", 0.5)
    await stage.step()
    await tell(stage, active, {"answered": 40})
    await tell(stage, canary, {"answered": 20, measure: 20})
    assert await stage.watch.look() == [canary]
    looked = await stage.run(lambda session: adapter_turns.comparisons_of(session, [canary]))
    assert [one.measure for one in looked if one.verdict == "worse"] == [measure]


async def test_answers_by_quotation_count_as_failures_of_the_version_that_was_asked(stage: Stage) -> None:
    active, canary = await stage.serving(1), await stage.approved(2)
    await stage.promote(canary, "canary", 0.5)
    await stage.step()
    await tell(stage, active, {"answered": 40})
    await tell(stage, canary, {"quoted": 40})
    assert await stage.watch.look() == [canary]


async def test_a_canary_that_is_as_good_stays_and_its_numbers_can_be_read(stage: Stage) -> None:
    active, canary = await stage.serving(1), await stage.approved(2)
    await stage.promote(canary, "canary", 0.5)
    await stage.step()
    for name in (active, canary):
        await tell(stage, name, {"answered": 36, "failed": 2, "refusal": 2})
    assert await stage.watch.look() == []
    looked = await stage.run(lambda session: adapter_turns.comparisons_of(session, [canary]))
    assert {one.measure: (one.events, one.turns, one.verdict) for one in looked} == {
        "failure": (2, 40, "not_worse"),
        "refusal": (2, 38, "not_worse"),
        "cut": (0, 38, "not_worse"),
        "thumbs_down": (0, 36, "not_worse"),
    }


async def test_a_fresh_active_version_is_compared_with_the_one_before_it(stage: Stage) -> None:
    first = await stage.serving(1)
    await tell(stage, first, {"answered": 40})
    second = await stage.serving(2)
    await tell(stage, second, {"failed": 30})
    assert await stage.watch.look() == [second]
    assert (await stage.aliases()).active == first


async def test_the_base_model_is_what_a_first_version_is_compared_with(stage: Stage) -> None:
    await tell(stage, "base", {"answered": 40})
    first = await stage.serving(1)
    await tell(stage, first, {"failed": 30})
    assert await stage.watch.look() == [first]
    assert (await stage.aliases()).active is None


async def test_a_version_that_served_longer_than_the_window_is_left_to_people(stage: Stage) -> None:
    first = await stage.serving(1)
    await tell(stage, first, {"answered": 40})
    second = await stage.serving(2)
    await tell(stage, second, {"failed": 30})
    stage.clock.passes(3601)
    assert await stage.watch.look() == []


async def test_too_few_turns_decide_nothing(stage: Stage) -> None:
    active, canary = await stage.serving(1), await stage.approved(2)
    await stage.promote(canary, "canary", 0.5)
    await stage.step()
    await tell(stage, active, {"answered": 40})
    await tell(stage, canary, {"failed": 19})
    assert await stage.watch.look() == []


async def tell(stage: Stage, adapter: str, ended: dict[str, int]) -> None:
    """Turns of a version that ended in these ways, some moments ago."""
    await stage.run(lambda session: _add(session, adapter, ended))


def _add(session: Session, adapter: str, ended: dict[str, int]) -> None:
    conversation = Conversation(channel="web", thread_key=new_id(), user_key="u", audience="customer", locale="ko")
    session.add(conversation)
    session.flush()
    position = 0
    for way, number in ended.items():
        for _ in range(number):
            position += 1
            turn = _turn(conversation.id, position, adapter, way)
            session.add(turn)
            if way == "thumbs_down":
                session.flush()
                session.add(Feedback(turn_id=turn.id, event_id="f", verdict="down"))


def _turn(conversation_id: str, position: int, adapter: str, way: str) -> Turn:
    states = {"refusal": "refused", "failed": "failed"}
    return Turn(
        id=new_id(),
        conversation_id=conversation_id,
        event_id=str(position),
        position=position,
        question=MaskedText("질문"),
        state=states.get(way, "answered"),
        engine="extractive" if way == "quoted" else "vllm",
        adapter=adapter,
        cut_sentences=1 if way == "cut" else 0,
        answered_at=now() + timedelta(milliseconds=1),
    )
