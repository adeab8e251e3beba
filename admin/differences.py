"""What a correction changes, word by word: words that stay, go and come, for a page to mark."""

import re
from difflib import SequenceMatcher
from typing import Final, Literal, NamedTuple

WORDS_AND_GAPS: Final = re.compile(r"\s+|[^\s]+")
Kind = Literal["same", "removed", "added"]


class Change(NamedTuple):
    """Neighbouring words of one kind."""

    kind: Kind
    text: str


def word_changes(before: str, after: str) -> list[Change]:
    """From one text to another: without what was added it is `before`, without what was removed `after`."""
    old, new = WORDS_AND_GAPS.findall(before), WORDS_AND_GAPS.findall(after)
    changes: list[Change] = []
    for operation, old_start, old_end, new_start, new_end in SequenceMatcher(
        None, old, new, autojunk=False
    ).get_opcodes():
        if operation == "equal":
            changes.append(Change("same", "".join(old[old_start:old_end])))
            continue
        if old_start < old_end:
            changes.append(Change("removed", "".join(old[old_start:old_end])))
        if new_start < new_end:
            changes.append(Change("added", "".join(new[new_start:new_end])))
    return changes
