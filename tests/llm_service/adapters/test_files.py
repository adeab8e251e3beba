"""What an adapter's directory may hold, and that what was published stays what it was."""

import json
import os
import stat
from pathlib import Path

import pytest

from llm_service.adapters.files import Limits, check_directory, publish, verify
from llm_service.errors import HaechiError
from tests.llm_service.adapters.adapter_files import MODULE, adapter_directory, configuration, weights

BASE = "haechi-tiny"


def refusal(directory: Path, limits: Limits | None = None) -> str:
    with pytest.raises(HaechiError) as refused:
        check_directory(directory, BASE, limits or Limits())
    return refused.value.code


def test_a_peft_directory_is_published_without_the_paths_of_the_training_machine(tmp_path: Path) -> None:
    checked = check_directory(adapter_directory(tmp_path / "trained", 1), BASE, Limits())
    published = publish(checked, tmp_path / "volume")
    assert published.directory == tmp_path / "volume" / published.sha256
    assert sorted(path.name for path in published.directory.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    written = json.loads((published.directory / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == BASE
    assert "somebody" not in (published.directory / "adapter_config.json").read_text()
    assert written["lora_alpha"] == 4
    assert all(not path.stat().st_mode & stat.S_IWUSR for path in published.directory.iterdir())


def test_the_same_files_are_published_once(tmp_path: Path) -> None:
    published = [
        publish(check_directory(adapter_directory(tmp_path / name, 1), BASE, Limits()), tmp_path / "volume")
        for name in ("first", "second")
    ]
    assert published[0] == published[1]
    assert [path.name for path in (tmp_path / "volume").iterdir()] == [published[0].sha256]


@pytest.mark.parametrize("name", ["adapter_model.bin", "training_args.bin", "optimizer.pt", "state.pkl", "run.py", "x"])
def test_a_file_of_another_kind_refuses_the_directory(tmp_path: Path, name: str) -> None:
    directory = adapter_directory(tmp_path / "trained", 1)
    (directory / name).write_bytes(b"\x80\x04")
    assert refusal(directory) == "adapter_file_refused"


def test_links_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    linked = adapter_directory(tmp_path / "linked", 1)
    (linked / "adapter_model.safetensors").rename(tmp_path / "elsewhere.safetensors")
    (linked / "adapter_model.safetensors").symlink_to(tmp_path / "elsewhere.safetensors")
    assert refusal(linked) == "adapter_file_refused"
    nested = adapter_directory(tmp_path / "nested", 1)
    (nested / "checkpoint-10").mkdir()
    assert refusal(nested) == "adapter_file_refused"
    bare = adapter_directory(tmp_path / "bare", 1)
    (bare / "adapter_config.json").unlink()
    assert refusal(bare) == "adapter_file_refused"
    (tmp_path / "link").symlink_to(adapter_directory(tmp_path / "real", 1))
    assert refusal(tmp_path / "link") == "adapter_directory_missing"
    assert refusal(tmp_path / "nowhere") == "adapter_directory_missing"


@pytest.mark.parametrize(
    "changes",
    [
        {"peft_type": "PROMPT_TUNING"},
        {"r": 0},
        {"r": "4"},
        {"target_modules": []},
        {"target_modules": "all-linear"},
        {"target_modules": ["embed_tokens"]},
        {"modules_to_save": ["lm_head"]},
        {"layers_to_transform": [0]},
        {"bias": "all"},
        {"use_dora": True},
        {"auto_mapping": {"base_model_class": "Evil", "parent_library": "evil"}},
        {"rank_pattern": {"q_proj": 128}},
    ],
)
def test_what_not_every_engine_can_serve_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    directory = adapter_directory(tmp_path / "trained", 1)
    (directory / "adapter_config.json").write_text(json.dumps({**configuration(), **changes}))
    assert refusal(directory) == "adapter_configuration_refused"


def test_a_rank_over_the_servers_limit_and_too_many_bytes_are_refused(tmp_path: Path) -> None:
    directory = adapter_directory(tmp_path / "trained", 1, rank=16)
    assert refusal(directory, Limits(lora_rank=8)) == "adapter_configuration_refused"
    assert refusal(directory, Limits(weights_bytes=100)) == "adapter_too_large"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04\x95" * 100,
        weights(1)[:-1],
        weights(1) + b"\0",
        (2**63).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
        (9).to_bytes(8, "little") + b'{"a": 1} ',
        weights(1, dtype="I64"),
    ],
)
def test_weights_that_are_no_whole_safetensors_file_are_refused(tmp_path: Path, content: bytes) -> None:
    directory = adapter_directory(tmp_path / "trained", 1)
    (directory / "adapter_model.safetensors").write_bytes(content)
    assert refusal(directory) == "adapter_weights_refused"


@pytest.mark.parametrize(
    "content",
    [
        weights(1, rank=8),
        weights(1, names=("lm_head.weight", "model.norm.weight")),
        weights(1, names=(f"{MODULE}.lora_A.weight",)),
        weights(1, names=(f"{MODULE}.lora_A.weight", f"{MODULE}.lora_C.weight")),
    ],
)
def test_tensors_that_are_no_lora_pairs_of_the_stated_rank_are_refused(tmp_path: Path, content: bytes) -> None:
    directory = adapter_directory(tmp_path / "trained", 1)
    (directory / "adapter_model.safetensors").write_bytes(content)
    assert refusal(directory) == "adapter_weights_refused"


def test_a_published_directory_that_changed_is_found(tmp_path: Path) -> None:
    published = publish(check_directory(adapter_directory(tmp_path / "t", 1), BASE, Limits()), tmp_path / "volume")
    verify(published.directory, published.files)
    weights_file = published.directory / "adapter_model.safetensors"
    original = weights_file.read_bytes()
    weights_file.chmod(0o600)
    weights_file.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    with pytest.raises(HaechiError, match="adapter_files_changed"):
        verify(published.directory, published.files)
    weights_file.write_bytes(original)
    (published.directory / "more.safetensors").write_bytes(b"")
    with pytest.raises(HaechiError, match="adapter_files_changed"):
        verify(published.directory, published.files)
    os.remove(published.directory / "more.safetensors")
    verify(published.directory, published.files)
    os.remove(weights_file)
    with pytest.raises(HaechiError, match="adapter_files_changed"):
        verify(published.directory, published.files)
