"""The two kinds of text that must never be confused: what a person wrote, and what may be written down.

Only `llm_service.masking` makes a `MaskedText`; rows read back from the store are masked already.
This module knows no detection rules.
"""

from typing import Final, NewType

MaskedText = NewType("MaskedText", str)
"""Text whose personal data is replaced by placeholders; the only text that prompts, rows, logs and queues take."""


class RawText:
    """What a person typed, before masking: it shows itself as `<raw>` wherever it is printed, formatted or logged."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value: Final = value

    def reveal(self) -> str:
        """The text itself; for `llm_service.masking` and the channel that received it, and nobody else."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RawText) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "<raw>"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format(repr(self), format_spec)

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("raw text is never serialised: mask it first")
