"""What counts as a question at all, decided before anything is masked, routed or stored. Knows nothing of banking.

llm_service asks the same of every text, but for programs; `tests/contracts/test_question_rules.py` holds both together.

The text is inert further on (it is never executed, and shown as text only); refusing programs here keeps them from
being answered as if they were questions, and keeps typed commands away from Rasa, which executes them.
"""

import re
import unicodedata

from bot.gateway.errors import Declined

ALLOWED_CONTROLS = frozenset("\t\n\r\v\f")
FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs"})
REPLACEMENT_CHARACTER = "\ufffd"
# One character in ten: a single one is a slip of copying, more are a text decoded with the wrong character set.
READABLE_SHARE = 10
# A keycap emoji is a digit in disguise: 1 + U+FE0F + U+20E3.
KEYCAP = re.compile(r"[0-9#*]\ufe0f?\u20e3")

# Before these patterns stands nothing but the limit of characters: none may take longer than the text is long.
COMMAND = re.compile(r"\s*/\s*[A-Za-z_]")
MARKUP = re.compile(
    r"</?(?:a|body|button|div|embed|form|html|iframe|img|input|link|math|meta|object|p|script|span|style|svg|table|"
    r"template|textarea|video)\b[^<]*>|<!(?:--|doctype\b|\[cdata\[)",
    re.IGNORECASE,
)
STATEMENT = re.compile(
    r"\b(?:drop|truncate|alter|create)\s+table\s+\w"
    r"|\binsert\s+into\s+\w+\s*(?:\(|values\b)"
    r"|\bdelete\s+from\s+\w+\s*(?:;|where\b|$)"
    r"|\bupdate\s+\w+\s+set\s+\w+\s*="
    r"|\bunion\s+(?:all\s+)?select\b"
    r"|\bselect\s[\w,\s*]{1,200}?\bfrom\s+\w+\s*(?:;|where\b|--|$)"
    r"|'\s*(?:or|and)\s+'?\d+'?\s*=\s*'?\d+",
    re.IGNORECASE,
)


def check_question(text: str, maximum_characters: int) -> None:
    """Pass a text that can be a question. Raises `Declined` (413 or 422) with the code of what is wrong with it."""
    if len(text) > maximum_characters:
        raise Declined("text_too_long", 413)
    if not text.strip():
        raise Declined("text_empty", 422)
    if _is_unreadable(text):
        raise Declined("text_unreadable", 422)
    if not any(character.isalnum() for character in KEYCAP.sub("", text)):
        raise Declined("text_without_words", 422)
    if COMMAND.match(_without_invisible(text)):
        raise Declined("text_is_command", 422)
    for code, pattern in (("text_is_markup", MARKUP), ("text_is_statement", STATEMENT)):
        if pattern.search(text):
            raise Declined(code, 422)


def _is_unreadable(text: str) -> bool:
    if any(unicodedata.category(character) in FORBIDDEN_CATEGORIES for character in set(text) - ALLOWED_CONTROLS):
        return True
    return text.count(REPLACEMENT_CHARACTER) * READABLE_SHARE > len(text)


def _without_invisible(text: str) -> str:
    visible = (character for character in text if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", "".join(visible))
