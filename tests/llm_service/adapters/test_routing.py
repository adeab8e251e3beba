"""Who gets the canary: a keyed share, always the same people, and never a version that no replica carries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.adapters.routing import AdapterRouter
from tests.llm_service.adapters.memory_replica import MemoryReplica
from tests.llm_service.adapters.stage import Stage

CONVERSATIONS = [f"{number:032x}" for number in range(4000)]


def router(key: bytes = b"key") -> AdapterRouter:
    return AdapterRouter(None, None, key)  # type: ignore[arg-type]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
def test_the_share_is_kept(share: float) -> None:
    given_canary = sum(router().is_canary(one, "bank-qa-v2", share) for one in CONVERSATIONS)
    assert given_canary / len(CONVERSATIONS) == pytest.approx(share, abs=0.03)


@given(conversation=st.text(max_size=40), small=st.floats(0.01, 1), large=st.floats(0.01, 1))
def test_a_greater_share_keeps_the_conversations_of_a_smaller_one(
    conversation: str, small: float, large: float
) -> None:
    small, large = sorted((small, large))
    if router().is_canary(conversation, "v2", small):
        assert router().is_canary(conversation, "v2", large)


def test_another_canary_and_another_key_get_other_conversations() -> None:
    chosen = [
        {one for one in CONVERSATIONS if router(key).is_canary(one, canary, 0.1)}
        for key, canary in ((b"key", "v2"), (b"key", "v3"), (b"other", "v2"))
    ]
    for one, other in ((0, 1), (0, 2)):
        assert len(chosen[one] & chosen[other]) < len(chosen[one]) / 2


async def test_a_conversation_stays_with_its_version(stage: Stage) -> None:
    first = await stage.serving(1)
    second = await stage.approved(2)
    await stage.promote(second, "canary", 0.5)
    await stage.step()
    given = {one: [await stage.router.adapter_for(one) for _ in range(3)] for one in CONVERSATIONS[:40]}
    assert {tuple(set(versions)) for versions in given.values()} == {(first,), (second,)}


async def test_canary_conversations_get_the_active_version_where_no_replica_carries_the_canary(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    first = await stage.serving(1)
    second = await stage.approved(2)
    await stage.promote(second, "canary", 1.0)
    await stage.step()
    assert await stage.router.adapter_for("one") == second
    for replica in replicas:
        replica.voices.pop(second)
        replica.refuses_to_load = True
    await stage.step()
    assert await stage.router.adapter_for("one") == first


async def test_a_process_that_has_not_seen_a_new_version_looks_before_it_gives_it(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    name = await stage.serving(1)
    other = Stage(stage.database, stage.home, replicas, clock=stage.clock)
    assert await other.router.adapter_for("one") == name
    assert other.fleet.carries("http://replica-0", name)


async def test_when_every_replica_lost_the_active_version_the_previous_one_answers(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    first, second = await stage.serving(1), await stage.serving(2)
    for replica in replicas:
        replica.voices.pop(second)
        replica.refuses_to_load = True
    await stage.step()
    assert await stage.router.adapter_for("one") == first


async def test_when_no_replica_carries_anything_the_active_version_is_named_and_never_the_base(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    name = await stage.serving(1)
    for replica in replicas:
        replica.is_up = False
    await stage.step()
    assert await stage.router.adapter_for("one") == name


async def test_what_another_process_flipped_is_seen_within_a_second(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    first = await stage.serving(1)
    other = Stage(stage.database, stage.home, replicas, clock=stage.clock)
    await other.step()
    second = await stage.approved(2)
    assert await other.router.adapter_for("one") == first
    await stage.promote(second)
    await stage.keeper.step()
    assert await stage.router.adapter_for("one") == second
    assert await other.router.adapter_for("one") == first
    stage.clock.passes(1.0)
    assert await other.router.adapter_for("one") == second
