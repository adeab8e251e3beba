"""Candidates are judged by what they hold, how close together, and by a heading that is their own."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pytest

from llm_service.retrieval import relevance
from llm_service.retrieval.candidate import Entitlement
from llm_service.retrieval.lexical import PackedTerms, PassageTerms, QuestionTerms, Unit, pack_terms, term_id
from llm_service.retrieval.ranking import WINDOW_TERMS, Judge, Judged, Signals
from llm_service.retrieval.statistics import Corpus, TermStatistics, Visibility
from llm_service.store.models import OPEN_END

CUSTOMER = Entitlement("customer", date(2026, 11, 21))
ALWAYS = (date(2000, 1, 1), OPEN_END)
A, B, MEANT, FILLER = 1, 2, 3, 99


def packed(*terms: int) -> PackedTerms:
    return PackedTerms(pack_terms(PassageTerms(dict.fromkeys(terms, 1.0), {}, terms)))


def corpus() -> Corpus:
    statistics = TermStatistics()
    passages = {1: packed(A), 2: packed(B), 3: packed(MEANT), 4: packed(FILLER)}
    statistics.put(1, Visibility(("customer",), *ALWAYS), passages)
    return statistics.within(CUSTOMER)


def judge(*units: Unit, articles: frozenset[int] = frozenset()) -> Judge:
    return Judge(QuestionTerms({}, {}, units, articles), corpus())


def passage(terms: Sequence[int], header_length: int = 0, place: int = 0, articles: Sequence[int] = ()) -> Judged:
    return Judged(1.0, np.array(terms, dtype=np.uint32), header_length, place, frozenset(articles))


def one(judging: Judge, terms: Sequence[int], header_length: int = 0) -> Signals:
    return judging.signals([passage(terms, header_length)])[0]


def test_coverage_is_the_share_of_the_questions_mass() -> None:
    both = judge(Unit(A, 1.0, True), Unit(B, 1.0, True))
    assert one(both, [A]).coverage == pytest.approx(0.5)
    assert one(both, [A, B, A]).coverage == pytest.approx(1.0)
    assert one(both, [FILLER]).coverage == 0


def test_a_synonym_counts_almost_as_much_as_the_word() -> None:
    asked = judge(Unit(A, 1.0, True, ((MEANT,),)))
    assert 0.5 < one(asked, [MEANT]).coverage < one(asked, [A]).coverage


def test_half_of_a_synonym_counts_half_of_it() -> None:
    asked = judge(Unit(A, 1.0, True, ((MEANT, FILLER),)))
    assert one(asked, [MEANT]).coverage == pytest.approx(one(asked, [MEANT, FILLER]).coverage / 2)


@pytest.mark.parametrize(("distance", "together"), [(WINDOW_TERMS - 1, True), (WINDOW_TERMS, False)])
def test_the_window_holds_only_what_stands_close_together(distance: int, *, together: bool) -> None:
    both = judge(Unit(A, 1.0, True), Unit(B, 1.0, True))
    signals = one(both, [A, *[FILLER] * (distance - 1), B])
    assert signals.window == pytest.approx(1.0 if together else 0.5)
    assert signals.coverage == pytest.approx(1.0)


def test_a_heading_shared_by_several_places_counts_less() -> None:
    asked = judge(Unit(A, 1.0, True))
    alone = asked.signals([passage([A, FILLER], 1, place=1)])[0].heading
    shared = asked.signals([passage([A, FILLER], 1, place=1), passage([A, B], 1, place=2)])[0].heading
    parts = asked.signals([passage([A, FILLER], 1, place=1), passage([A, B], 1, place=1)])[0].heading
    assert shared == pytest.approx(alone / 2)
    assert parts == pytest.approx(alone)


def test_a_heading_that_names_other_things_too_counts_less() -> None:
    asked = judge(Unit(A, 1.0, True))
    assert one(asked, [A, B], 2).heading < one(asked, [A, B], 1).heading


def test_the_article_a_question_names_is_recognised() -> None:
    asked = judge(Unit(A, 1.0, True), articles=frozenset({7}))
    signals = asked.signals([passage([A], articles=[7]), passage([A], articles=[8])])
    assert [found.article for found in signals] == [1.0, 0.0]


def test_only_an_articles_title_speaks_for_it() -> None:
    asked = judge(Unit(A, 1.0, True))
    section, article = asked.signals([passage([A, FILLER], 1), passage([A, FILLER], 1, articles=[7])])
    assert section.heading == article.heading > 0
    assert section.title == 0 < article.title
    assert section.score < article.score


def test_an_act_stands_before_the_decree_that_details_it() -> None:
    decree = passage([term_id("시행령"), A], 1, articles=[7])
    act = passage([FILLER, A], 1, articles=[7])
    asked = judge(Unit(A, 1.0, True)).signals([decree, act])
    assert [found.detail for found in asked] == [1.0, 0.0]
    assert asked[0].score < asked[1].score
    named = judge(Unit(A, 1.0, True), Unit(term_id("시행령"), 1.0, True)).signals([decree])[0]
    assert named.detail == 0


def test_a_manual_that_names_a_decree_details_nothing() -> None:
    assert one(judge(Unit(A, 1.0, True)), [term_id("시행령"), A], 1).detail == 0


def test_nothing_asked_and_nothing_found_are_no_errors() -> None:
    assert one(judge(), [A]).score == 1.0
    assert judge(Unit(A, 1.0, True)).signals([]) == []
    assert one(judge(Unit(A, 1.0, True)), []).coverage == 0


def test_more_evidence_means_more_confidence() -> None:
    weak = {"score": 0.5, "noun_coverage": 0.2, "window": 0.2, "heading": 0.0}
    strong = {"score": 2.0, "noun_coverage": 0.9, "window": 0.9, "heading": 0.4}
    assert 0 <= relevance.confidence(weak) < 0.5 < relevance.confidence(strong) <= 1
    assert relevance.confidence({**strong, "score": 0.0}) == 0


def test_statistics_count_only_what_may_be_seen() -> None:
    statistics = TermStatistics()
    statistics.put(1, Visibility(("customer",), *ALWAYS), {1: packed(A, B)})
    statistics.put(2, Visibility(("staff",), *ALWAYS), {2: packed(A), 3: packed(A)})
    statistics.put(3, Visibility(("customer",), date(2000, 1, 1), date(2010, 1, 1)), {4: packed(A)})
    seen = statistics.within(CUSTOMER)
    assert (seen.passages, seen.frequency(A), seen.frequency(B), seen.frequency(FILLER)) == (1, 1, 1, 0)


def test_statistics_forget_a_removed_document() -> None:
    statistics = TermStatistics()
    statistics.put(1, Visibility(("customer",), *ALWAYS), {1: packed(A)})
    statistics.put(2, Visibility(("customer",), *ALWAYS), {2: packed(A, B)})
    assert statistics.within(CUSTOMER).idf(B) > statistics.within(CUSTOMER).idf(A)
    statistics.remove(2)
    statistics.remove(2)
    assert statistics.within(CUSTOMER).frequency(B) == 0
    assert statistics.within(CUSTOMER).passages == 1


def test_a_document_counted_again_is_counted_once() -> None:
    statistics = TermStatistics()
    for _ in range(2):
        statistics.put(1, Visibility(("customer",), *ALWAYS), {1: packed(A)})
    assert statistics.within(CUSTOMER).frequency(A) == 1
    assert statistics.passage_ids(1) == (1,)
