"""Which texts of people are taken at all, before anything else looks at them. Knows nothing of personal data."""

import re
import unicodedata
from typing import Final

from llm_service.errors import InvalidInput, TooLarge
from llm_service.masked import RawText

LINE_AND_TAB: Final = frozenset("\t\n\r\v\f")
REPLACEMENT_CHARACTER: Final = "\ufffd"
# A keycap emoji is a digit in disguise: 1 + U+FE0F + U+20E3.
KEYCAP: Final = re.compile(r"[0-9#*]\ufe0f?\u20e3")
# Rasa takes text that begins with a slash and a name as an intent, with slots, or as an order such as a restart.
COMMAND: Final = re.compile(r"\s*/\s*[A-Za-z_]")


def require_question(raw: RawText, maximum_characters: int) -> None:
    """Let a question, a correction or a search pass.

    Raises `InvalidInput` (text_empty, text_unreadable, text_without_words, text_is_command) or `TooLarge`
    (text_too_long).
    """
    text = raw.reveal()
    if len(text) > maximum_characters:
        raise TooLarge("text_too_long", f"the text has {len(text)} characters; {maximum_characters} are taken")
    if not text.strip():
        raise InvalidInput("text_empty", "the text is empty or blank")
    require_readable(raw)
    if not any(character.isalnum() for character in KEYCAP.sub("", text)):
        raise InvalidInput("text_without_words", "the text has neither a letter nor a digit")
    if COMMAND.match(_without_invisible(text)):
        raise InvalidInput("text_is_command", "the text begins like an order to the dialogue engine")


def require_readable(raw: RawText) -> None:
    """Raises `InvalidInput` (text_unreadable) for control characters, lone surrogates and decoded binary data."""
    text = raw.reveal()
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in text if character not in LINE_AND_TAB):
        raise InvalidInput("text_unreadable", "the text has control characters or broken Unicode")
    if text.count(REPLACEMENT_CHARACTER) * 10 > len(text):
        raise InvalidInput("text_unreadable", "the text was decoded with the wrong character set")


def _without_invisible(text: str) -> str:
    visible = (character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", "".join(visible))
