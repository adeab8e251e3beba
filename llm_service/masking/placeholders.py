"""Placeholders: `<TYPE_n>` in masked text, one number per (type, normalised value). Knows no detection and keeps
nothing on disk.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Protocol

from llm_service.client import PLACEHOLDER_TYPES

KOREA_CALLING_CODE = "82"
PLACEHOLDER = re.compile(rf"<(?P<type>{'|'.join(PLACEHOLDER_TYPES)})_(?P<number>[1-9][0-9]{{0,4}})>")
# Every spelling that the vault's damage-tolerant restoring could accept: brackets, blanks, case, entities.
_TYPED = re.compile(
    rf"(?:[<＜〈‹\[［{{｛]|&lt;|&#0*60;|&#[xX]0*3[cC];|%3[cC])(?P<inside>\s{{0,3}}(?:{'|'.join(PLACEHOLDER_TYPES)})[\s_:-]{{0,3}}[0-9]{{1,6}}\s{{0,3}})(?:[>＞〉›\]］}}｝]|&gt;|&#0*62;|&#[xX]0*3[eE];|%3[eE])",
    re.IGNORECASE,
)


def neutralise(text: str, kept: Container[str] = ()) -> str:
    """Text in which nothing typed can be read as a placeholder: `<PERSON_1>` becomes `‹PERSON 1›`.

    Those in `kept` stay: a reply of our own may hold placeholders of its conversation.
    """
    return _TYPED.sub(lambda match: match[0] if match[0] in kept else _inert(match["inside"]), text)


def _inert(inside: str) -> str:
    return "‹" + re.sub(r"[\s_:-]+(?=[0-9])", " ", inside.strip()) + "›"


def normalised_value(type_: str, value: str) -> str:
    """The form in which two spellings of one value are equal: 010-1234-5678 and 01012345678."""
    folded = unicodedata.normalize("NFKC", value).casefold()
    if type_ in ("EMAIL", "IP"):
        return "".join(folded.split())
    bare = "".join(character for character in folded if character.isalnum())
    if type_ == "PHONE" and bare.startswith(KOREA_CALLING_CODE):
        return "0" + bare.removeprefix(KOREA_CALLING_CODE)
    return bare


class Naming(Protocol):
    """Gives values their placeholders; the same value of one conversation always gets the same one."""

    def name_of(self, type_: str, value: str) -> str:
        """The placeholder of a value, a new one if the conversation has not had the value yet."""


@dataclass
class PlaceholderNames:
    """The numbering of texts that are masked together and not kept: (type, normalised value) → placeholder."""

    names: dict[tuple[str, str], str] = field(default_factory=dict)
    _last: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for placeholder in self.names.values():
            if match := PLACEHOLDER.fullmatch(placeholder):
                self._last[match["type"]] = max(self._last[match["type"]], int(match["number"]))

    def name_of(self, type_: str, value: str) -> str:
        """The placeholder of a value, a new one if the conversation has not had the value yet."""
        key = (type_, normalised_value(type_, value))
        if key not in self.names:
            self._last[type_] += 1
            self.names[key] = f"<{type_}_{self._last[type_]}>"
        return self.names[key]
