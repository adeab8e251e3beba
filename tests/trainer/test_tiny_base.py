"""The tiny base model: deterministic, atomic, with the chat form that serving renders."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from llm_service.answering.prompt import Message, render_mistral
from trainer.tiny_base import Recipe, bank_text, tiny_base, train_tokenizer

SMALL = Recipe(rows=60, vocabulary=2900, width=64, layers=1, heads=2, intermediate=64, steps=2, batch=2)
CHAT = (
    Message("system", "규칙을 지켜 답합니다.\n1. 문서만 씁니다."),
    Message("user", "문서 [1] 약관\n▏ 제3조 뷁 100%\n\n질문\n해치 예금 금리는?"),
    Message("assistant", "연 3.25%입니다. [1]"),
)
TOKENIZER = train_tokenizer(list(bank_text(SMALL)), SMALL.vocabulary)


def test_the_same_recipe_builds_the_same_files(tmp_path: Path) -> None:
    first, second = tiny_base(tmp_path / "one", SMALL), tiny_base(tmp_path / "two", SMALL)
    for name in ("model.safetensors", "tokenizer.json", "config.json", "chat_template.jinja"):
        assert _sha256(first / name) == _sha256(second / name)


def test_another_recipe_lies_in_another_directory() -> None:
    assert Recipe(seed=1).sha256 != Recipe(seed=2).sha256


def test_a_finished_build_is_found_and_not_repeated(tmp_path: Path) -> None:
    home = tiny_base(tmp_path, SMALL)
    (home / "recipe.json").unlink()
    assert tiny_base(tmp_path, SMALL) == home
    assert not (home / "recipe.json").exists()


def test_a_build_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        tiny_base(tmp_path, Recipe(rows=60, vocabulary=2900, width=7, heads=2, steps=1))
    assert list(tmp_path.iterdir()) == []


def test_weights_are_safetensors_and_nothing_else(tmp_path: Path) -> None:
    home = tiny_base(tmp_path, SMALL)
    assert [path.name for path in home.iterdir() if path.suffix in {".bin", ".pt", ".pkl"}] == []
    assert json.loads((home / "config.json").read_text("utf-8"))["architectures"] == ["MistralForCausalLM"]


def test_the_chat_template_gives_the_tokens_of_the_serving_prompt(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_base(tmp_path, SMALL))
    chat = [{"role": message.role, "content": message.content} for message in CHAT]
    assert (
        tokenizer.apply_chat_template(chat, return_dict=True)["input_ids"]
        == (tokenizer(render_mistral(CHAT))["input_ids"])
    )
    prompt = tokenizer.apply_chat_template(chat[:2], return_dict=True)["input_ids"]
    assert prompt == tokenizer(render_mistral(CHAT[:2]))["input_ids"]


def test_only_the_answer_and_its_end_are_marked_for_the_loss() -> None:
    chat = [{"role": message.role, "content": message.content} for message in CHAT]
    told = TOKENIZER.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
    marked = [token for token, is_answer in zip(told["input_ids"], told["assistant_masks"], strict=True) if is_answer]
    assert TOKENIZER.decode(marked) == " 연 3.25%입니다. [1]</s>"


def test_padding_is_no_end() -> None:
    assert TOKENIZER.pad_token_id not in {TOKENIZER.eos_token_id, TOKENIZER.bos_token_id, TOKENIZER.unk_token_id}


def test_instruction_marks_are_one_token_each() -> None:
    assert [len(TOKENIZER(mark, add_special_tokens=False)["input_ids"]) for mark in ("[INST]", "[/INST]")] == [1, 1]


@given(st.text(alphabet=st.characters(exclude_characters="▁", exclude_categories=["Cs"])))
def test_any_text_survives_the_tokenizer(text: str) -> None:
    if not any(mark in text for mark in TOKENIZER.all_special_tokens):
        assert TOKENIZER.decode(TOKENIZER(text, add_special_tokens=False)["input_ids"]) == text


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
