"""Ways in which a value is disguised: separators, widths, invisible characters, scripts, Hangul readings,
look-alikes, encodings.

Each is a function from a value to its disguised form; the name is the `op` that tells the scorer which reading to
undo.
"""

import random
import re
import unicodedata
from collections.abc import Callable

_HANGUL = "공일이삼사오육칠팔구"
_CIRCLED = "⓪①②③④⑤⑥⑦⑧⑨"
_SUPERSCRIPT = "⁰¹²³⁴⁵⁶⁷⁸⁹"


def _each_digit(value: str, form: Callable[[str], str]) -> str:
    return "".join(form(character) if character.isdigit() else character for character in value)


def _between_digits(value: str, separator: str) -> str:
    return separator.join(character for character in value if character.isdigit())


def _from(first: int) -> Callable[[random.Random, str], str]:
    return lambda r, value: _each_digit(value, lambda digit: chr(first + int(digit)))


def _regrouped(separator: str) -> Callable[[random.Random, str], str]:
    return lambda r, value: re.sub(r"[- ]+", separator, value)


def _mixed(r: random.Random, value: str) -> str:
    return _each_digit(value, lambda digit: _HANGUL[int(digit)] if r.random() < 0.5 else digit)


def _homoglyph(r: random.Random, value: str) -> str:
    return _each_digit(
        value, lambda digit: {"0": r.choice("Oo"), "1": r.choice("lI")}.get(digit, digit) if r.random() < 0.8 else digit
    )


def _entity(r: random.Random, value: str) -> str:
    style = r.choice(("&#{};", "&#x{:x};", "%{:x}"))
    return _each_digit(value, lambda digit: style.format(ord(digit)))


DIGIT_DISGUISES: dict[str, Callable[[random.Random, str], str]] = {
    "spaced": lambda r, value: _between_digits(value, " "),
    "dotted": lambda r, value: _between_digits(value, "."),
    "line_breaks": _regrouped("\n"),
    "slashes": _regrouped("/"),
    "underscores": _regrouped("_"),
    "middle_dots": _regrouped(" · "),
    "stars": _regrouped("*"),
    "wide_dashes": _regrouped(" — "),
    "spoken": _regrouped(" 다시 "),
    "full_width": _from(0xFF10),
    "zero_width": lambda r, value: r.choice("\u200b\u2060\u00ad\u200d").join(value),
    "circled": lambda r, value: _each_digit(value, lambda digit: _CIRCLED[int(digit)]),
    "superscript": lambda r, value: _each_digit(value, lambda digit: _SUPERSCRIPT[int(digit)]),
    "mathematical_bold": _from(0x1D7CE),
    "keycap": lambda r, value: _each_digit(value, lambda digit: digit + "\ufe0f\u20e3"),
    "struck_out": lambda r, value: _each_digit(value, lambda digit: digit + "\u0336"),
    "arabic_indic": _from(0x0660),
    "devanagari": _from(0x0966),
    "hangul": lambda r, value: _each_digit(value, lambda digit: _HANGUL[int(digit)]),
    "hangul_spaced": lambda r, value: " ".join(_HANGUL[int(digit)] for digit in value if digit.isdigit()),
    "mixed": _mixed,
    "homoglyph": _homoglyph,
    "entity": _entity,
}
SPELT_MAIL: dict[str, Callable[[random.Random, str], str]] = {
    "korean_at": lambda r, value: value.replace("@", "골뱅이").replace(".", "점"),
    "korean_at_spaced": lambda r, value: value.replace("@", " 골뱅이 ").replace(".", " 점 "),
    "bracket_at": lambda r, value: value.replace("@", "(at)").replace(".", "[dot]"),
    "english_at": lambda r, value: value.replace("@", " at ").replace(".", " dot "),
    "full_width": lambda r, value: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in value),
    "wide_at": lambda r, value: value.replace("@", " @ "),
}
NAME_DISGUISES: dict[str, Callable[[random.Random, str], str]] = {
    "decomposed": lambda r, value: unicodedata.normalize("NFD", value),
    "zero_width": lambda r, value: "\u200b".join(value),
    "spaced": lambda r, value: " ".join(value),
    "dotted": lambda r, value: ".".join(value),
}
