"""Rows as tokens: the prompt of training is, token for token, the prompt of serving."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.answering.prompt import Message, PromptBudget, render_messages, render_mistral
from llm_service.engines.base import EngineRequest
from llm_service.engines.model_server import PromptForm
from llm_service.errors import InvalidInput, NotFound
from llm_service.masked import MaskedText
from tests.trainer.small import write_small_dataset
from trainer.base_model import load_tokenizer
from trainer.encoding import IGNORED, Row, encode, encode_rows, prompt_ids, read_rows, with_replay

FORMS: tuple[PromptForm, ...] = ("text", "messages")
ANSWER = Message("assistant", "연 3.25%입니다. [1]")


def served_prompt(question: str) -> tuple[Message, ...]:
    return render_messages(EngineRequest(MaskedText(question), (), (), "ko"), PromptBudget(100_000, len))


@pytest.mark.parametrize("form", FORMS)
def test_a_row_begins_with_the_tokens_that_a_server_makes_of_the_prompt(small_base: Path, form: PromptForm) -> None:
    tokenizer = load_tokenizer(small_base)
    prompt = served_prompt("해치 예금 금리는?")
    served = tokenizer(render_mistral(prompt), add_special_tokens=True)["input_ids"]
    row = encode(tokenizer, (*prompt, ANSWER), form)
    assert list(row.input_ids[: len(served)]) == served == prompt_ids(tokenizer, prompt, form)
    assert set(row.labels[: len(served)]) == {IGNORED}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_learnt_is_the_answer_with_its_end_and_nothing_else(small_base: Path, form: PromptForm) -> None:
    tokenizer = load_tokenizer(small_base)
    row = encode(tokenizer, (Message("user", "금리?"), ANSWER), form)
    learnt = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learnt) == f" {ANSWER.content}</s>"
    assert learnt[-1] == tokenizer.eos_token_id


def test_of_a_conversation_every_answer_is_learnt(small_base: Path) -> None:
    tokenizer = load_tokenizer(small_base)
    talk = (
        Message("user", "금리?"),
        Message("assistant", "연 3%."),
        Message("user", "한도?"),
        Message("assistant", "1억."),
    )
    row = encode(tokenizer, talk, "text")
    learnt = [token for token, label in zip(row.input_ids, row.labels, strict=True) if label != IGNORED]
    assert tokenizer.decode(learnt) == " 연 3%.</s> 1억.</s>"


def test_loss_on_everything_learns_the_prompt_as_well(small_base: Path) -> None:
    row = encode(load_tokenizer(small_base), (Message("user", "금리?"), ANSWER), "text", "everything")
    assert row.labels == row.input_ids


@given(question=st.text(min_size=1, max_size=60), answer=st.text(min_size=1, max_size=60))
def test_whatever_is_asked_and_answered_the_prompt_is_a_prefix(small_base: Path, question: str, answer: str) -> None:
    tokenizer = load_tokenizer(small_base)
    prompt = served_prompt(question)
    row = encode(tokenizer, (*prompt, Message("assistant", answer)), "text")
    served = tokenizer(render_mistral(prompt))["input_ids"]
    assert list(row.input_ids[: len(served)]) == served


def test_rows_that_are_too_long_are_left_out_and_counted(small_base: Path) -> None:
    long = Row("long", "curated", (Message("user", "긴 " * 200), ANSWER))
    short = Row("short", "curated", (Message("user", "금리?"), ANSWER))
    encoded = encode_rows(load_tokenizer(small_base), [long, short], "text", "answers", 64)
    assert (len(encoded.rows), encoded.too_long) == (1, 1)
    assert encoded.tokens == len(encoded.rows[0].input_ids)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 10), (0.5, 16), (0.2, 10), (0.75, 32)])
def test_general_rows_are_repeated_until_they_are_the_share_that_is_asked_for(share: float, expected: int) -> None:
    rows = [Row(str(place), "general" if place < 2 else "curated", (ANSWER,)) for place in range(10)]
    mixed = with_replay(rows, share, seed=1)
    assert len(mixed) == expected
    assert with_replay(rows, share, seed=1) == mixed
    assert sum(row.kind == "general" for row in mixed) >= round(share * len(mixed))


def test_without_general_rows_nothing_is_replayed() -> None:
    rows = [Row("1", "curated", (ANSWER,))]
    assert with_replay(rows, 0.5, seed=1) == tuple(rows)


def test_a_datasets_rows_are_read_as_they_were_frozen(tmp_path: Path) -> None:
    rows = read_rows(write_small_dataset(tmp_path) / "train.jsonl")
    assert [row.id for row in rows] == [f"t{number}" for number in range(16)]
    assert rows[0].messages[-1] == Message("assistant", "연 0.25%입니다.")


@pytest.mark.parametrize(
    "line", ['{"id": 1}', "{", '{"id":"1","kind":"x","messages":[{"role":"user","content":"secret words"}]}',
             '{"id":"1","kind":"x","messages":[{"role":"tool","content":"secret words"}]}'],
)  # fmt: skip
def test_a_row_that_cannot_be_learnt_from_is_refused_by_number_without_its_text(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="row 1") as refused:
        read_rows(path)
    assert "secret" not in str(refused.value)


def test_a_dataset_without_rows_to_learn_from_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"train\.jsonl"):
        read_rows(tmp_path / "train.jsonl")
