"""Exercises out of documents: repeatable, one right answer each, hard negatives of other sections, masked."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from llm_service import wiring
from llm_service.masked import MaskedText
from llm_service.settings import Settings
from llm_service.store import review
from llm_service.store.migrate import upgrade
from llm_service.store.models import OPEN_END
from llm_service.store.passages import StoredPassage
from llm_service.store.review import QueueFilter
from llm_service.store.session import open_database
from trainer.builders import glossary, grounded
from trainer.builders.material import usable
from trainer.drafting import draft

SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "public"
TERMS = {
    "청약": "보험에 들겠다고 신청하는 일입니다.",
    "승낙": "신청을 받아들이는 의사표시입니다.",
    "보험증권": "계약 내용을 적어 내주는 문서입니다.",
    "피보험자": "사고의 대상이 되는 사람입니다. 보험계약자와 다를 수 있습니다.",
    "면책": "보험금을 주지 않는 경우를 말합니다.",
}
ALWAYS = date(2020, 1, 1)


def passage(number: int, heading: str, text: str, **changes: object) -> StoredPassage:
    given = {"audience": ("staff",), "in_force_from": ALWAYS, "in_force_to": OPEN_END, **changes}
    return StoredPassage(
        id=number,
        document_id=1,
        document_path="용어.md",
        document_title="용어집",
        header=MaskedText(""),
        text=MaskedText(text),
        label=f"「용어집」 {heading}",
        article=None,
        heading_path=("용어집", heading),
        page=None,
        vectors=b"",
        **given,  # type: ignore[arg-type]
    )


PASSAGES = [passage(number, term, text) for number, (term, text) in enumerate(TERMS.items(), start=1)]


def test_only_what_is_in_force_and_says_enough_is_used() -> None:
    today = date(2026, 11, 21)
    later = passage(9, "나중", "내년부터 시행되는 내용을 적은 긴 구절입니다.", in_force_from=date(2027, 1, 1))
    short = passage(10, "짧음", "짧습니다.")
    assert list(usable([later, short, PASSAGES[3]], today)) == [PASSAGES[3]]


def test_every_term_is_asked_for_once_and_answered_by_the_glossary() -> None:
    made = list(glossary.definitions(PASSAGES, 7))
    assert [exercise.answer for exercise in made] == list(TERMS.values())
    assert all(f"'{term}'" in exercise.question for term, exercise in zip(TERMS, made, strict=True))
    assert made == list(glossary.definitions(PASSAGES, 7))


@pytest.mark.parametrize("seed", range(20))
def test_of_four_choices_the_marked_one_is_the_term_and_stands_there_once(seed: int) -> None:
    for exercise in glossary.four_choices(PASSAGES, seed):
        choices = dict(line.split(" ", 1) for line in exercise.question.splitlines()[-4:])
        mark, term = exercise.answer.split(" ", 1)
        assert choices[mark] == term
        assert len(set(choices.values())) == 4
        assert TERMS[term] in exercise.question


def test_writing_a_question_is_the_same_question_the_other_way_round() -> None:
    solved = {exercise.passages: exercise for exercise in glossary.four_choices(PASSAGES, 7)}
    for exercise in glossary.writing_four_choices(PASSAGES, 7):
        assert exercise.answer.endswith(f"정답: {solved[exercise.passages].answer}")


def test_a_term_that_its_definition_gives_away_is_no_puzzle() -> None:
    given_away = passage(9, "해지", "해지란 계약을 앞으로 없애는 일입니다.")
    assert all(exercise.passages != (given_away,) for exercise in glossary.four_choices([*PASSAGES, given_away], 7))


def search(question: str, count: int) -> list[int]:
    return [one.id for one in PASSAGES]


def test_an_answer_cites_the_right_one_of_three_wherever_it_stands() -> None:
    places = set()
    for exercise in grounded.cited_answers(PASSAGES, search, lambda question, shown: f"{shown[0].text} [1]", 7):
        assert len(exercise.passages) == len(set(exercise.passages)) == 3
        number = int(exercise.answer.rpartition("[")[2].rstrip("]"))
        gold = exercise.passages[number - 1]
        assert gold.text in exercise.answer
        assert gold.heading_path[-1] in exercise.question
        places.add(number)
    assert len(places) > 1


def test_a_refusal_is_asked_without_the_passage_that_answers() -> None:
    made = list(grounded.refusals(PASSAGES, search, 7))
    assert len(made) == len(PASSAGES)
    for exercise in made:
        assert exercise.answer == "문서에서 찾지 못했습니다."
        assert all(one.heading_path[-1] not in exercise.question for one in exercise.passages)


def test_what_the_engine_declines_is_no_exercise() -> None:
    assert list(grounded.cited_answers(PASSAGES, search, lambda question, shown: "", 7)) == []
    assert list(grounded.summaries(PASSAGES, lambda question, shown: "", 7)) == []


@pytest.fixture
def settings(tmp_path: Path, analysers: wiring.Analysers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A data directory with a glossary and a product; the analysers of the session stand in for newly loaded ones."""
    monkeypatch.setattr(wiring, "load_analysers", lambda: analysers)
    given = Settings(  # type: ignore[call-arg]
        home=tmp_path,
        identity_key="test-identity-key-of-more-than-32-characters",  # type: ignore[arg-type]
    )
    database = open_database(given.resolved_database_url)
    upgrade(database)
    database.dispose()
    with wiring.open_embedded(given) as opened:
        for name in ("보험용어집.md", "예금_든든정기예금.md"):
            report = opened.ingest.ingest_file(name, (SAMPLES / name).read_bytes(), ("staff", "customer"))
            assert report.state == "ready"
    return given


def test_every_kind_of_draft_comes_into_the_queue_once_with_its_sources(settings: Settings) -> None:
    for kind in ("glossary", "four_choice", "four_choice_writing", "summary", "rag", "refusal"):
        drafted = draft(settings, kind, 4, 7)
        assert (kind, drafted.built, drafted.added) == (kind, 4, 4)
    assert draft(settings, "rag", 4, 7).added == 0
    with wiring.open_embedded(settings) as opened:
        items = opened.transactions.run_blocking(lambda session: review.queue(session, QueueFilter(), 100))
    assert len(items) == 24
    assert {item.state for item in items} == {"pending"}
    assert all(item.sources and item.proposed_by.startswith("builder:") for item in items)
    assert {len(item.sources) for item in items if item.kind == "rag"} == {3}
