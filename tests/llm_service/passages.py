"""Passages and question words for tests of answers: real ones, made in one line."""

from datetime import date
from typing import NamedTuple

from llm_service.masked import MaskedText
from llm_service.retrieval.candidate import Candidate


class Word(NamedTuple):
    form: str
    weight: float = 1.0
    meant: tuple[tuple[str, ...], ...] = ()


def words_between_blanks(question: MaskedText) -> list[Word]:
    """The words as they stand: enough where a test chooses its questions."""
    return [Word(word.strip("?")) for word in question.split()]


def passage(
    text: str,
    number: int = 1,
    article: str | None = "제32조",
    title: str = "예금자보호법",
    heading_path: tuple[str, ...] = (),
) -> Candidate:
    """A passage of a law in force since 2026-01-02."""
    return Candidate(
        passage_id=number,
        document_path=f"{title}/법률.md",
        document_title=title,
        label=" ".join(filter(None, (f"「{title}」", article, "(시행 2026-01-02)"))),
        article=article,
        heading_path=heading_path,
        page=None,
        text=MaskedText(text),
        score=1.0 / number,
        in_force_from=date(2026, 1, 2),
        in_force_to=date.max,
    )
