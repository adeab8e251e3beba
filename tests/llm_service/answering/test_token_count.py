"""Tokens are counted by the model's own tokenizer where one is set, and by an estimate that is said to be one."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from llm_service.answering.prompt import PromptBudget, render_messages
from llm_service.answering.token_count import estimated_tokens, token_counter
from llm_service.engines.base import EngineRequest
from llm_service.errors import Misconfigured
from llm_service.masked import MaskedText
from tests.llm_service.passages import passage


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One token a word, and one before every text that must not be counted."""
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "<s>": 1}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    file = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    words.save(str(file))
    return file


def test_a_file_or_its_directory_counts_without_special_tokens(tokenizer: Path) -> None:
    for path in (tokenizer, tokenizer.parent):
        count = token_counter(str(path))
        assert [count("보험금의 한도는 1억원"), count(""), count("한도")] == [3, 0, 1]


def test_a_prompt_fills_the_budget_that_its_own_tokenizer_counts(tokenizer: Path) -> None:
    count = token_counter(str(tokenizer))
    long = passage("\n".join(f"{number} 항목이 있다." for number in range(1000)))
    asked = EngineRequest(MaskedText("항목은?"), (long,), (), "ko")
    sent = sum(count(message.content) for message in render_messages(asked, PromptBudget(600, count)))
    assert 580 <= sent <= 600


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("abc", 1), ("abcd", 2), ("한도", 4), ("1억원", 5)])
def test_without_a_tokenizer_tokens_are_estimated(text: str, tokens: int) -> None:
    assert token_counter("")(text) == estimated_tokens(text) == tokens


def test_a_tokenizer_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="tokenizer_missing"):
        token_counter(str(tmp_path))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(Misconfigured, match="tokenizer_unreadable"):
        token_counter(str(tmp_path))
