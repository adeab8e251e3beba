"""Decides what becomes of a masked question: Rasa decides; while it cannot, the fallback does, and that is counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.gateway.decision import Decision, Intent
from bot.gateway.fallback import FallbackRouter
from bot.gateway.rasa import RasaClient, RasaUnusable
from llm_service.client import Locale
from llm_service.logs import get_logger

_log = get_logger("gateway.routing")


@dataclass(frozen=True)
class RoutedIntent:
    """An intent and who found it: rasa or fallback."""

    intent: Intent
    by: str


class Router:
    """Asks Rasa once, and the fallback if Rasa's reply cannot be used. Never fails."""

    def __init__(self, rasa: RasaClient, fallback: FallbackRouter, count_fallback: Callable[[str], None]) -> None:
        self._rasa = rasa
        self._fallback = fallback
        self._count_fallback = count_fallback

    async def decide(self, conversation_id: str, masked_text: str, locale: Locale) -> Decision:
        """What to do with a question of a conversation; `route.milliseconds` is the time the decision took."""
        started = time.perf_counter()
        try:
            decision = await self._rasa.decide(conversation_id, masked_text, locale)
        except RasaUnusable as unusable:
            self._note(unusable.reason)
            decision = self._fallback.decide(masked_text, locale, unusable.reason)
        milliseconds = round((time.perf_counter() - started) * 1000, 3)
        return replace(decision, route=replace(decision.route, milliseconds=milliseconds))

    async def intent_of(self, masked_text: str) -> RoutedIntent:
        """Only the intent, without a conversation."""
        try:
            return RoutedIntent(await self._rasa.parse(masked_text), "rasa")
        except RasaUnusable as unusable:
            self._note(unusable.reason)
            return RoutedIntent(self._fallback.intent_of(masked_text), "fallback")

    def _note(self, reason: str) -> None:
        self._count_fallback(reason)
        _log.warning("routed_by_fallback", reason=reason)
