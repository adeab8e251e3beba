"""What must not leave in an answer, whoever wrote it: links its sources do not have, our instructions, codes, values.

The last gate against an engine that has been talked into something; knows no engine and no verdict. A model that obeys
a planted order can still only say what passes here and in `verify.py`.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Final, Literal

from llm_service.answering.prompt import canary, instructions
from llm_service.client import PLACEHOLDER_TYPES
from llm_service.engines.base import EngineRequest
from llm_service.retrieval.candidate import Candidate

Leak = Literal["foreign_link", "instructions_repeated", "placeholder_not_asked", "encoded_text"]

ECHO_CHARACTERS: Final = 24
"""A run of the instructions this long, blanks and punctuation aside, is no accident."""
ENCODED_CHARACTERS: Final = 32
PASSAGES_REMEMBERED: Final = 256

_ADDRESS_END: Final = ".,;:!?)]}'\"”’>"
# Korean particles follow an address without a blank, so that only ASCII belongs to it.
_IN_ADDRESS: Final = r"[!#-&(-;=?-~]{1,2000}"
_ASCII_START: Final = r"(?<![A-Za-z0-9_])"
# Anything with an authority (//), whatever its scheme; schemes that run or carry; what Markdown or HTML would load.
_ADDRESS: Final = re.compile(
    rf"(?:[a-z][a-z0-9+.-]{{1,15}}:)?(?://|\\\\){_IN_ADDRESS}"
    rf"|{_ASCII_START}(?:data|javascript|vbscript|file|mailto|ftp):{_IN_ADDRESS}"
    rf"|{_ASCII_START}www\.{_IN_ADDRESS}"
    rf"|(?<=\]\(){_IN_ADDRESS}"
    rf"|{_ASCII_START}(?:src|href)\s*=\s*[\"']?{_IN_ADDRESS}",
    re.IGNORECASE,
)
_HOST: Final = re.compile(
    rf"{_ASCII_START}(?<![@.-])(?:[a-z0-9][a-z0-9-]{{0,62}}\.){{1,8}}[a-z]{{2,24}}(?![a-z0-9_-])", re.IGNORECASE
)
_MAIL: Final = re.compile(r"[\w.+-]{1,64}@(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}", re.IGNORECASE)
_ENCODED: Final = re.compile(rf"[A-Za-z0-9+/=_-]{{{ENCODED_CHARACTERS},}}|(?:[0-9A-Fa-f]{{2}}[ :]){{16,}}")
_PLACEHOLDER: Final = re.compile(
    rf"(?:<|\[|&lt;) ?({'|'.join(PLACEHOLDER_TYPES)})_([1-9][0-9]{{0,4}}) ?(?:>|\]|&gt;)", re.IGNORECASE
)
_NO_LETTER: Final = re.compile(r"[\W_]+")
# Defanged spellings that a reader's eye or a chat client mends: hxxp://, example[.]com.
_DEFANGED: Final = re.compile(r"\[\.\]|\(\.\)|\[dot\]|\(dot\)", re.IGNORECASE)


def leaks(segment: str, cited: Sequence[Candidate], request: EngineRequest) -> tuple[Leak, ...]:
    """What is wrong with letting this text out; empty for text that may go on to the check of its figures.

    An address may be shown only as a cited passage has it, whole: a host alone would leave room for what is appended.
    """
    written = _plain(segment)
    sources = " ".join(_plain_passage(passage.text) for passage in cited)
    found: list[Leak] = []
    if any(address not in sources for address in _addresses(written)):
        found.append("foreign_link")
    if _repeats_instructions(written, sources):
        found.append("instructions_repeated")
    if not _placeholders(written) <= _placeholders(_plain(" ".join((request.question, *request.history)))):
        found.append("placeholder_not_asked")
    if any(code[0] not in sources for code in _ENCODED.finditer(written)):
        found.append("encoded_text")
    return tuple(found)


def _plain(text: str) -> str:
    """The text in one spelling: compatibility forms folded, invisible characters gone, small."""
    visible = unicodedata.normalize("NFKC", text)
    if invisible := [character for character in set(visible) if unicodedata.category(character) == "Cf"]:
        visible = visible.translate(dict.fromkeys(map(ord, invisible)))
    return _DEFANGED.sub(".", visible).replace("hxxp", "http").casefold()


# One passage stands behind many statements of many answers.
_plain_passage = lru_cache(maxsize=PASSAGES_REMEMBERED)(_plain)


def _addresses(text: str) -> Iterator[str]:
    for form in (_ADDRESS, _HOST, _MAIL):
        for found in form.finditer(text):
            yield found[0].rstrip(_ADDRESS_END)


def _repeats_instructions(written: str, sources: str) -> bool:
    said = _NO_LETTER.sub("", written)
    if _NO_LETTER.sub("", canary().casefold()) in said:
        return True
    runs = _runs(said) & _instruction_runs()
    return bool(runs) and not runs <= _runs(_NO_LETTER.sub("", sources))


@cache
def _instruction_runs() -> frozenset[str]:
    return _runs(_NO_LETTER.sub("", _plain(instructions())))


def _runs(text: str) -> frozenset[str]:
    return frozenset(text[start : start + ECHO_CHARACTERS] for start in range(len(text) - ECHO_CHARACTERS + 1))


def _placeholders(text: str) -> frozenset[tuple[str, str]]:
    return frozenset((found[1].upper(), found[2]) for found in _PLACEHOLDER.finditer(text))
