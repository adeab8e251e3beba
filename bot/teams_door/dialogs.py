"""What Teams shows after a thumb: thanks, or a form for reason and correction (Adaptive Card 1.5). Stores nothing.

The answer to an invoke has to be there at once, so the door gives it; what is filled in comes as a message of its own.
"""

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from bot.teams_door.message import Locale, Reaction

TEXTS_FILE = Path(__file__).with_name("texts.yaml")
SCHEMA: Final = "http://adaptivecards.io/schemas/adaptive-card.json"
CARD: Final = "application/vnd.microsoft.card.adaptive"
REASONS: Final = ("wrong", "outdated", "missing_source", "incomplete", "unclear")
MAXIMUM_CORRECTION_CHARACTERS: Final = 4000


def dialog(reaction: Reaction, locale: Locale) -> dict[str, Any]:
    """The body of the answer to `message/fetchTask`."""
    if reaction == "like":
        return {"task": {"type": "message", "value": _text("thanks", locale)}}
    shown = {
        "title": _text("form_title", locale),
        "height": "medium",
        "width": "medium",
        "card": {"contentType": CARD, "content": correction_form(locale)},
    }
    return {"task": {"type": "continue", "value": shown}}


def correction_form(locale: Locale) -> dict[str, Any]:
    """The form as an Adaptive Card: every input has a label that stands above it and is read with it."""
    choices = [{"title": _text(f"reason_{reason}", locale), "value": reason} for reason in REASONS]
    return {
        "$schema": SCHEMA,
        "type": "AdaptiveCard",
        "version": "1.5",
        "lang": locale,
        "body": [
            {
                "type": "Input.ChoiceSet",
                "id": "reason",
                "label": _text("form_reason", locale),
                "style": "expanded",
                "choices": choices,
            },
            {
                "type": "Input.Text",
                "id": "correction",
                "label": _text("form_correction", locale),
                "placeholder": _text("form_placeholder", locale),
                "isMultiline": True,
                "maxLength": MAXIMUM_CORRECTION_CHARACTERS,
            },
            {"type": "TextBlock", "text": _text("form_privacy", locale), "wrap": True, "isSubtle": True},
        ],
        "actions": [{"type": "Action.Submit", "title": _text("form_send", locale), "style": "positive"}],
    }


def _text(code: str, locale: Locale) -> str:
    return _table()[code][locale]


@cache
def _table() -> dict[str, dict[str, str]]:
    return dict(yaml.safe_load(TEXTS_FILE.read_text(encoding="utf-8")))
