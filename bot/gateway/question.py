"""What counts as a question at all, decided before anything is masked, routed or stored. Knows nothing of banking.

The text is inert further on (it is never executed, and shown as text only); refusing programs here keeps them from
being answered as if they were questions, and keeps typed commands away from Rasa, which executes them.
"""

import re
import unicodedata

from bot.gateway.errors import Declined

ALLOWED_CONTROLS = frozenset("\t\n\r")
FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Co", "Cn"})

# Before these patterns stands nothing but the limit of characters: none may take longer than the text is long.
COMMAND = re.compile(r"^\s*/[A-Za-z_]")
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
    if any(_is_unreadable(character) for character in text):
        raise Declined("text_unreadable", 422)
    if not any(unicodedata.category(character)[0] in "LN" for character in text):
        raise Declined("text_without_words", 422)
    for code, pattern in (("text_is_command", COMMAND), ("text_is_markup", MARKUP), ("text_is_statement", STATEMENT)):
        if pattern.search(text):
            raise Declined(code, 422)


def _is_unreadable(character: str) -> bool:
    if character in ALLOWED_CONTROLS:
        return False
    return character == "\N{REPLACEMENT CHARACTER}" or unicodedata.category(character) in FORBIDDEN_CATEGORIES
