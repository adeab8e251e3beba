"""Sentences of real passages, said more politely and spelt otherwise, and the same with one thing changed by machine.

Beside the altered answers written by hand it shows how the verifier does on sentences that nobody chose.
"""

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from benchmarks.corpora import Part
from llm_service.answering.evidence import sentences_of
from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate

_POLITE_ENDINGS: Final = {
    "하여야 한다": "해야 합니다",
    "수 있다": "수 있습니다",
    "수 없다": "수 없습니다",
    "아니 된다": "안 됩니다",
    "하지 아니한다": "하지 않습니다",
    "한다": "합니다",
    "된다": "됩니다",
}
_OTHER_POLARITY: Final = {
    "할 수 있다": "할 수 없다",
    "하여야 한다": "하지 아니할 수 있다",
    "할 수 없다": "할 수 있다",
    "하지 아니한다": "한다",
}
_WON: Final = re.compile(r"(\d+)(천만|백만|만|억)원")
_WON_UNITS: Final = {"천만": 10**7, "백만": 10**6, "만": 10**4, "억": 10**8}
_LIST_NUMBER: Final = re.compile(r"\d+(?:의\d+)?\.\s")


@dataclass(frozen=True)
class Alteration:
    """A sentence that cites `passage`; `kind` is number, polarity, or none for a control."""

    passage: Candidate
    sentence: str
    kind: str


def mechanical_alterations(parts: Sequence[Part], count: int, seed: int) -> Iterator[Alteration]:
    """For `count` passages drawn by `seed`, where they have one: a control, another number, another polarity."""
    draw = random.Random(seed)
    for number, part in enumerate(draw.sample(parts, min(count, len(parts))), start=1):
        passage = _passage(number, part)
        sentences = [sentence for sentence in sentences_of(part.text) if 25 < len(sentence) < 250]
        if not sentences:
            continue
        sentence = draw.choice(sentences)
        respelt = _polite(_WON.sub(_in_digits, re.sub(r"100분의\s?(\d+)", r"\1%", sentence)))
        if respelt not in part.text:
            yield Alteration(passage, respelt, "none")
        if changed := _other_number(sentence, draw):
            yield Alteration(passage, _polite(changed), "number")
        if changed := _other_polarity(sentence):
            yield Alteration(passage, _polite(changed), "polarity")


def _passage(number: int, part: Part) -> Candidate:
    return Candidate(
        passage_id=number,
        document_path=part.place,
        document_title=part.place,
        label=part.header,
        article=part.article,
        heading_path=(),
        page=None,
        text=MaskedText(part.text),
        score=1.0,
        in_force_from=date.min,
        in_force_to=date.max,
    )


def _other_number(sentence: str, draw: random.Random) -> str | None:
    listed = _LIST_NUMBER.match(sentence)
    places = list(re.finditer(r"\d+", sentence[listed.end() :])) if listed else list(re.finditer(r"\d+", sentence))
    if not places:
        return None
    place = draw.choice(places)
    offset = listed.end() if listed else 0
    other = str(int(place[0]) + draw.choice((1, 2, 5, 10)))
    return sentence[: offset + place.start()] + other + sentence[offset + place.end() :]


def _other_polarity(sentence: str) -> str | None:
    for ending, other in _OTHER_POLARITY.items():
        if sentence.rstrip(".").endswith(ending):
            return sentence.replace(ending, other)
    return None


def _polite(sentence: str) -> str:
    for plain, polite in _POLITE_ENDINGS.items():
        sentence = re.sub(rf"{plain}(?=\.?$)", polite, sentence)
    return sentence


def _in_digits(written: re.Match[str]) -> str:
    return f"{int(written[1]) * _WON_UNITS[written[2]]:,}원"
