"""Which units of the passages answer a question: shared words weighted by rarity, and the kind of thing that is asked.

Knows neither how words are found (that is handed in) nor how an answer is laid out.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

import yaml

from llm_service.engines.units import Unit
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate


class QuestionWord(Protocol):
    """A word of a question: 1 is the weight of a word that carries meaning, words that only ask weigh less.

    `meant` are other wordings of the same idea, each by all of its words (민증 may mean 주민등록증).
    """

    @property
    def form(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def meant(self) -> Sequence[Sequence[str]]: ...


WordsOf = Callable[[MaskedText], Sequence[QuestionWord]]

# Words found only above a unit count half: the heading says what the article is about, not what it rules.
_CONTEXT_SHARE: Final = 0.5
# The title of a document stands above everything in it and tells its units least apart.
_TITLE_SHARE: Final = 0.25
# One syllable occurs inside unrelated words.
_SYLLABLE_SHARE: Final = 0.15
_SYNONYM_SHARE: Final = 0.9
_KIND_GAIN: Final = 1.6
_RANK_DECAY: Final = 0.15

_QUANTITY: Final = re.compile(
    r"\d\s*(?:[천백십]?\s?[만억조]?\s?원|[만억조]|%|퍼센트|프로|일|주|개월|월|년|시간|회|명|세|배|분의)"
)
_SIGNS: Final[Mapping[str, re.Pattern[str]]] = {
    "number": _QUANTITY,
    "penalty": re.compile(r"징역|벌금|과태료|과징금|벌칙"),
    "definition": re.compile(r"이?란\s|[이]?라\s?함은|말한다|뜻한다|의미한다|\bmeans\b"),
    "enumeration": re.compile(r"다음\s*(?:각|의)|아래|:$"),
}


# The number of an article tells nobody how much or how long.
_REFERENCE: Final = re.compile(r"제\s?\d+\s?(?:조|항|호|편|장|절|관|목)(?:의\s?\d+)?")

Carried = Mapping[int, float]


@dataclass(frozen=True)
class ScoredUnit:
    """A unit, where it stands (`passage`, `index` among its units), how well it answers and the words it carries."""

    passage: int
    index: int
    score: float
    carried: Carried


class Asked:
    """A question against the units that could answer it: how much each of its words weighs, and what kind it is.

    Words are known by their position in the question; `carried` maps a position to how well a text carries that word.
    """

    def __init__(self, question: MaskedText, words: Sequence[QuestionWord], outlines: Sequence[Sequence[Unit]]) -> None:
        self.kinds = _kinds_of(question)
        self._demands = _demands_of(question)
        self._wordings = [_wordings(word) for word in words]
        texts = [_squeezed(unit.text) for outline in outlines for unit in outline]
        self._weights = [
            word.weight * (_SYLLABLE_SHARE if len(word.form) == 1 else 1.0) * _rarity(wordings, texts)
            for word, wordings in zip(words, self._wordings, strict=True)
        ]
        self._whole = sum(self._weights)

    def carried(self, text: str) -> Carried:
        """How well a text carries each word: 1 for the word itself, less for another wording; blanks do not matter."""
        squeezed = _squeezed(text)
        return {
            position: share
            for position, wordings in enumerate(self._wordings)
            if (share := _share(wordings, squeezed)) > 0
        }

    def is_told(self, text: str) -> bool:
        """Whether a text holds one of the things the question demands: a period for 며칠, a number for 얼마, …"""
        said = _REFERENCE.sub("", text)
        return not self._demands or any(told.search(said) for told in self._demands)

    def weight(self, carried: Carried) -> float:
        return sum(self._weights[position] * share for position, share in carried.items())

    def coverage(self, carried: Carried) -> float:
        """Share of the question's weight that is carried, 0 to 1."""
        return self.weight(carried) / self._whole if self._whole else 0.0


def score_units(
    asked: Asked, passages: Sequence[Candidate], outlines: Sequence[Sequence[Unit]]
) -> tuple[ScoredUnit, ...]:
    """Every unit that shares a word with the question, best first."""
    found = []
    for rank, (passage, outline) in enumerate(zip(passages, outlines, strict=True)):
        title = asked.carried(f"{passage.document_title} {passage.article or ''}")
        place = asked.carried(" ".join(passage.heading_path))
        direct = [asked.carried(unit.text) for unit in outline]
        for index, unit in enumerate(outline):
            above = best_of((place, *(direct[above] for above in ancestors(outline, index))))
            if unit.is_heading or not (direct[index] or above):
                continue
            known = (_scaled(title, _TITLE_SHARE), _scaled(above, _CONTEXT_SHARE), direct[index])
            gain = _KIND_GAIN if any(_SIGNS[kind].search(unit.text) for kind in asked.kinds) else 1.0
            score = asked.weight(best_of(known)) * gain / (1 + _RANK_DECAY * rank)
            found.append(ScoredUnit(rank, index, score, best_of((title, above, direct[index]))))
    return tuple(sorted(found, key=lambda unit: (-unit.score, unit.passage, unit.index)))


def ancestors(outline: Sequence[Unit], index: int) -> tuple[int, ...]:
    """The units a unit hangs from, nearest first, and the heading above them."""
    chain: list[int] = []
    heading = outline[index].heading
    lead = outline[index].lead
    while lead is not None:
        chain.append(lead)
        lead = outline[lead].lead
    return (*chain, heading) if heading is not None and heading not in chain else tuple(chain)


def _kinds_of(question: str) -> frozenset[str]:
    lowered = question.lower()
    return frozenset(kind for kind, cues in _cues().items() if any(cue in lowered for cue in cues))


def _demands_of(question: str) -> tuple[re.Pattern[str], ...]:
    return tuple(told for asked, told in _demands() if asked.search(question))


@cache
def _demands() -> tuple[tuple[re.Pattern[str], re.Pattern[str]], ...]:
    written = yaml.safe_load(files(__package__).joinpath("demands.yaml").read_text(encoding="utf-8"))
    return tuple((_any_of(rule["asked"]), _any_of(rule["told"])) for rule in written.values())


def _any_of(patterns: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


@cache
def _cues() -> Mapping[str, tuple[str, ...]]:
    written = yaml.safe_load(files(__package__).joinpath("cues.yaml").read_text(encoding="utf-8"))
    return {kind: tuple(cues) for kind, cues in written.items()}


def _wordings(word: QuestionWord) -> tuple[tuple[float, tuple[str, ...]], ...]:
    own = (1.0, (_squeezed(word.form),))
    return (own, *((_SYNONYM_SHARE, tuple(map(_squeezed, wording))) for wording in word.meant))


def _share(wordings: Sequence[tuple[float, Sequence[str]]], squeezed: str) -> float:
    return max((share for share, parts in wordings if all(part and part in squeezed for part in parts)), default=0.0)


def _rarity(wordings: Sequence[tuple[float, Sequence[str]]], texts: Sequence[str]) -> float:
    containing = sum(_share(wordings, text) > 0 for text in texts)
    return math.log(1 + (len(texts) + 1) / (containing + 1))


def best_of(found: Iterable[Carried]) -> Carried:
    """All the words that several texts carry, each as well as any of them does."""
    best: dict[int, float] = {}
    for carried in found:
        for position, share in carried.items():
            best[position] = max(share, best.get(position, 0.0))
    return best


def _scaled(carried: Carried, share: float) -> Carried:
    return {position: share * held for position, held in carried.items()}


def _squeezed(text: str) -> str:
    return "".join(text.lower().split())
