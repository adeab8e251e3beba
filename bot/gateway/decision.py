"""What routing can come to. Knows neither Rasa nor the fallback."""

from dataclasses import dataclass

from llm_service.client import Route, Verdict

KNOWLEDGE_INTENT = "ask_knowledge"


@dataclass(frozen=True)
class Intent:
    """The name of what a person wants, and how sure the classifier is (0 to 1)."""

    name: str
    confidence: float


@dataclass(frozen=True)
class Decision:
    """What becomes of a question.

    With `asks_documents` llm_service answers, and `replies` (a form repeating its question) follow the answer;
    without it the `replies` are the whole answer. `handoff`: a person was asked for. `verdict`: the text was feedback
    on the previous answer.
    """

    route: Route
    asks_documents: bool
    replies: tuple[str, ...] = ()
    handoff: bool = False
    verdict: Verdict | None = None
