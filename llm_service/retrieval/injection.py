"""Finds passages that give orders to a language model instead of information to a person (indirect prompt injection).

Patterns are data (`data/injection.yaml`). Knows neither documents nor what becomes of a find; what it does not find is
still only quoted, marked as data in a prompt, and checked on its way out.
"""

import base64
import binascii
import html
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

import yaml

INJECTION_RULES_VERSION: Final = 2
"""Raised whenever patterns change what is found, so that documents are looked at again when they are ingested."""

ENCODED: Final = "encoded"
_FILE: Final = Path(__file__).parent / "data" / "injection.yaml"
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX: Final = re.compile(r"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[\s,:]?){12,}")
_PERCENT: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})|\\x([0-9A-Fa-f]{2})")
_ENTITY: Final = re.compile(r"(?:&#x?[0-9A-Fa-f]{1,6};\s?){4,}")
_SENTENCE_END: Final = re.compile(r"[.!?。…]+(?=\s|$)|\n\s*\n")
_NO_LETTER: Final = re.compile(r"[^\w|]|_")
_LATIN: Final = re.compile(r"[a-z]")
_LEAST_LATIN_LETTERS: Final = 10
_LONGEST_ENCODED_CHARACTERS: Final = 8000


@dataclass(frozen=True)
class Finding:
    """One family of orders found in a text; `decoded` says that the text holds it in disguise."""

    family: str
    decoded: bool = False

    @property
    def code(self) -> str:
        """`family`, or `encoded:family` where it was in disguise: what is kept for the reviewer."""
        return f"{ENCODED}:{self.family}" if self.decoded else self.family


def findings(text: str) -> tuple[Finding, ...]:
    """The families a text belongs to, each once; empty for a text that only informs."""
    families = _families()
    plain = [Finding(name) for name in _matching(families, text)]
    decoded = [Finding(name, decoded=True) for view in _decoded_views(text) for name in _matching(families, view)]
    found = dict.fromkeys(plain)
    known = {finding.family for finding in plain}
    found.update(dict.fromkeys(finding for finding in decoded if finding.family not in known))
    return tuple(found)


def flagged(texts: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Codes by place, for the texts of a document that give orders; places count from 0."""
    codes = {place: tuple(finding.code for finding in findings(text)) for place, text in enumerate(texts)}
    return {place: found for place, found in codes.items() if found}


@dataclass(frozen=True)
class _Family:
    name: str
    squeezed: tuple[re.Pattern[str], ...]
    markup: tuple[re.Pattern[str], ...]


def _matching(families: Sequence[_Family], text: str) -> Iterator[str]:
    written = unicodedata.normalize("NFKC", text)
    squeezed = _squeezed(written)
    look_alike = squeezed.translate(_look_alikes("letters"))
    for family in families:
        if any(pattern.search(view) for pattern in family.markup for view in (text, written)) or any(
            pattern.search(view) for pattern in family.squeezed for view in {squeezed, look_alike}
        ):
            yield family.name


def _squeezed(text: str) -> str:
    """Letters and digits only, small, with "|" where sentences end."""
    return _NO_LETTER.sub("", _SENTENCE_END.sub("|", text)).casefold()


def _decoded_views(text: str) -> Iterator[str]:
    """What a text says once it is decoded; nothing for a text without anything encoded."""
    for block in _BASE64.finditer(text):
        yield from _readable(_from_base64(block[0][:_LONGEST_ENCODED_CHARACTERS]))
    for block in _HEX.finditer(text):
        digits = re.sub(r"\\x|0x|[\s,:]", "", block[0][:_LONGEST_ENCODED_CHARACTERS])
        yield from _readable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    if _PERCENT.search(text):
        yield unquote(text, errors="ignore")
    if _ESCAPE.search(text):
        yield _ESCAPE.sub(lambda escape: chr(int(escape[1] or escape[2], 16)), text)
    if _ENTITY.search(text):
        yield html.unescape(text)
    yield from _rewritten(text)


def _rewritten(text: str) -> Iterator[str]:
    """Latin text with digits for letters, turned by 13 places, or written backwards."""
    small = unicodedata.normalize("NFKC", text).casefold()
    if len(_LATIN.findall(small)) >= _LEAST_LATIN_LETTERS:
        yield small.translate(_look_alikes("leetspeak"))
        yield small.translate(_ROT13)
        yield small[::-1]


def _readable(decoded: bytes) -> Iterator[str]:
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return
    if text.isprintable() or "\n" in text:
        yield text


def _from_base64(block: str) -> bytes:
    padded = block.rstrip("=") + "=" * (-len(block.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return b""


_ROT13: Final = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")


@cache
def _look_alikes(kind: str) -> Mapping[int, str]:
    table: Mapping[str, str] = _rules()["look_alikes"][kind]
    return str.maketrans(dict(table))


@cache
def _families() -> tuple[_Family, ...]:
    return tuple(
        _Family(
            name,
            tuple(re.compile(pattern) for pattern in rules.get("squeezed", ())),
            tuple(re.compile(pattern, re.IGNORECASE | re.MULTILINE) for pattern in rules.get("markup", ())),
        )
        for name, rules in _rules()["families"].items()
    )


@cache
def _rules() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = yaml.safe_load(_FILE.read_text(encoding="utf-8"))
    return loaded
