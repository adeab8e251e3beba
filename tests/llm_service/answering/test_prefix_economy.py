"""Every prompt begins with the same bytes, so that an engine computes them once for all questions (prefix caching)."""

from hypothesis import given
from hypothesis import strategies as st

from llm_service.answering.prompt import PromptBudget, instructions
from llm_service.answering.prompting import prompting
from llm_service.answering.token_count import estimated_tokens
from llm_service.engines.base import EngineRequest
from llm_service.masked import MaskedText
from tests.llm_service.passages import passage

RENDER = prompting(PromptBudget(6000, estimated_tokens))
QUESTIONS = st.text(min_size=1, max_size=80)
LOCALES = st.sampled_from(["ko", "en"])
ADAPTERS = st.sampled_from([None, "bank-v1", "bank-v2"])
PREFIX = f"[INST] {instructions()}\n\n"


@given(st.lists(st.tuples(QUESTIONS, QUESTIONS, LOCALES, ADAPTERS), min_size=2, max_size=5))
def test_any_two_prompts_share_the_instructions_byte_for_byte(asked: list[tuple[str, str, str, str | None]]) -> None:
    prompts = [RENDER.answer(_request(*one)) for one in asked]
    assert all(prompt.text.encode().startswith(PREFIX.encode()) for prompt in prompts)
    assert {prompt.messages[0] for prompt in prompts} == {("system", instructions())}


@given(QUESTIONS, LOCALES)
def test_an_adapter_changes_no_byte_of_the_prompt(question: str, locale: str) -> None:
    request = _request(question, "예금자보호", locale, None)
    assert RENDER.answer(request) == RENDER.answer(_request(question, "예금자보호", locale, "bank-v1"))


def test_a_statement_is_written_anew_behind_the_whole_prompt_of_the_answer() -> None:
    request = _request("한도는?", "보험금의 한도는 1억원으로 한다.", "ko", None)
    rewrite = RENDER.rewrite(request, "한도는 9억원이다. [1]", ("quantity",))
    assert rewrite.text.startswith(RENDER.answer(request).text)
    assert rewrite.messages[:2] == RENDER.answer(request).messages


def _request(question: str, text: str, locale: str, adapter: str | None) -> EngineRequest:
    return EngineRequest(MaskedText(question), (passage(text),), (), locale, adapter)  # type: ignore[arg-type]
