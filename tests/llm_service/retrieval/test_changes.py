"""What counts as a change between two editions, and what does not."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_service.masked import MaskedText
from llm_service.retrieval.changes import Changes, ClauseChange, changes_between, clauses_of, word_changes
from llm_service.store.editions import Edition, EditionPassage
from llm_service.store.models import OPEN_END

HEAD = "제18조(보험금의 지급)"


def edition(*passages: tuple[str | None, str], heading: str = "") -> Edition:
    """An edition of these (article, text) passages."""
    stored = tuple(
        EditionPassage(place, article, (heading,) if heading else (), f"{article}", MaskedText(text))
        for place, (article, text) in enumerate(passages)
    )
    return Edition(1, "law.md", "law:1", "예금자보호법", date(2025, 9, 1), OPEN_END, stored)


def listed(before: Edition, after: Edition) -> list[tuple[str, str, str]]:
    return [(change.clause.place, change.clause.mark, change.kind) for change in changes_between(before, after).clauses]


TWO = edition(("제18조", f"{HEAD}\n① 공사는 보험금을 지급한다.\n② 한도는 5천만원으로 한다."))


@pytest.mark.parametrize(
    ("after", "changed"),
    [
        (TWO, []),
        (
            edition(
                ("제18조", f"{HEAD}\n①  공사는 보험금을 지급한다. <개정 2025. 7. 29.>\n② 한도는 5천만원으로 한다.")
            ),
            [],
        ),
        (
            edition(("제18조", f"{HEAD}\n① 공사는 보험금을 지급한다.\n② 한도는 1억원으로 한다.")),
            [("제18조", "②", "changed")],
        ),
        (edition(("제18조", f"{HEAD}\n① 공사는 보험금을 지급한다.")), [("제18조", "②", "removed")]),
        (
            edition(("제18조", f"{HEAD}\n① 공사는 보험금을 지급한다.\n② 한도는 5천만원으로 한다.\n③ 새 항이다.")),
            [("제18조", "③", "added")],
        ),
        (
            edition(*[("제17조의2", "제17조의2(새 조)\n① 하나\n② 둘"), ("제18조", TWO.passages[0].text)]),
            [("제17조의2", "", "added")],
        ),
        (edition(("제19조", "제19조(다른 조)\n다르다.")), [("제18조", "", "removed"), ("제19조", "", "added")]),
        (
            edition(("제18조", "제18조(보험금)\n① 공사는 보험금을 지급한다.\n② 한도는 5천만원으로 한다.")),
            [("제18조", "", "changed")],
        ),
    ],
)
def test_a_clause_is_listed_when_its_words_differ(after: Edition, changed: list) -> None:
    assert listed(TWO, after) == changed


def test_an_article_reads_the_same_however_it_is_cut_into_passages() -> None:
    lead = f"{HEAD}\n① 다음 각 호와 같다."
    whole = edition(("제18조", f"{lead}\n1. 하나\n2. 둘"))
    cut = edition(("제18조", f"{lead}\n1. 하나"), ("제18조", f"{lead}\n2. 둘"))
    assert listed(whole, cut) == []


def test_outside_statutes_the_section_under_a_heading_is_compared() -> None:
    before = edition((None, "이율은 연 0.5%이다."), heading="중도해지")
    after = edition((None, "이율은 연 0.7%이다."), heading="중도해지")
    assert listed(before, after) == [("중도해지", "", "changed")]


def test_numbers_of_placeholders_are_no_change() -> None:
    before, after = (edition((None, f"담당은 <PERSON_{number}>이다."), heading="문의") for number in (1, 7))
    assert listed(before, after) == []


def test_a_passage_is_touched_by_changes_of_its_own_clauses_only() -> None:
    after = edition(("제18조", f"{HEAD}\n① 공사는 보험금을 지급한다.\n② 한도는 1억원으로 한다."))
    changes = changes_between(TWO, after)
    first = EditionPassage(9, "제18조", (), "", MaskedText("① 공사는 보험금을 지급한다."))
    second = EditionPassage(9, "제18조", (), "", MaskedText("② 한도는 5천만원으로 한다."))
    assert (changes.touches(first), changes.touches(second)) == (False, True)


def test_a_clause_that_stood_alone_is_touched_by_a_proviso_that_joins_its_article() -> None:
    after = edition(
        ("제18조", f"{HEAD}\n① 공사는 보험금을 지급한다.\n② 한도는 5천만원으로 한다.\n③ 제1항은 적용하지 아니한다.")
    )
    assert changes_between(TWO, after).touches(TWO.passages[0])


def test_the_first_edition_is_all_new() -> None:
    changes: Changes = changes_between(None, TWO)
    assert [(change.clause.place, change.kind) for change in changes.clauses] == [("제18조", "added")]


WORDS = st.lists(st.sampled_from(["한도는", "1억원", "5천만원", "으로", "한다."]), max_size=8).map(" ".join)


@given(WORDS, WORDS)
def test_the_words_of_both_texts_can_be_read_back(before: str, after: str) -> None:
    clause = next(iter(clauses_of(TWO.passages)))
    words = word_changes(ClauseChange(clause, "changed", MaskedText(before), MaskedText(after)))
    assert " ".join(word.text for word in words if word.kind != "added") == before
    assert " ".join(word.text for word in words if word.kind != "removed") == after
    assert all(word.text for word in words)
