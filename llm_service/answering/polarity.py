"""May, must, must not, need not: reads what a Korean predicate does to its verb, and when two readings contradict.

A changed ending (할 수 있다, 할 수 없다) leaves almost every word in place, so it needs a check of its own. Knows no
passages.
"""

import re
from dataclasses import dataclass
from typing import Final, Literal

Force = Literal["allowed", "obliged", "forbidden", "exempt", "negative", "plain"]


@dataclass(frozen=True)
class Predicate:
    """A verb, by the syllables before its ending, with what the ending does to it."""

    verb: str
    force: Force


# Order matters: 아니할 수 있다 holds 수 있다. Each ending runs to the end of its word, so that nothing is read twice.
_ENDINGS: Final = re.compile(
    r"(?P<exempt>지\s?(?:아니|않)(?:할|을)\s?수\s?있[가-힣]{0,4}|지\s?(?:아니하여|않아)도\s?[가-힣]{0,4}|\s필요[가는]?\s?없[가-힣]{0,4})"
    r"|(?P<forbidden>서는?\s?(?:아니|안)\s?[되된됩될][가-힣]{0,4}|면\s?안\s?[되된됩될][가-힣]{0,4}|\s?수[가는]?\s?없[가-힣]{0,4}"
    r"|지\s?못[가-힣]{0,4})"
    r"|(?P<obliged>야\s?(?:만\s?)?[하한합할함될된됩][가-힣]{0,4})"
    r"|(?P<negative>지\s?(?:아니|않)[가-힣]{0,4})"
    r"|(?P<allowed>\s?수[가도는]?\s?있[가-힣]{0,4}|도\s?[되된됩될][가-힣]{0,4})"
    r"|(?P<plain>(?:한다|합니다|된다|됩니다|는다|습니다|해요|돼요|함|됨|[가-힣]다)(?=[.!?”’\"\s]{0,4}$))"
)
_CONTEXT_CHARACTERS: Final = 16
_CONJUGATED: Final = re.compile(r"(?:하여|되어|하|되|해|돼|여|아|어|으)$")
_RIEUL: Final = 8
_FIRST_SYLLABLE: Final = ord("가")
_FINALS: Final = 28

_CONTRADICTIONS: Final = frozenset(
    frozenset(pair)
    for pair in (
        ("allowed", "forbidden"),
        ("allowed", "negative"),
        ("allowed", "exempt"),
        ("allowed", "obliged"),
        ("obliged", "forbidden"),
        ("obliged", "negative"),
        ("obliged", "exempt"),
        ("forbidden", "exempt"),
        ("forbidden", "plain"),
        ("negative", "plain"),
        ("exempt", "plain"),
    )
)
_OPPOSITES: Final = (
    ("포함", "제외"),
    ("허용", "금지"),
    ("유효", "무효"),
    ("증가", "감소"),
    ("인상", "인하"),
    ("찬성", "반대"),
    ("가능", "불가능"),
    ("이전", "이후"),
    ("의무", "권리"),
)


def predicates_of(sentence: str) -> tuple[Predicate, ...]:
    """The predicates of a sentence in order, each with the force of its ending."""
    found = []
    for ending in _ENDINGS.finditer(sentence):
        before = sentence[max(0, ending.start() - _CONTEXT_CHARACTERS) : ending.start()]
        verb = _verb_of(before)
        if verb:
            found.append(Predicate(verb, ending.lastgroup))  # type: ignore[arg-type]
    return tuple(found)


def _verb_of(before: str) -> str:
    """The last two syllables of the verb's stem; a stem of one syllable is known by what stands before it, too."""
    words = before.split()
    if not words or not "가" <= words[-1][-1] <= "힣":
        return ""
    stem = _CONJUGATED.sub("", _without_final_rieul(words[-1]))
    return stem[-2:] if len(stem) > 1 else "".join([*words[:-1], stem])[-3:]


def _without_final_rieul(word: str) -> str:
    place = ord(word[-1]) - _FIRST_SYLLABLE
    return word[:-1] + chr(ord(word[-1]) - _RIEUL) if place % _FINALS == _RIEUL else word


def contradicts(left: Force, right: Force) -> bool:
    """Whether the same verb cannot truthfully carry both forces."""
    return frozenset((left, right)) in _CONTRADICTIONS


def swapped_opposites(said: str, source: str) -> bool:
    """Whether one text holds a word exactly where the other holds only its opposite (포함, 제외)."""
    return any(
        one in said and one not in source and other in source and other not in said
        for pair in _OPPOSITES
        for one, other in (pair, pair[::-1])
        if one not in other and other not in one
    )
