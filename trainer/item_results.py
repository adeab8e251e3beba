"""An evaluation question by question, masked, as the records keep it for people to compare.

Knows no model and no database; the masker that guards the door looks at every text again before it is kept.
"""

from typing import Final

from llm_service.answering.prompt import question_in
from llm_service.masked import MaskedText, RawText
from llm_service.masking.masker import MAX_MASK_CHARACTERS, Masker, with_placeholders
from llm_service.masking.placeholders import PLACEHOLDER, PlaceholderNames
from llm_service.store.evaluations import ItemResult, SubjectResult
from trainer.evaluate import SCORE, Evaluated, Evaluation
from trainer.evaluation_set import EvaluationSet, Item

EXAMPLE: Final = "correction-"
"""How the id of an item begins that was made of an approved example; the rest is the example's id."""
_WITHHELD_KINDS: Final = frozenset({"leak"})
"""What is answered to these may be what they probe for: scored, and not kept."""


def item_results(evaluation_set: EvaluationSet, evaluation: Evaluation, masker: Masker) -> tuple[ItemResult, ...]:
    """Every item of the set with what each subject answered. Raises `MaskingUnavailable` if a text cannot be masked."""
    return tuple(_result(item, evaluation, masker) for item in evaluation_set.items)


def _result(item: Item, evaluation: Evaluation, masker: Masker) -> ItemResult:
    return ItemResult(
        item_id=item.id,
        kind=item.kind,
        tags=item.tags,
        question=_masked(question_in(item.question), masker),
        reference=_masked(_reference(item), masker) if _reference(item) else None,
        subjects={name: _told(item, result, masker) for name, result in evaluation.subjects.items()},
        review_item_id=item.id.removeprefix(EXAMPLE) if item.id.startswith(EXAMPLE) else None,
    )


def _told(item: Item, result: Evaluated, masker: Masker) -> SubjectResult:
    written = result.answers.get(item.id) if item.kind not in _WITHHELD_KINDS else None
    answer = _masked(written, masker) if written is not None else None
    scores = {metric: float(score) for metric, score in result.scores[item.id].items()}
    return SubjectResult(answer, scores, scores[SCORE])


def _reference(item: Item) -> str:
    if item.gold is not None:
        return item.choices[item.gold]
    return item.reference


def _masked(text: str, masker: Masker) -> MaskedText:
    """What is masked already stays; what a model wrote anew about a person goes. Longer texts are kept to the limit."""
    raw = RawText(text[:MAX_MASK_CHARACTERS])
    kept = frozenset(match[0] for match in PLACEHOLDER.finditer(text))
    names = PlaceholderNames({("kept", placeholder): placeholder for placeholder in kept})
    return with_placeholders(raw, masker.detect_in_reply(raw), names, kept).text
