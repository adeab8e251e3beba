"""What a person sees as [1] is what the answer rests on, with everything needed to look it up."""

from dataclasses import asdict

from llm_service.answering.citations import CitationLedger, without_placeholders
from tests.llm_service.passages import passage

FIRST = passage("보험금의 한도는 1억원으로 한다.", number=7)
SECOND = passage("총리는 공고한다.", number=9, article="제40조", title="공고규정")


def test_marks_are_renumbered_in_order_of_appearance() -> None:
    ledger = CitationLedger((FIRST, SECOND))
    assert ledger.renumber("총리는 공고한다. [2] 한도는 1억원이다. [1] 다시 공고한다. [2]") == (
        "총리는 공고한다. [1] 한도는 1억원이다. [2] 다시 공고한다. [1]"
    )
    assert [source.passage_id for source in ledger.sources] == [9, 7]


def test_a_mark_that_points_at_no_passage_is_taken_away() -> None:
    ledger = CitationLedger((FIRST,))
    assert ledger.renumber("한도는 1억원이다. [1][8][0]") == "한도는 1억원이다. [1]"
    assert ledger.cited_by("한도는 1억원이다. [8]") == ()


def test_a_passage_cited_twice_in_a_segment_counts_once() -> None:
    assert CitationLedger((FIRST, SECOND)).cited_by("가 [2][1][2]") == (SECOND, FIRST)


def test_a_source_carries_what_a_reader_needs_to_look_it_up() -> None:
    ledger = CitationLedger((FIRST,))
    ledger.renumber("한도는 1억원이다. [1]")
    assert asdict(ledger.sources[0]) == {
        "number": 1,
        "passage_id": 7,
        "label": "「예금자보호법」 제32조 (시행 2026-01-02)",
        "document": "예금자보호법/법률.md",
        "title": "예금자보호법",
        "article": "제32조",
        "page": None,
        "heading_path": [],
        "text": FIRST.text,
        "score": FIRST.score,
        "in_force_from": "2026-01-02",
    }


def test_placeholders_of_a_document_are_made_harmless_and_other_marks_stay() -> None:
    assert without_placeholders(passage("<PERSON_1>과 <개정 2024.1.1>")).text == "(PERSON_1)과 <개정 2024.1.1>"
