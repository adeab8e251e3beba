"""Second line behind the masker: recognises text that plainly still holds a person's number.

A few shapes that are unmistakable, nothing more; finding personal data is the masker's work, not this module's.
"""

import re
import unicodedata

_SEPARATOR = r"[\s.\-–—·/]?"
# People put blanks around a hyphen. The number is bounded: a search may not take longer than the text is long.
_SEPARATORS = r"[\s.\-–—·/]{0,5}"
_SHAPES = (
    # Resident or foreigner registration number: a date, then a digit 1-8 and six more.
    re.compile(rf"(?<!\d)\d{{2}}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]){_SEPARATORS}[1-8]\d{{6}}(?!\d)"),
    # Payment card: sixteen digits in fours, or fifteen as American Express groups them.
    re.compile(rf"(?<!\d)\d{{4}}(?:{_SEPARATOR}\d{{4}}){{3}}(?!\d)"),
    re.compile(rf"(?<!\d)3[47]\d{{2}}{_SEPARATOR}\d{{6}}{_SEPARATOR}\d{{5}}(?!\d)"),
    # Mobile number, also with the country code; landline with separators.
    re.compile(rf"(?<!\d)(?:\+?82{_SEPARATOR}\(?0?\)?|0)1[016789]{_SEPARATOR}\d{{3,4}}{_SEPARATOR}\d{{4}}(?!\d)"),
    re.compile(r"(?<!\d)0\d{1,2}[\s.\-)]\d{3,4}[\s.\-]\d{4}(?!\d)"),
)


def looks_unmasked(text: str) -> bool:
    """Whether `text` still has the shape of a registration, card or phone number."""
    folded = unicodedata.normalize("NFKC", text)
    visible = "".join(character for character in folded if unicodedata.category(character) != "Cf")
    return any(shape.search(visible) for shape in _SHAPES)
