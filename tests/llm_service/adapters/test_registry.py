"""Versions are registered once, under names that every engine takes, with probes that prove something."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from llm_service.adapters.files import Limits
from llm_service.adapters.locations import Location
from llm_service.adapters.registry import Registry
from llm_service.errors import HaechiError
from llm_service.masked import MaskedText
from tests.llm_service.adapters.adapter_files import adapter_directory
from tests.llm_service.adapters.memory_replica import probe_of
from tests.llm_service.adapters.stage import TRAINER, Stage, origin


async def test_a_name_tells_family_number_and_hash(stage: Stage) -> None:
    names = [await stage.registered(seed) for seed in (1, 2)]
    assert re.fullmatch(r"bank-qa-v1-[0-9a-f]{12}", names[0])
    assert re.fullmatch(r"bank-qa-v2-[0-9a-f]{12}", names[1])
    version = await stage.registry.version(names[0])
    assert version.location.value.startswith(names[0][-12:])
    assert re.fullmatch(r"[A-Za-z0-9._-]+", names[0]), "neither TGI's , = @ nor SGLang's : may occur"


async def test_registering_the_same_files_again_is_the_same_version(stage: Stage) -> None:
    assert await stage.registered(1) == await stage.registered(1)


async def test_the_same_files_with_another_story_are_refused(stage: Stage) -> None:
    await stage.registered(1)
    directory = adapter_directory(stage.home / "again", 1)
    with pytest.raises(HaechiError, match="adapter_registered_differently"):
        await stage.registry.register(directory, origin(training_run_id="run-2"), [probe_of(directory)], TRAINER)
    other = replace(probe_of(directory), answer_sha256="0" * 64)
    with pytest.raises(HaechiError, match="adapter_registered_differently"):
        await stage.registry.register(directory, origin(), [other], TRAINER)


@pytest.mark.parametrize("family", ["", "tgi", "dummy", "base", "active", "Bank", "a@b", "a=b", "a:b", "-a", "a" * 33])
async def test_names_that_mean_something_else_are_refused(stage: Stage, family: str) -> None:
    directory = adapter_directory(stage.home / "t", 1)
    with pytest.raises(HaechiError, match="adapter_name_refused"):
        await stage.registry.register(directory, origin(family=family), [probe_of(directory)], TRAINER)


async def test_probes_that_prove_nothing_are_refused(stage: Stage) -> None:
    directory = adapter_directory(stage.home / "t", 1)
    good = probe_of(directory)
    for probes, code in (
        ([], "adapter_probe_missing"),
        ([good] * 17, "adapter_probe_missing"),
        ([replace(good, base_answer_sha256=good.answer_sha256)], "adapter_probe_refused"),
        ([replace(good, answer_sha256="short")], "adapter_probe_refused"),
        ([replace(good, maximum_tokens=0)], "adapter_probe_refused"),
    ):
        with pytest.raises(HaechiError, match=code):
            await stage.registry.register(directory, origin(), probes, TRAINER)


async def test_a_probe_with_what_masking_would_replace_is_refused(stage: Stage) -> None:
    registry = Registry(
        stage.transactions, stage.volume, stage.volume, Limits(), lambda text: "010-1234-5678" not in text
    )
    directory = adapter_directory(stage.home / "t", 1)
    probe = replace(probe_of(directory), user=MaskedText("010-1234-5678로 보내 주세요"))
    with pytest.raises(HaechiError, match="adapter_probe_refused") as refused:
        await registry.register(directory, origin(), [probe], TRAINER)
    assert "010" not in str(refused.value)


async def test_files_that_changed_on_the_volume_are_not_handed_out(stage: Stage) -> None:
    version = await stage.registry.version(await stage.registered(1))
    weights = stage.volume.here(version.location) / "adapter_model.safetensors"
    assert await stage.registry.verified_directory(version) == str(weights.parent.resolve())
    weights.chmod(0o600)
    weights.write_bytes(b"something else")
    with pytest.raises(HaechiError, match="adapter_files_changed"):
        await stage.registry.verified_directory(version)


def test_locations_are_typed_and_paths_cannot_climb(tmp_path: Path) -> None:
    assert str(Location.parse("s3://bank/adapters/v1")) == "s3://bank/adapters/v1"
    assert Location.parse("oci://registry/adapters:v1").scheme == "oci"
    assert Location.parse("path:abc") == Location("path", "abc")
    for text in ("path:", "path:..", "path:../x", "path:/etc", "path:a/b", "https://x", "abc"):
        with pytest.raises(HaechiError, match="adapter_location_refused"):
            Location.parse(text)


async def test_object_stores_and_image_registries_are_refused_in_plain_words(stage: Stage) -> None:
    version = await stage.registry.version(await stage.registered(1))
    with pytest.raises(HaechiError, match="adapter_location_unsupported: s3 locations are not fetched"):
        await stage.registry.verified_directory(replace(version, location=Location.parse("s3://bank/a")))
