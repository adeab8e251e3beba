"""Adapters carried to llama.cpp: merged on the whole base, with the same tokens under the same ids."""

import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model

from llm_service.answering.prompt import Message
from llm_service.errors import InvalidInput, NotFound, Unavailable
from trainer.base_model import load_base, load_tokenizer
from trainer.export import (
    CHAT_MARKS,
    CONVERTERS_FOLDER,
    MODEL_CONVERTER,
    adapter_to_gguf,
    merge,
    model_to_gguf,
    parity,
    register_chat_marks,
    unpack_converters,
)
from trainer.subjects import Asked, LocalModel

pytestmark = pytest.mark.filterwarnings("ignore")

CONVERTERS = Path(__file__).parents[2] / CONVERTERS_FOLDER
needs_converters = pytest.mark.skipif(
    not (CONVERTERS / MODEL_CONVERTER).is_file(),
    reason="llama.cpp's converters are not there: python -m trainer.export fetch",
)


@pytest.fixture(scope="module")
def adapter(small_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that changes answers: its B matrices are not zero."""
    torch.manual_seed(1)
    lora = LoraConfig(
        r=4, lora_alpha=64, target_modules=["v_proj", "o_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM"
    )
    model = get_peft_model(load_base(small_base), lora)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    directory = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(directory, save_embedding_layers=False)
    return directory


@pytest.fixture(scope="module")
def merged(small_base: Path, adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return merge(small_base, adapter, tmp_path_factory.mktemp("merged") / "model")


def test_the_merged_model_answers_as_base_and_adapter_together(small_base: Path, adapter: Path, merged: Path) -> None:
    together = LocalModel(small_base, {"adapter": adapter})
    prompt = (Message("user", "해치 예금 금리 알려 주세요"),)
    choices = ["연 3.45%입니다.", "면제입니다."]
    alone = LocalModel(merged, {}).subject(None)
    subjects = {"merged": alone, "adapter": together.subject("adapter"), "base": together.subject(None)}
    scored = {
        name: torch.tensor([told.log_probability for told in subject.likelihoods(prompt, choices)])
        for name, subject in subjects.items()
    }
    # Merging rounds to bfloat16 once more: a little of the way that the adapter goes from its base.
    gone = (scored["adapter"] - scored["base"]).abs().max()
    assert gone > 0.5
    assert (scored["merged"] - scored["adapter"]).abs().max() < gone / 4
    assert len(alone.answers([Asked(prompt, 8)])) == 1


def test_the_chat_marks_are_single_special_tokens_of_the_merged_model(merged: Path) -> None:
    tokenizer = load_tokenizer(merged)
    assert set(CHAT_MARKS) <= set(tokenizer.all_special_tokens)
    assert [len(tokenizer(mark, add_special_tokens=False)["input_ids"]) for mark in CHAT_MARKS] == [1, 1]


def test_registering_the_chat_marks_twice_changes_nothing(small_base: Path) -> None:
    tokenizer = load_tokenizer(small_base)
    before = tokenizer.get_vocab()
    register_chat_marks(tokenizer)
    assert tokenizer.get_vocab() == before


def test_a_package_with_another_hash_is_not_unpacked(tmp_path: Path) -> None:
    package = tmp_path / "other.tar.gz"
    package.write_bytes(b"something else")
    with pytest.raises(Unavailable) as refused:
        unpack_converters(package, tmp_path / "converters")
    assert refused.value.code == "converters_changed"
    assert not (tmp_path / "converters").exists()


def test_without_converters_it_is_said_how_to_get_them(merged: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"trainer\.export fetch"):
        model_to_gguf(merged, tmp_path / "model.gguf", "f16", tmp_path)


@needs_converters
def test_a_gguf_has_the_tokens_of_the_tokenizer_under_the_same_ids(merged: Path, tmp_path: Path) -> None:
    written = model_to_gguf(merged, tmp_path / "model.gguf", "f16", CONVERTERS)
    assert parity(merged, written).holds
    assert list(tmp_path.iterdir()) == [written]


@needs_converters
def test_an_adapter_alone_is_carried_beside_its_base(small_base: Path, adapter: Path, tmp_path: Path) -> None:
    written = adapter_to_gguf(adapter, small_base, tmp_path / "adapter.gguf", "f16", CONVERTERS)
    assert written.read_bytes()[:4] == b"GGUF"


@needs_converters
def test_a_folder_that_is_no_model_is_refused_by_the_converter(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unavailable) as refused:
        model_to_gguf(tmp_path / "empty", tmp_path / "model.gguf", "f16", CONVERTERS)
    assert refused.value.code == "conversion_failed"


@needs_converters
def test_parity_sees_a_vocabulary_that_was_moved(merged: Path, tmp_path: Path) -> None:
    written = model_to_gguf(merged, tmp_path / "model.gguf", "f16", CONVERTERS)
    moved = tmp_path / "moved"
    tokenizer = load_tokenizer(merged)
    tokenizer.add_tokens(["해치은행"])
    tokenizer.save_pretrained(moved)
    (moved / "config.json").write_bytes((merged / "config.json").read_bytes())
    assert parity(moved, written).differing_ids


def test_a_base_without_the_chat_marks_cannot_be_carried(small_base: Path, adapter: Path, tmp_path: Path) -> None:
    base = shutil.copytree(small_base, tmp_path / "base")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (base / name).read_text("utf-8")
        (base / name).write_text(text.replace("[INST]", "[ASK]").replace("[/INST]", "[/ASK]"), encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        merge(base, adapter, tmp_path / "merged")
    assert refused.value.code == "chat_marks_unknown"
