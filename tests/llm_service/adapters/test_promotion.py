"""From loading to serving: proved on every replica, flipped once, resumed after a crash, undone in one call."""

import json
from pathlib import Path

import pytest
from sqlalchemy import Engine, update
from sqlalchemy.orm import Session

from llm_service.errors import HaechiError
from llm_service.store import adapter_rollout
from llm_service.store.adapter_models import AdapterLock
from llm_service.store.models import now
from tests.llm_service.adapters.memory_replica import SGLANG, TGI, MemoryReplica
from tests.llm_service.adapters.stage import GRACE_SECONDS, Stage


async def test_a_version_serves_once_every_replica_has_proved_it(stage: Stage, replicas: list[MemoryReplica]) -> None:
    name = await stage.approved(1)
    promotion = await stage.promote(name)
    assert (await stage.aliases()).active is None
    await stage.step()
    assert (await stage.aliases()).active == name
    assert await stage.state_of(promotion) == ("serving", "")
    assert all(replica.loads == [name] for replica in replicas)
    assert await stage.router.adapter_for("conversation") == name


async def test_nothing_flips_while_one_replica_is_down(stage: Stage, replicas: list[MemoryReplica]) -> None:
    name = await stage.approved(1)
    promotion = await stage.promote(name)
    replicas[1].is_up = False
    await stage.step()
    assert (await stage.aliases()).active is None
    row = await stage.run(lambda session: adapter_rollout.promotion(session, promotion).details)
    assert row == {"lacking": {"http://replica-1": "replica_not_ready"}}
    replicas[1].restart()
    await stage.step()
    assert (await stage.aliases()).active == name


async def test_a_promotion_that_takes_too_long_fails_and_says_which_replica(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    name = await stage.approved(1)
    promotion = await stage.promote(name)
    replicas[1].is_up = False
    await stage.step(121)
    assert await stage.state_of(promotion) == ("failed", "load_timeout")
    assert (await stage.aliases()).active is None
    replicas[1].restart()
    await stage.promote(name)
    await stage.step()
    assert (await stage.aliases()).active == name, "an approval is not spent by a promotion that never served"


async def test_a_replica_that_refuses_ends_the_promotion_early(stage: Stage, replicas: list[MemoryReplica]) -> None:
    promotion = await stage.promote(await stage.approved(1))
    replicas[0].refuses_to_load = True
    for _ in range(3):
        await stage.step(6)
    assert await stage.state_of(promotion) == ("failed", "engine_refused_request")
    assert (await stage.aliases()).active is None


async def test_a_replica_that_answers_as_something_else_ends_the_promotion(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    promotion = await stage.promote(await stage.approved(1))
    replicas[0].mixes_up = True
    for _ in range(3):
        await stage.step(6)
    assert await stage.state_of(promotion) == ("failed", "probe_answered_otherwise")


async def test_files_that_changed_on_the_volume_are_loaded_nowhere(stage: Stage, replicas: list[MemoryReplica]) -> None:
    name = await stage.approved(1)
    version = await stage.registry.version(name)
    weights = stage.volume.here(version.location) / "adapter_model.safetensors"
    weights.chmod(0o600)
    weights.write_bytes(b"tampered")
    promotion = await stage.promote(name)
    for _ in range(3):
        await stage.step(6)
    assert await stage.state_of(promotion) == ("failed", "adapter_files_changed")
    assert [replica.loads for replica in replicas] == [[], []]


async def test_the_previous_version_stays_loaded_and_an_older_one_goes_after_the_grace(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    first, second = await stage.serving(1), await stage.serving(2)
    assert set(replicas[0].voices) == {first, second}
    third = await stage.serving(3)
    await stage.step()
    assert set(replicas[0].voices) == {first, second, third}, "requests for it may still be running"
    await stage.step(GRACE_SECONDS + 1)
    assert set(replicas[0].voices) == {second, third} == set(replicas[1].voices)


async def test_adapters_that_are_not_ours_are_left_alone(stage: Stage, replicas: list[MemoryReplica]) -> None:
    replicas[0].voices["somebody-elses"] = "voice"
    await stage.serving(1)
    await stage.step(GRACE_SECONDS + 1)
    await stage.step(GRACE_SECONDS + 1)
    assert "somebody-elses" in replicas[0].voices


async def test_another_process_goes_on_after_a_crash(
    stage: Stage, database: Engine, tmp_path: Path, replicas: list[MemoryReplica]
) -> None:
    name = await stage.approved(1)
    await stage.promote(name)
    replicas[1].is_up = False
    await stage.step()
    replicas[1].is_up = True
    survivor = Stage(database, tmp_path, replicas, clock=stage.clock)
    await survivor.step()
    assert (await stage.aliases()).active is None, "the lock of the dead process has not run out"
    await stage.run(_let_lock_run_out)
    await survivor.step()
    assert (await stage.aliases()).active == name
    assert replicas[0].loads == [name], "loaded once, by the process that died"


async def test_a_process_that_lost_the_lock_cannot_flip(
    stage: Stage, database: Engine, tmp_path: Path, replicas: list[MemoryReplica]
) -> None:
    promotion = await stage.promote(await stage.approved(1))
    outdated = await stage.run(lambda session: adapter_rollout.take_lock(session, "slow", 10))
    assert outdated is not None
    await stage.run(_let_lock_run_out)
    newer = await stage.run(lambda session: adapter_rollout.take_lock(session, "quick", 10))
    assert newer is not None
    assert newer.fence > outdated.fence
    with pytest.raises(HaechiError, match="promotion_lock_lost"):
        await stage.run(lambda session: adapter_rollout.flip(session, promotion, outdated))
    assert (await stage.run(lambda session: adapter_rollout.flip(session, promotion, newer))).active is not None


async def test_one_promotion_at_a_time_and_the_same_one_twice_is_one(stage: Stage) -> None:
    first, second = await stage.approved(1), await stage.approved(2)
    assert await stage.promote(first) == await stage.promote(first)
    with pytest.raises(HaechiError, match="promotion_running"):
        await stage.promote(second)
    await stage.step()
    with pytest.raises(HaechiError, match="adapter_serving_already"):
        await stage.promote(first)
    await stage.promote(second)


async def test_without_an_approval_nothing_starts(stage: Stage) -> None:
    name = await stage.registered(1)
    with pytest.raises(HaechiError, match="adapter_not_approved"):
        await stage.promote(name)


async def test_a_rollback_needs_one_call_and_no_replica(stage: Stage, replicas: list[MemoryReplica]) -> None:
    first, second = await stage.serving(1), await stage.serving(2)
    for replica in replicas:
        replica.is_up = False
    assert (await stage.roll_back()).active == first
    for replica in replicas:
        replica.is_up = True
    assert await stage.router.adapter_for("conversation") == first
    with pytest.raises(HaechiError, match="adapter_not_approved"):
        await stage.promote(second)
    await stage.approve(second)
    await stage.promote(second)


async def test_the_first_version_rolls_back_to_the_base_model(stage: Stage) -> None:
    await stage.serving(1)
    after = await stage.roll_back()
    assert (after.active, after.has_previous) == (None, False)
    assert await stage.router.adapter_for("conversation") is None
    with pytest.raises(HaechiError, match="nothing_to_roll_back"):
        await stage.roll_back()


async def test_a_rollback_cancels_what_is_being_loaded(stage: Stage, replicas: list[MemoryReplica]) -> None:
    first = await stage.serving(1)
    second = await stage.serving(2)
    third = await stage.promote(await stage.approved(3))
    assert (await stage.roll_back()).active == first
    await stage.step()
    assert (await stage.aliases()).active == first
    assert await stage.state_of(third) == ("cancelled", "operator")
    assert second != first


async def test_a_canary_becomes_active_and_leaves_no_canary(stage: Stage) -> None:
    first = await stage.serving(1)
    second = await stage.approved(2)
    await stage.promote(second, "canary", 0.25)
    await stage.step()
    serving = await stage.aliases()
    assert (serving.active, serving.canary, serving.share) == (first, second, 0.25)
    await stage.promote(second)
    await stage.step()
    serving = await stage.aliases()
    assert (serving.active, serving.previous, serving.canary) == (second, first, None)


async def test_a_canary_that_is_taken_out_leaves_the_active_version_alone(stage: Stage) -> None:
    first = await stage.serving(1)
    await stage.promote(await stage.approved(2), "canary", 0.5)
    await stage.step()
    serving = await stage.roll_back("canary")
    assert (serving.active, serving.canary) == (first, None)


async def test_a_replica_that_restarts_empty_is_filled_again(stage: Stage, replicas: list[MemoryReplica]) -> None:
    name = await stage.serving(1)
    replicas[1].restart()
    assert stage.fleet.carries("http://replica-1", name), "nobody has looked yet; a request would be answered with 404"
    replicas[1].refuses_to_load = True
    await stage.step()
    assert not stage.fleet.carries("http://replica-1", name)
    assert stage.fleet.carries("http://replica-0", name)
    replicas[1].refuses_to_load = False
    await stage.step(6)
    assert stage.fleet.carries("http://replica-1", name)


async def test_a_suspected_replica_carries_nothing_until_it_was_looked_at(
    stage: Stage, replicas: list[MemoryReplica]
) -> None:
    name = await stage.serving(1)
    stage.fleet.suspect("http://replica-0")
    assert not stage.fleet.carries("http://replica-0", name)
    await stage.step()
    assert stage.fleet.carries("http://replica-0", name)


async def test_without_replicas_a_promotion_does_not_start(database: Engine, tmp_path: Path) -> None:
    stage = Stage(database, tmp_path, [])
    with pytest.raises(HaechiError, match="no_model_servers"):
        await stage.promote(await stage.approved(1))


async def test_a_server_that_loads_and_does_not_list_is_proved_by_its_answers(database: Engine, tmp_path: Path) -> None:
    replica = MemoryReplica("http://sglang", SGLANG)
    stage = Stage(database, tmp_path, [replica])
    first, second = await stage.serving(1), await stage.serving(2)
    survivor = Stage(database, tmp_path, [replica], clock=stage.clock)
    await survivor.fleet.look([second], [])
    assert survivor.fleet.carries("http://sglang", second), "refused as loaded already, and it answers as recorded"
    await stage.serving(3)
    await stage.step()
    await stage.step(GRACE_SECONDS + 1)
    assert first not in replica.voices


class TestServersThatLoadOnlyAtStart:
    """TGI: the wanted set is published, somebody rolls the replicas, the flip waits until each of them proves it."""

    @pytest.fixture
    def replicas(self) -> list[MemoryReplica]:
        return [MemoryReplica(f"http://tgi-{number}", TGI) for number in range(2)]

    async def test_the_flip_waits_for_the_roll_out_although_every_answer_is_a_200(
        self, stage: Stage, replicas: list[MemoryReplica]
    ) -> None:
        name = await stage.approved(1)
        promotion = await stage.promote(name)
        await stage.step()
        assert await stage.state_of(promotion) == ("loading", "")
        started_with = _published(stage)
        assert set(started_with) == {name}
        replicas[0].restart(started_with)
        await stage.step(6)
        assert (await stage.aliases()).active is None, "the other one still answers from the base, silently"
        details = await stage.run(lambda session: adapter_rollout.promotion(session, promotion).details)
        assert details == {"lacking": {"http://tgi-1": "probe_answered_as_base"}}
        replicas[1].restart(started_with)
        await stage.step(6)
        assert (await stage.aliases()).active == name

    async def test_a_roll_out_that_nobody_does_fails_after_an_hour(self, stage: Stage) -> None:
        promotion = await stage.promote(await stage.approved(1))
        await stage.step(3601)
        assert await stage.state_of(promotion) == ("failed", "rollout_timeout")

    async def test_a_replica_restarted_without_the_adapter_gets_no_traffic_for_it(
        self, stage: Stage, replicas: list[MemoryReplica]
    ) -> None:
        name = await stage.approved(1)
        await stage.promote(name)
        await stage.step()
        for replica in replicas:
            replica.restart(_published(stage))
        await stage.step(6)
        replicas[0].is_up = False
        await stage.step()
        replicas[0].restart({})
        await stage.step(6)
        assert not stage.fleet.carries("http://tgi-0", name)
        assert stage.fleet.carries("http://tgi-1", name)

    async def test_the_published_set_holds_active_previous_and_what_is_coming(self, stage: Stage) -> None:
        first, second = await stage.approved(1), await stage.approved(2)
        await stage.promote(first)
        await stage.step()
        for server in stage.servers:
            assert isinstance(server, MemoryReplica)
            server.restart(_published(stage))
        await stage.step(6)
        await stage.promote(second)
        await stage.step()
        assert set(_published(stage)) == {first, second}
        assert json.loads(stage.published.read_text())["kind"] == "ConfigMap"


def _published(stage: Stage) -> dict[str, Path]:
    pairs = json.loads(stage.published.read_text())["data"]["LORA_ADAPTERS"]
    return {name: Path(directory) for name, directory in (pair.split("=") for pair in pairs.split(","))}


def _let_lock_run_out(session: Session) -> None:
    session.execute(update(AdapterLock).values(expires_at=now()))
