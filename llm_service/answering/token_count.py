"""Counts tokens for the prompt's budget: with the tokenizer of the model that answers, else by an estimate.

Knows no prompt and fetches nothing: a tokenizer is a file of this machine.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final

from llm_service.answering.prompt import CountTokens
from llm_service.errors import Misconfigured

TOKENIZER_FILE: Final = "tokenizer.json"
TOKENS_PER_OTHER_CHARACTER: Final = 2
ASCII_CHARACTERS_PER_TOKEN: Final = 3
TEXTS_REMEMBERED: Final = 256
"""Instructions and passages are counted more than once for one prompt."""


def token_counter(tokenizer: str) -> CountTokens:
    """Counts with a tokenizer.json (or the directory that holds one), without special tokens; "" estimates.

    Raises `Misconfigured` if the file cannot be used.
    """
    if not tokenizer:
        return estimated_tokens
    path = Path(tokenizer)
    file = path / TOKENIZER_FILE if path.is_dir() else path
    if not file.is_file():
        raise Misconfigured("tokenizer_missing", "HAECHI_TOKENIZER names neither a tokenizer.json nor its directory")
    try:
        from tokenizers import Tokenizer  # noqa: PLC0415  comes with the engines' extras, needed for this setting only
    except ModuleNotFoundError:
        raise Misconfigured("extra_missing", "HAECHI_TOKENIZER needs the package `tokenizers`") from None
    try:
        loaded = Tokenizer.from_file(str(file))
    except Exception:  # noqa: BLE001  the library raises bare Exceptions for whatever is wrong with a file
        raise Misconfigured("tokenizer_unreadable", "HAECHI_TOKENIZER names a file that is no tokenizer") from None

    @lru_cache(maxsize=TEXTS_REMEMBERED)
    def count(text: str) -> int:
        return len(loaded.encode(text, add_special_tokens=False).ids)

    return count


def estimated_tokens(text: str) -> int:
    """Two tokens for a character outside ASCII, one for three inside, rounded up.

    Meant to be too many rather than too few for vocabularies that hold common Hangul syllables; a vocabulary that
    spells them in UTF-8 bytes takes three. Only the model's own tokenizer is exact.
    """
    other = len(text) - len(text.encode("ascii", "ignore"))
    return other * TOKENS_PER_OTHER_CHARACTER + -(-(len(text) - other) // ASCII_CHARACTERS_PER_TOKEN)
