"""How a question becomes what a model server is asked: the one prompt, in both its forms, within its budget.

Binds the prompt's words (`prompt.py`) to the engine that sends them; knows no server.
"""

from functools import partial

from llm_service.answering.prompt import (
    Message,
    PromptBudget,
    prompt_hash,
    render_messages,
    render_mistral,
    rewrite_messages,
)
from llm_service.engines.base import EngineRequest
from llm_service.engines.generating import Prompting
from llm_service.engines.model_server import Prompt


def prompting(budget: PromptBudget) -> Prompting:
    """Renders within a budget. Rendering raises `TooLarge` (prompt_too_long) where not even the question fits."""
    return Prompting(
        answer=lambda request: _prompt(render_messages(request, budget)),
        rewrite=partial(_rewrite, budget),
        sha256=lambda request: prompt_hash(render_messages(request, budget)),
    )


def _rewrite(budget: PromptBudget, request: EngineRequest, statement: str, failures: tuple[str, ...]) -> Prompt:
    return _prompt(rewrite_messages(render_messages(request, budget), statement, failures))


def _prompt(messages: tuple[Message, ...]) -> Prompt:
    return Prompt(render_mistral(messages), tuple((message.role, message.content) for message in messages))
