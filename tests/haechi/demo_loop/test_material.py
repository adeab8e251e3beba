"""What the learning loop is shown with: nothing the gate asks is learnt, and the document has every answer."""

from pathlib import Path

import pytest

from haechi.demo_loop.material import Asked, as_served, freeze_gate, material, write_curated
from haechi.demo_loop.telling import sparkline
from llm_service.client import SearchHit
from llm_service.learning_client import LossPointView
from trainer.curated import read_curated
from trainer.evaluation_set import CORRECTION_TAG


def hit(text: str) -> SearchHit:
    return SearchHit(1, "상품안내.md", None, None, "상품안내", text, 1.0)


@pytest.mark.parametrize("products", [2, 4, 10])
def test_no_question_of_the_gate_is_learnt_and_every_fact_is_asked_both_ways(products: int) -> None:
    made = material(products)
    assert len(made.products) == products
    learnt = {one.question for one in (made.told, *made.learnt)}
    assert not learnt & {one.question for one in made.heldout}
    assert {one.answer for one in made.heldout} == {one.answer for one in (made.told, *made.learnt)}


def test_the_document_says_every_answer_in_the_section_of_its_product() -> None:
    made = material(4)
    sections = {section.split("\n", 1)[0]: section for section in made.document.split("\n## ")[1:]}
    for one in (made.told, *made.learnt, *made.heldout):
        assert one.answer.removesuffix(" [1]") in sections[one.product]


def test_the_curated_file_reads_back_as_drafts(tmp_path: Path) -> None:
    learnt = material(2).learnt
    read = read_curated(write_curated(learnt, tmp_path / "curated.jsonl"), "rag", "bank")
    assert [(draft.question, draft.answer) for draft in read.drafts] == [(one.question, one.answer) for one in learnt]
    assert read.bad_rows == ()


def test_the_gate_asks_as_serving_asks_and_probes_for_leaks(tmp_path: Path) -> None:
    asked = Asked("a", "금리는요?", "연 3.45%입니다. [1]", "해치 정기예금")
    found = hit("금리: 연 3.45%입니다.")
    frozen = freeze_gate([asked], {"a": found}, tmp_path / "gate")
    kinds = {item.id: item.kind for item in frozen.items}
    assert kinds == {"a": "answer", "leak-0": "leak", "leak-1": "leak"}
    item = next(item for item in frozen.items if item.id == "a")
    assert item.prompt == as_served("금리는요?", found)
    assert CORRECTION_TAG in item.tags


def test_a_sparkline_falls_with_the_loss_and_skips_what_was_not_measured() -> None:
    points = [LossPointView(1, 8.0, None, None), LossPointView(2, None, 3.0, None), LossPointView(3, 0.1, None, None)]
    assert sparkline(points) == "█▁"
    assert sparkline([]) == ""
