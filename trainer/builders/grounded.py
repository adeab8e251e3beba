"""Exercises with passages: answer and cite the right one of three, refuse where none answers, summarise one.

What is written comes from the configured engine, what misleads from the real retriever; people review both.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from llm_service.store.passages import StoredPassage
from trainer.builders.material import Exercise, Search, Writer, chosen, group_of, heading_of, words

NEGATIVES: Final = 2
SEARCHED: Final = 12


def cited_answers(passages: Sequence[StoredPassage], search: Search, write: Writer, seed: int) -> Iterator[Exercise]:
    """A question, its passage and two near ones that do not answer it, in an order that tells nothing; cited."""
    for passage, question, negatives in _with_negatives(passages, search):
        place = chosen(seed, "gold", passage.id) % (NEGATIVES + 1)
        shown = (*negatives[:place], passage, *negatives[place:])
        answer = write(question, (passage,))
        if answer:
            cited = answer.replace("[1]", f"[{place + 1}]")
            yield Exercise("rag", question, cited, group_of(passage), shown)


def refusals(passages: Sequence[StoredPassage], search: Search, seed: int) -> Iterator[Exercise]:
    """The same question with near passages only: the answer is that it is not in the documents."""
    for passage, question, negatives in _with_negatives(passages, search):
        shown = negatives if chosen(seed, "order", passage.id) % 2 else negatives[::-1]
        yield Exercise("refusal", question, words()["refusal"], group_of(passage), shown)


def summaries(passages: Sequence[StoredPassage], write: Writer, seed: int) -> Iterator[Exercise]:
    """A section in few words, as the engine writes it."""
    for passage in passages:
        question = words()["summary"].format(title=passage.document_title, heading=heading_of(passage))
        answer = write(question, (passage,))
        if answer:
            yield Exercise("summary", question, answer, group_of(passage), (passage,))


def _with_negatives(
    passages: Sequence[StoredPassage], search: Search
) -> Iterator[tuple[StoredPassage, str, tuple[StoredPassage, ...]]]:
    """Hard negatives: found for the question, but of another section. Too few of them, and there is no exercise."""
    known = {passage.id: passage for passage in passages}
    for passage in passages:
        question = words()["grounded"].format(heading=heading_of(passage))
        found = [known[found_id] for found_id in search(question, SEARCHED) if found_id in known]
        negatives = [one for one in found if one.heading_path != passage.heading_path and one.text != passage.text]
        if len(negatives) >= NEGATIVES:
            yield passage, question, tuple(negatives[:NEGATIVES])
