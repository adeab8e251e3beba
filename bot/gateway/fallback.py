"""Routing without Rasa: a few urgent phrases get their fixed reply, everything else is asked of the documents.

The phrases and replies stand in `fallback.yaml`. This is no classifier and claims no confidence.
"""

from pathlib import Path
from typing import Self

import yaml
from pydantic import BaseModel, TypeAdapter, model_validator

from bot.gateway.decision import KNOWLEDGE_INTENT, Decision, Intent
from llm_service.client import Locale, Route

TABLE_FILE = Path(__file__).with_name("fallback.yaml")


class _Entry(BaseModel):
    phrases: list[str]
    reply: dict[Locale, str] = {}
    handoff: bool = False

    @model_validator(mode="after")
    def promise_words(self) -> Self:
        """Only a hand-off has words of its own elsewhere; every other entry must bring them."""
        if not self.reply and not self.handoff:
            raise ValueError("an entry needs a reply in both languages, or is a hand-off")
        return self


class FallbackRouter:
    """Decides by phrase. Never fails and never asks anyone."""

    def __init__(self, table: Path = TABLE_FILE) -> None:
        self._entries = TypeAdapter(dict[str, _Entry]).validate_python(yaml.safe_load(table.read_text("utf-8")))

    def decide(self, masked_text: str, locale: Locale, reason: str) -> Decision:
        """What to do with a question; `reason` says why Rasa did not decide."""
        intent = self.intent_of(masked_text)
        route = Route(intent.name, intent.confidence, by="fallback", reason=reason)
        entry = self._entries.get(intent.name)
        if entry is None:
            return Decision(route, asks_documents=True)
        replies = (entry.reply[locale],) if entry.reply else ()
        return Decision(route, asks_documents=False, replies=replies, handoff=entry.handoff)

    def intent_of(self, masked_text: str) -> Intent:
        """The intent whose phrase occurs, with confidence 1; otherwise ask_knowledge with confidence 0."""
        squeezed = "".join(masked_text.lower().split())
        for name, entry in self._entries.items():
            if any(phrase in squeezed for phrase in entry.phrases):
                return Intent(name, 1.0)
        return Intent(KNOWLEDGE_INTENT, 0.0)
